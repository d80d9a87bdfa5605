// Downloads the Kafka client's prebuilt addon with its own installer: `prebuilt.ts DIRECTORY`, exit code 0 when it is
// there. On a closed network it gives up within seconds, where the installer alone may hang for minutes.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';

const connectBoundMs = 3_000;
const downloadBoundMs = 120_000;

function reaches(host: string, port: number): Promise<boolean> {
  return new Promise((conclude) => {
    const socket = connect({ host, port });
    const end = (reached: boolean): void => {
      socket.destroy();
      conclude(reached);
    };
    // Not the socket's own time-out: that one does not count the time in which a name is looked up.
    setTimeout(() => { end(false); }, connectBoundMs).unref();
    socket.once('connect', () => { end(true); });
    socket.once('error', () => { end(false); });
  });
}

const directory = resolve(process.argv[2] ?? '.');
const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { binary: { host: string } };
const source = new URL(manifest.binary.host);
const behindProxy = ['https_proxy', 'HTTPS_PROXY', 'npm_config_https_proxy'].some((name) => (process.env[name] ?? '') !== '');
if (!behindProxy && !(await reaches(source.hostname, Number(source.port || 443)))) {
  process.stdout.write('the prebuilt addon cannot be reached from here\n');
  process.exit(1);
}

const installer = createRequire(join(directory, 'package.json')).resolve('@mapbox/node-pre-gyp/bin/node-pre-gyp');
const { status } = spawnSync(process.execPath, [installer, 'install'], {
  cwd: directory, stdio: 'inherit', timeout: downloadBoundMs, killSignal: 'SIGKILL',
});
process.exit(status ?? 1);
