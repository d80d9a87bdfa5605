/**
 * ClickHouse as a process of its own, so that it can be killed: `node test/chaos/clickhouse-server.ts FOLDER PORT`. Tells
 * its parent when it is ready and when an insert begins and ends; ends with its parent.
 */
import { startStandIn } from '../sink/clickhouse-stand-in.ts';

export type ServerWord = 'ready' | 'begun' | 'ended';

const [folder, port] = process.argv.slice(2) as [string, string];
const tell = (word: ServerWord): void => void process.send?.(word);
process.on('disconnect', () => process.exit());
await startStandIn({ folder, port: Number(port), onInsert: tell });
tell('ready');
