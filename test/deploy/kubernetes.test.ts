/** The manifests under deploy/kubernetes, held against Kubernetes' and KEDA's own schemas, and against what the code is. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { showSettings } from '../../src/config.ts';
import { planTopics } from '../../src/cli/topic-plan.ts';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'deploy/kubernetes');
const text = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly [field: string]: unknown;
}

/** Loose on purpose: the schemas say what is there. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Anything = any;

const kustomization = parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')) as { readonly resources: readonly string[] };
const manifests: readonly Manifest[] = kustomization.resources.flatMap((file) =>
  parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map((document) => document.toJS() as Manifest));

async function complaintAbout(manifest: object & { readonly apiVersion: string; readonly kind: string }): Promise<string | null> {
  const library = manifest.apiVersion.startsWith('keda.sh/') ? '@kubernetes-models/keda' : 'kubernetes-models';
  const models = (await import(`${library}/${manifest.apiVersion}`)) as Record<string, new (given: object) => { validate(): void }>;
  try {
    new models[manifest.kind]!(manifest).validate();
    return null;
  } catch (error) {
    return String(error);
  }
}

const one = (kind: string, name: string): Anything => manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
const podOf = (manifest: Anything): Anything => manifest.spec.template.spec;
const workloads = manifests.filter(({ kind }) => ['StatefulSet', 'Deployment', 'Job'].includes(kind));
const containers: readonly Anything[] = workloads.flatMap((manifest) => [...(podOf(manifest).initContainers ?? []), ...podOf(manifest).containers]);
const services = [one('StatefulSet', 'settlefleet-worker'), one('Deployment', 'settlefleet-sink')];

describe('the manifests', () => {
  it('are all in the kustomization', () => {
    expect(readdirSync(folder).sort()).toEqual(['kustomization.yaml', ...kustomization.resources].sort());
  });

  it.each(manifests.map((manifest) => [`${manifest.kind} ${manifest.metadata.name}`, manifest] as const))('%s is what Kubernetes takes', async (_, manifest) => {
    expect(await complaintAbout(manifest)).toBeNull();
  });

  it('are held against schemas that find a mistake', async () => {
    const worker = structuredClone(services[0]);
    podOf(worker).containers[0].ports[0].containerPort = 'metrics';
    expect(await complaintAbout(worker)).toMatch(/containerPort/);
    const scaled = structuredClone(one('ScaledObject', 'settlefleet-worker'));
    delete scaled.spec.scaleTargetRef.name;
    expect(await complaintAbout(scaled)).toMatch(/name/);
  });
});

describe('what runs', () => {
  it('takes its settings by names that the configuration knows, and none that it refuses', () => {
    const known = new Set(showSettings({}).map(({ name }) => name));
    const given = { ...one('ConfigMap', 'settlefleet').data, ...one('Secret', 'settlefleet').stringData } as Record<string, string>;
    const own = containers.flatMap((container) => (container.env ?? []) as { readonly name: string }[]).map(({ name }) => name);
    expect([...Object.keys(given), ...own].filter((name) => !known.has(name))).toEqual([]);
    expect(() => showSettings(given)).not.toThrow();
  });

  it('is asked for its health where the server answers', () => {
    const { data } = one('ConfigMap', 'settlefleet');
    const server = text('src/adapters/http/server.ts');
    for (const manifest of services) {
      const [{ ports, livenessProbe, startupProbe, readinessProbe }] = podOf(manifest).containers;
      expect(ports).toEqual([{ name: 'metrics', containerPort: Number(data.METRICS_PORT) }]);
      // A worker that waits for Redis is not ready, and must not be restarted for it.
      expect([livenessProbe, startupProbe, readinessProbe].map(({ httpGet }) => httpGet)).toEqual(
        ['/healthz', '/healthz', '/readyz'].map((path) => ({ path, port: 'metrics' })));
      for (const path of ['/healthz', '/readyz', '/metrics']) expect(server).toContain(`'${path}'`);
    }
  });

  it('has time to end: more than its own limit after SIGTERM', () => {
    for (const [file, manifest] of [['src/worker.ts', services[0]], ['src/sink.ts', services[1]]] as const) {
      const endDeadlineMs = Number(/endDeadlineMs = ([\d_]+);/.exec(text(file))![1]!.replace('_', ''));
      expect(podOf(manifest).terminationGracePeriodSeconds * 1000).toBeGreaterThan(endDeadlineMs);
    }
  });

  it('has no more rights than it needs', () => {
    for (const manifest of workloads) {
      expect(podOf(manifest)).toMatchObject({ automountServiceAccountToken: false, securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } } });
    }
    for (const { securityContext } of containers) {
      expect(securityContext).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } });
    }
  });

  it('writes only where a volume is', () => {
    const directory = /SCHEMA_CACHE_DIR=(\S+)/.exec(text('Dockerfile'))![1]!;
    for (const manifest of services) expect(directory.startsWith(podOf(manifest).containers[0].volumeMounts[0].mountPath)).toBe(true);
  });

  it('names each worker by its pod, so that a successor has the transactional id of its predecessor', () => {
    expect(podOf(services[0]).containers[0].env).toContainEqual({ name: 'WORKER_ID', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } });
  });

  it('starts commands that there are', () => {
    expect(containers.map(({ args }) => args[0])).toEqual(['topics', 'schemas', 'worker', 'sink']);
  });
});

describe('scaling', () => {
  const { spec } = one('ScaledObject', 'settlefleet-worker');

  it('follows the lag of the inbound topic of the group, and stops at its partitions', () => {
    const { data } = one('ConfigMap', 'settlefleet');
    expect(spec.triggers[0].metadata).toMatchObject({
      bootstrapServers: data.KAFKA_BROKERS,
      consumerGroup: data.CONSUMER_GROUP,
      topic: planTopics({ topicPrefix: data.TOPIC_PREFIX, maxEventBytes: 1, dedupeWindowSeconds: 1 }, 8)[0]!.name,
    });
    const partitionsDefault = Number(/partitionsDefault = (\d+)/.exec(text('src/cli/topics.ts'))![1]);
    const args = podOf(one('Job', 'settlefleet-setup')).initContainers[0].args as string[];
    expect([spec.maxReplicaCount, Number(args[args.indexOf('--partitions') + 1])]).toEqual([partitionsDefault, partitionsDefault]);
  });

  it('has a worker set to scale, whose number nobody else sets', () => {
    expect(spec.scaleTargetRef).toEqual({ apiVersion: services[0].apiVersion, kind: services[0].kind, name: services[0].metadata.name });
    expect(services[0].spec.replicas).toBeUndefined();
  });
});

it('lets out what the settings name, and in what the metrics port serves', () => {
  const { spec } = one('NetworkPolicy', 'settlefleet');
  const settings = { ...one('ConfigMap', 'settlefleet').data, ...one('Secret', 'settlefleet').stringData } as Record<string, string>;
  const needed = [...settings['KAFKA_BROKERS']!.split(',').map((broker) => `kafka://${broker}`), settings['SCHEMA_REGISTRY_URL']!, settings['REDIS_URL']!, settings['CLICKHOUSE_URL']!];
  const open = new Set((spec.egress as { readonly ports: readonly { readonly port: number }[] }[]).flatMap(({ ports }) => ports.map(({ port }) => port)));
  expect(needed.filter((address) => !open.has(Number(new URL(address).port)))).toEqual([]);
  expect(spec.ingress[0].ports).toEqual([{ protocol: 'TCP', port: Number(settings['METRICS_PORT']) }]);
});

it('fits the image and the compose file', () => {
  const dockerfile = text('Dockerfile');
  const compose: Anything = parse(text('docker-compose.yml'), { merge: true });
  const { data } = one('ConfigMap', 'settlefleet');
  expect(dockerfile).toContain(`EXPOSE ${data.METRICS_PORT}`);
  expect(dockerfile).toContain('USER node');
  const known = new Set(showSettings({}).map(({ name }) => name));
  for (const name of ['worker', 'sink'] as const) {
    const service = compose.services[name];
    expect(Object.keys(service.environment).filter((variable) => !known.has(variable))).toEqual([]);
    expect(parseInt(service.stop_grace_period, 10)).toBeGreaterThan(25);
    expect(service.command).toEqual([name]);
  }
});
