/** `settlefleet worker`: settles until it is told to end. */
import type { DefineCommand } from './program.ts';

export const defineWorkerCommand: DefineCommand = (program, settings) => {
  program
    .command('worker')
    .description('settle payment events: read the inbound topic, emit results, dead letters and positions exactly once')
    .action(async () => {
      const { runWorker } = await import('../worker.ts');
      const ending = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ending.abort());
      await runWorker(settings(), ending.signal);
    });
};
