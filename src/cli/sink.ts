/** `settlefleet sink`: stores results and dead letters in ClickHouse until it is told to end. */
import type { DefineCommand } from './program.ts';

export const defineSinkCommand: DefineCommand = (program, settings) => {
  program
    .command('sink')
    .description('store results and dead letters in ClickHouse, each exactly once; answers SQL while it holds the embedded engine')
    .action(async () => {
      const { runSink } = await import('../sink.ts');
      const ending = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ending.abort());
      await runSink(settings(), ending.signal);
    });
};
