/**
 * ClickHouse as a process of its own, so that it can be killed: `node test/chaos/clickhouse-server.ts FOLDER PORT`. Tells
 * its parent when it is ready and when an insert begins and ends; ends with its parent, or, told so, within an insert.
 */
import { startStandIn } from '../sink/clickhouse-stand-in.ts';

export type ServerWord = 'ready' | 'begun' | 'ended';

const [folder, port] = process.argv.slice(2) as [string, string];
const tell = (word: ServerWord): void => void process.send?.(word);
process.on('disconnect', () => process.exit());
let isToDie = false;
process.on('message', () => (isToDie = true));
await startStandIn({
  folder,
  port: Number(port),
  onInsert: (step) => {
    tell(step);
    // The engine works in a thread of its own; an insert takes it some milliseconds.
    if (isToDie && step === 'begun') setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.random() * 4);
  },
});
tell('ready');
