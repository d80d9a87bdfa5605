/**
 * A session of the embedded engine that can read and do nothing else, within bounds that a query cannot lift.
 */
import { run } from './connection.ts';
import type { ClickhouseConnection } from './connection.ts';

export const readBounds = { seconds: 60, resultBytes: 256 << 20, memoryBytes: 4_000_000_000 } as const;

/** Makes it so for good: a session in mode 1 refuses to change any setting, this one included. */
export async function restrictToReading(session: ClickhouseConnection, database: string): Promise<void> {
  await run(session, `USE ${database}`);
  await run(session, `SET max_execution_time = ${readBounds.seconds}, max_result_bytes = ${readBounds.resultBytes}, ` +
      `result_overflow_mode = 'throw', max_memory_usage = ${readBounds.memoryBytes}`,
  );
  await run(session, 'SET readonly = 1');
}
