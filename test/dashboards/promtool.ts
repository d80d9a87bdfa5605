/** Prometheus' own checker, from the system's package or from the image, as the stack of this run has it. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '..', '..');

/** Runs promtool in the repository's root; gives its exit code and everything that it said. */
export function promtool(args: readonly string[], input = ''): { readonly status: number | null; readonly said: string } {
  const inContainer = ['run', '--rm', '-i', '--network', 'none', '--volume', `${repository}:${repository}:ro`, '--workdir', repository];
  const [command, before] =
    process.env['STACK_ENGINE'] === 'containers'
      ? ['docker', [...inContainer, '--entrypoint', 'promtool', 'prom/prometheus:v3.5.0']]
      : ['promtool', []];
  const { status, stdout, stderr, error } = spawnSync(command, [...before, ...args], { cwd: repository, input, encoding: 'utf8' });
  if (error !== undefined) throw error;
  return { status, said: stdout + stderr };
}
