/**
 * `./dev demo`: the whole line on real parts. Submits messages, kills a worker in the middle, and shows at the end what
 * became of each event, by the topics and by ClickHouse. Exit code 0 only when everything that it claims holds.
 */
process.env['UV_THREADPOOL_SIZE'] ||= '8';

const { runDemo } = await import('./run.ts');
process.exit(await runDemo(process.argv.slice(2)));
