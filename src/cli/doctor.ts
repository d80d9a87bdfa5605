/** `settlefleet doctor`: one line for each thing that was looked at, how it stands, and what to do. */
import { CommandError } from '../errors.ts';
import { commandLog, print, within } from './console.ts';
import type { DefineCommand } from './program.ts';
import { askClickhouse } from './sql.ts';
import { planTopics } from './topic-plan.ts';

const boundMs = 120_000;
const words = { ok: 'ok', warn: 'warn', wrong: 'WRONG', unknown: 'unknown' } as const;

export const defineDoctorCommand: DefineCommand = (program, settings) => {
  program
    .command('doctor')
    .option('--json', 'as one JSON object a line: area, verdict, says, fix')
    .option('--quiet', 'leave out what is as it should be')
    .description('check everything the fleet depends on, and say what to do; changes nothing. Exit code 1: something is wrong')
    .action(async (options: { readonly json?: boolean; readonly quiet?: boolean }) => {
      const config = settings();
      const { examine } = await import('../doctor/doctor.ts');
      const findings = await within(boundMs, 'not everything that answers at first answered to the end', examine({
        config,
        planned: planTopics(config, 1),
        askClickhouse: async (query) => (await askClickhouse(config, query, 'TabSeparated')).toString(),
        log: commandLog,
      }));
      for (const finding of findings) {
        if (options.quiet === true && finding.verdict === 'ok') continue;
        const { area, verdict, says, fix } = finding;
        if (options.json === true) print(JSON.stringify(finding));
        else print(`${words[verdict].padEnd(7)}  ${area.padEnd(10)}  ${says}${fix === null ? '' : `. Do: ${fix}`}`);
      }
      const wrong = findings.filter(({ verdict }) => verdict === 'wrong').length;
      if (wrong > 0) throw new CommandError(wrong === 1 ? 'One thing is wrong.' : `${wrong} things are wrong.`);
    });
};
