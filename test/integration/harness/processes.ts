/** Processes of the product, started as anybody starts them: `node src/main.ts COMMAND` and an environment. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { until } from '../../until.ts';

export const repository = join(import.meta.dirname, '../../..');
const mainFile = join(repository, 'src/main.ts');

/** Text kept of each process: what is said when a test fails. */
const outputCharactersMax = 400_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Environment {
  readonly [name: string]: string | undefined;
}

/** A process with what it printed. Killed when this process ends. */
export class Program {
  readonly child: ChildProcess;
  readonly name: string;
  stdout = '';
  stderr = '';
  #ended: Ended | undefined;
  readonly #exit: Promise<unknown>;

  constructor(name: string, args: readonly string[], environment: Environment) {
    this.name = name;
    this.child = spawn(process.execPath, [mainFile, ...args], {
      cwd: repository,
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#exit = once(this.child, 'close');
    this.child.stdout!.on('data', (bytes: Buffer) => (this.stdout = (this.stdout + bytes.toString()).slice(-outputCharactersMax)));
    this.child.stderr!.on('data', (bytes: Buffer) => (this.stderr = (this.stderr + bytes.toString()).slice(-outputCharactersMax)));
    this.child.on('close', (code, signal) => {
      this.#ended = { code, signal, stdout: this.stdout, stderr: this.stderr };
      living.delete(this);
    });
    living.add(this);
  }

  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  get output(): string {
    return `--- ${this.name}: standard output\n${this.stdout.slice(-6000)}\n--- standard error\n${this.stderr.slice(-6000)}`;
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.hasEnded) this.child.kill(signal);
  }

  /** Its end, within the bound. */
  async end(boundMs: number): Promise<Ended> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.name} did not end within ${boundMs} ms\n${this.output}`)), boundMs);
    });
    try {
      await Promise.race([this.#exit, tooLate]);
    } finally {
      clearTimeout(timer);
    }
    return this.#ended!;
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.end(10_000);
  }
}

const living = new Set<Program>();
process.on('exit', () => {
  for (const program of living) program.child.kill('SIGKILL');
});

/** Runs a command to its end. */
export async function runCommand(args: readonly string[], environment: Environment, input = '', boundMs = 60_000): Promise<Ended> {
  const program = new Program(`settlefleet ${args.join(' ')}`, args, environment);
  program.child.stdin!.on('error', () => undefined);
  program.child.stdin!.end(input);
  try {
    return await program.end(boundMs);
  } catch (error) {
    await program.kill();
    throw error;
  }
}

/** A long-running process (worker, sink) with its HTTP port. */
export class Service extends Program {
  port = 0;

  /** Starts it; resolves once it serves HTTP, whatever it has to say about its readiness. */
  static async start(name: string, args: readonly string[], environment: Environment): Promise<Service> {
    const service = new Service(name, args, { METRICS_PORT: '0', ...environment });
    service.child.stdin!.end();
    try {
      await until(`${name} prints its port`, () => {
        if (service.hasEnded) throw new Error(`${name} ended\n${service.output}`);
        service.port = service.#printedPort();
        return service.port > 0;
      }, 30_000);
    } catch (error) {
      await service.kill();
      throw new Error(`${name} did not start\n${service.output}`, { cause: error });
    }
    return service;
  }

  #printedPort(): number {
    const match = /"port":(\d+)|(?:127\.0\.0\.1|0\.0\.0\.0|localhost|\[::\]|\*):(\d+)(?=[^\d]*$)|port\D{1,12}(\d{3,5})/m.exec(this.stdout + this.stderr);
    return Number(match?.[1] ?? match?.[2] ?? match?.[3] ?? 0);
  }

  async get(path: string): Promise<{ status: number; body: string }> {
    const answer = await fetch(`http://127.0.0.1:${this.port}${path}`, { signal: AbortSignal.timeout(5_000) });
    return { status: answer.status, body: await answer.text() };
  }

  async post(path: string): Promise<number> {
    return (await fetch(`http://127.0.0.1:${this.port}${path}`, { method: 'POST', signal: AbortSignal.timeout(5_000) })).status;
  }

  async ready(boundMs = 30_000): Promise<this> {
    let said = '';
    try {
      await until(`${this.name} is ready`, async () => {
        if (this.hasEnded) return true;
        const answer = await this.get('/readyz');
        said = `${answer.status} ${answer.body}`;
        return answer.status === 200;
      }, boundMs);
    } catch (error) {
      throw new Error(`${this.name} is not ready: ${said}\n${this.output}`, { cause: error });
    }
    if (this.hasEnded) throw new Error(`${this.name} ended before it was ready\n${this.output}`);
    return this;
  }

  /** Values of a metric by its labels as printed, e.g. `{partition="0"}`. */
  async metric(name: string): Promise<Map<string, number>> {
    const { body } = await this.get('/metrics');
    const values = new Map<string, number>();
    for (const line of body.split('\n')) {
      const match = /^([A-Za-z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line);
      if (match?.[1] === name) values.set(match[2] ?? '', Number(match[3]));
    }
    return values;
  }

  async terminate(boundMs = 30_000): Promise<Ended> {
    this.signal('SIGTERM');
    return this.end(boundMs);
  }
}
