/** A program on a terminal of its own (util-linux's `script` makes it), for what behaves otherwise in a pipe. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from './until.ts';

export interface Terminal {
  /** Everything that was shown so far, without what only moves or colours. */
  shown(): string;
  type(keys: string): void;
  /** Waits until something is shown behind what was there when this was called. Gives what came. */
  answer(keys: string, expected: RegExp): Promise<string>;
  /** Its exit code. */
  end(): Promise<number | null>;
}

const shownWithinMs = 20_000;

export function openTerminal(command: readonly string[], environment: NodeJS.ProcessEnv): Terminal {
  const line = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', `stty cols 120; exec ${line}`, '/dev/null'], {
    env: { ...environment, TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 90_000,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
  const closed = once(child, 'close') as Promise<[number | null]>;
  const plain = (): string => text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '').replaceAll('\r', '');
  return {
    shown: plain,
    type: (keys) => void child.stdin.write(keys),
    async answer(keys, expected) {
      const before = plain().length;
      child.stdin.write(keys);
      await until(`${expected} is shown: ${JSON.stringify(keys)}`, () => expected.test(plain().slice(before)), shownWithinMs);
      return plain().slice(before);
    },
    async end() {
      const [code] = await closed;
      return code;
    },
  };
}
