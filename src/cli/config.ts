/** `settlefleet config`: every setting as it is in force, and where it came from; passwords and tokens are left out. */
import { showSettings } from '../config.ts';
import { print, table } from './console.ts';
import type { DefineCommand } from './program.ts';

export const defineConfigCommand: DefineCommand = (program) => {
  program
    .command('config')
    .option('--json', 'as one JSON object a line')
    .description('print every setting as it is in force, and where it came from')
    .action((options: { readonly json?: boolean }) => {
      const settings = showSettings();
      if (options.json === true) for (const setting of settings) print(JSON.stringify(setting));
      else for (const line of table(['setting', 'value', 'from'], settings.map(({ name, value, from }) => [name, value, from]))) print(line);
    });
};
