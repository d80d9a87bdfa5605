#!/usr/bin/env node
/**
 * The entry of `settlefleet`: makes room in the thread pool, then hands over to the command line.
 *
 * The Kafka client waits for brokers in libuv's thread pool, whose four threads it would fill, so that files, names and
 * compression stand still. The size is read when the pool is first used: everything else is imported after this line.
 */
process.env['UV_THREADPOOL_SIZE'] ||= '8';

// `settlefleet dlq list | head` closes our output early; that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const { runCommandLine } = await import('./cli/program.ts');
// Not `process.exitCode`: a client that does not close must not keep a command that is done from ending.
process.exit(await runCommandLine(process.argv.slice(2)));
