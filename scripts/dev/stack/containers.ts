// The same parts as containers, where a container engine answers: docker-compose.yml with ports of our choice.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';

const composeFile = join(import.meta.dirname, '..', '..', '..', 'docker-compose.yml');

/** The services of docker-compose.yml that are not the fleet: the fleet runs from the checkout here. */
const services = ['kafka', 'registry', 'redis', 'clickhouse', 'prometheus', 'grafana'];

export interface ContainerPorts {
  readonly kafka: number;
  readonly registry: number;
  readonly redis: number;
  readonly clickhouse: number;
  readonly prometheus: number;
  readonly grafana: number;
}

function variables(ports: ContainerPorts, targetsDirectory: string): Record<string, string> {
  return {
    KAFKA_PORT: String(ports.kafka),
    REGISTRY_PORT: String(ports.registry),
    REDIS_PORT: String(ports.redis),
    CLICKHOUSE_PORT: String(ports.clickhouse),
    PROMETHEUS_PORT: String(ports.prometheus),
    GRAFANA_PORT: String(ports.grafana),
    PROMETHEUS_TARGETS_DIRECTORY: targetsDirectory,
  };
}

async function compose(project: string, args: readonly string[], logFile: string, environment: Record<string, string>): Promise<void> {
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'a');
  const child = spawn('docker', ['compose', '--project-name', project, '--file', composeFile, ...args], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...environment },
  });
  closeSync(log);
  const [code] = await once(child, 'exit') as [number | null];
  if (code !== 0) throw new Error(`docker compose ${args[0] ?? ''} ended with code ${code}, its log is ${logFile}`);
}

/** Starts the parts and returns when every one of them is healthy. */
export function startContainers(
  project: string, options: { ports: ContainerPorts; targetsDirectory: string; logFile: string },
): Promise<void> {
  return compose(
    project, ['up', '--detach', '--wait', '--wait-timeout', '180', ...services], options.logFile,
    variables(options.ports, options.targetsDirectory),
  );
}

/** Removes the project's containers, networks and volumes, and the containers that its tests started beside them. */
export async function removeContainers(project: string, logFile: string): Promise<void> {
  const beside = execFileSync('docker', ['ps', '--all', '--quiet', '--filter', `label=settlefleet.stack=${project}`], { encoding: 'utf8' })
    .split('\n').filter(Boolean);
  if (beside.length > 0) execFileSync('docker', ['rm', '--force', ...beside], { stdio: 'ignore' });
  await compose(project, ['down', '--volumes', '--remove-orphans', '--timeout', '5'], logFile, {});
}
