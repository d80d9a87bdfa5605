/**
 * The settings of every command, from environment variables; the only reader of the environment. A wrong setting is
 * refused, never repaired: a repaired one is one that nobody knows is in force.
 *
 * Source: contract section 7. `LOG_LEVEL`, `SCHEMA_CACHE_DIR`, `ADMIN_TOKEN` and `KAFKA_BRIDGE` are ours; config-telemetry.ts
 * has the rest.
 */
import { availableParallelism, homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError } from './errors.ts';
import { readTelemetry } from './config-telemetry.ts';
import type { TelemetrySettings } from './config-telemetry.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `required`: a worker or sink does not start where the packed bridge is not to be had. */
export const kafkaBridgeChoices = ['auto', 'off', 'required'] as const;
export type KafkaBridgeChoice = (typeof kafkaBridgeChoices)[number];

export interface Config {
  /** `host:port`, several with commas. */
  readonly kafkaBrokers: string;
  /** How records come from Kafka and go there: by the packed bridge where it is to be had, or by the client's own API. */
  readonly kafkaBridge: KafkaBridgeChoice;
  /** Without a slash at its end. */
  readonly schemaRegistryUrl: string;
  readonly redisUrl: string;
  /** `chdb:PATH` or `http(s)://...`; see `clickhouseTarget`. */
  readonly clickhouseUrl: string;
  /** Days after which results and dead letters leave ClickHouse; 0: never. */
  readonly clickhouseRetentionDays: number;
  /** The same for what is counted by the minute; 0 (never), or not less than the above. */
  readonly clickhouseMinutesRetentionDays: number;
  /** How ClickHouse's table of results is cut when it is made; null: not at all, and a table that is there is taken as it is. */
  readonly clickhousePartitionBy: 'none' | 'month' | 'day' | null;
  readonly topicPrefix: string;
  readonly consumerGroup: string;
  readonly workerId: string;
  readonly commitIntervalMs: number;
  readonly dedupeWindowSeconds: number;
  readonly maxEventBytes: number;
  /** 0: any free port. */
  readonly metricsPort: number;
  readonly gatewayPort: number;
  /** 0: parse in the main thread. */
  readonly parserThreads: number;
  readonly logLevel: LogLevel;
  /** What an operator must bring to tell a process something over METRICS_PORT; null: only this machine may. */
  readonly adminToken: string | null;
  /** Where schemas are kept so that they outlive an outage of the registry. */
  readonly schemaCacheDir: string;
  readonly telemetry: TelemetrySettings;
}

/** What was decided waits for so long until anybody sees it, and lies in memory meanwhile: half a minute is a lot already. */
const commitIntervalMsMax = 30_000;
/** A year. Redis holds one claim for each payment of the window. */
const dedupeWindowSecondsMax = 31_536_000;
/** A request to a Kafka broker is at most 100 MiB (socket.request.max.bytes), and a dead letter holds the event whole. */
const maxEventBytesMax = 64 << 20;
const parserThreadsMax = 256;
/** Ten years, beyond which nobody is bound to keep payments. */
const retentionDaysMax = 3650;
/** Kafka's topic names have at most 249 characters; the longest of ours behind the prefix is `participants`. */
const topicPrefixLengthMax = 249 - 'participants'.length;

/** Of ADMIN_TOKEN: shorter ones can be guessed. */
const adminTokenLengthMin = 16;

/** A setting as it is in force, fit to be shown: without passwords and tokens. */
export interface ShownSetting {
  readonly name: string;
  readonly value: string;
  readonly from: 'environment' | 'default';
}

/** Checks all variables; throws `ConfigurationError` for the first wrong one. */
export function loadConfig(environment: Environment = process.env): Config {
  return readConfig(environment, () => undefined);
}

/** Every setting and where it came from, in the order in which they are read. */
export function showSettings(environment: Environment = process.env): readonly ShownSetting[] {
  const shown = new Map<string, ShownSetting>();
  readConfig(environment, (setting) => shown.set(setting.name, setting));
  return [...shown.values()];
}

function readConfig(environment: Environment, note: (setting: ShownSetting) => void): Config {
  const text = (name: string, fallback: string): string => {
    const given = environment[name] || undefined;
    note({ name, value: withoutSecrets(given ?? fallback), from: given === undefined ? 'default' : 'environment' });
    return given ?? fallback;
  };
  /** Never shown, not even when it is refused. */
  const secret = (name: string): string | null => {
    const given = environment[name] || null;
    note({ name, value: given === null ? '' : '***', from: given === null ? 'default' : 'environment' });
    if (given !== null && !new RegExp(`^[\\x21-\\x7e]{${adminTokenLengthMin},}$`).test(given)) {
      throw new ConfigurationError(`${name} must be at least ${adminTokenLengthMin} printable ASCII characters without spaces.`);
    }
    return given;
  };
  const integer = (name: string, fallback: number, least: number, most: number): number =>
    wholeNumber(name, text(name, String(fallback)), least, most);
  const form = (name: string, fallback: string, pattern: RegExp, expected: string): string =>
    matching(name, text(name, fallback), pattern, expected);
  const retentionDays = integer('CLICKHOUSE_RETENTION_DAYS', 0, 0, retentionDaysMax);
  const minutesRetentionDays = integer('CLICKHOUSE_MINUTES_RETENTION_DAYS', 0, 0, retentionDaysMax);
  const partitionBy = text('CLICKHOUSE_PARTITION_BY', '');
  // Rows that outlived their minutes would be counted anew each time the sink starts.
  if (minutesRetentionDays !== 0 && (retentionDays === 0 || minutesRetentionDays < retentionDays)) {
    refuse(
      'CLICKHOUSE_MINUTES_RETENTION_DAYS',
      String(minutesRetentionDays),
      `0 (for ever), or not less than CLICKHOUSE_RETENTION_DAYS, which is ${retentionDays === 0 ? '0 (for ever)' : retentionDays}`,
    );
  }

  return {
    kafkaBrokers: brokerList('KAFKA_BROKERS', text('KAFKA_BROKERS', '127.0.0.1:9092')),
    kafkaBridge: oneOf('KAFKA_BRIDGE', text('KAFKA_BRIDGE', 'auto'), kafkaBridgeChoices),
    schemaRegistryUrl: url('SCHEMA_REGISTRY_URL', text('SCHEMA_REGISTRY_URL', 'http://127.0.0.1:8081'), [
      'http:',
      'https:',
    ]).replace(/\/+$/, ''),
    redisUrl: redisUrl('REDIS_URL', text('REDIS_URL', 'redis://127.0.0.1:6379')),
    clickhouseUrl: clickhouseUrl('CLICKHOUSE_URL', text('CLICKHOUSE_URL', 'chdb:./.data/clickhouse')),
    clickhouseRetentionDays: retentionDays,
    clickhouseMinutesRetentionDays: minutesRetentionDays,
    clickhousePartitionBy: partitionBy === '' ? null : oneOf('CLICKHOUSE_PARTITION_BY', partitionBy, ['none', 'month', 'day'] as const),
    topicPrefix: form(
      'TOPIC_PREFIX',
      'payments.',
      new RegExp(`^[A-Za-z0-9._-]{1,${topicPrefixLengthMax}}$`),
      `1 to ${topicPrefixLengthMax} of the characters that Kafka allows in a topic's name: letters, digits, ".", "_", "-"`,
    ),
    consumerGroup: form(
      'CONSUMER_GROUP',
      'settlefleet',
      /^[\x21-\x7e]{1,200}$/,
      '1 to 200 printable ASCII characters without spaces',
    ),
    workerId: form(
      'WORKER_ID',
      `${hostname()}-${process.pid}`,
      /^[\x21-\x7e]{1,200}$/,
      '1 to 200 printable ASCII characters without spaces',
    ),
    commitIntervalMs: integer('COMMIT_INTERVAL_MS', 100, 1, commitIntervalMsMax),
    dedupeWindowSeconds: integer('DEDUPE_WINDOW_SECONDS', 86_400, 1, dedupeWindowSecondsMax),
    maxEventBytes: integer('MAX_EVENT_BYTES', 1_048_576, 1, maxEventBytesMax),
    metricsPort: integer('METRICS_PORT', 9464, 0, 65_535),
    gatewayPort: integer('GATEWAY_PORT', 8080, 0, 65_535),
    parserThreads: integer('PARSER_THREADS', Math.max(1, availableParallelism() - 1), 0, parserThreadsMax),
    logLevel: oneOf('LOG_LEVEL', text('LOG_LEVEL', 'info'), logLevels),
    schemaCacheDir: text('SCHEMA_CACHE_DIR', './.data/schemas'),
    adminToken: secret('ADMIN_TOKEN'),
    telemetry: readTelemetry({
      text,
      integer,
      oneOf: (name, fallback, allowed) => oneOf(name, text(name, fallback), allowed),
      url: (name) => {
        const given = text(name, '');
        return given === '' ? given : url(name, given, ['http:', 'https:']);
      },
      refuse,
    }),
  };
}

/** Where `settlefleet sql` remembers what was typed, as the XDG base directory specification has it. */
export function historyFile(environment: Environment = process.env): string {
  const state = environment['XDG_STATE_HOME'] || join(homedir(), '.local/state');
  return join(state, 'settlefleet/sql_history');
}

/** What `./dev demo` is told beside the settings: where Prometheus and Grafana are, and the file of targets to scrape. */
export interface DemoEnvironment {
  readonly prometheusUrl: string | null;
  readonly grafanaUrl: string | null;
  readonly prometheusTargetsFile: string | null;
}

export function loadDemoEnvironment(environment: Environment = process.env): DemoEnvironment {
  const address = (name: string): string | null => {
    const given = environment[name] || null;
    return given === null ? null : url(name, given, ['http:', 'https:']).replace(/\/+$/, '');
  };
  return {
    prometheusUrl: address('PROMETHEUS_URL'),
    grafanaUrl: address('GRAFANA_URL'),
    prometheusTargetsFile: environment['PROMETHEUS_TARGETS_FILE'] || null,
  };
}

/** The environment that a child process of ours is started with: this one's own, with some variables set anew. */
export function childEnvironment(changes: Environment): Record<string, string | undefined> {
  return { ...process.env, ...changes };
}

/** Where ClickHouse is: in this process over a folder, or a server. */
export type ClickhouseTarget =
  | { readonly kind: 'embedded'; readonly path: string }
  | { readonly kind: 'server'; readonly url: string };

export function clickhouseTarget(config: Pick<Config, 'clickhouseUrl'>): ClickhouseTarget {
  return config.clickhouseUrl.startsWith('chdb:')
    ? { kind: 'embedded', path: config.clickhouseUrl.slice('chdb:'.length) }
    : { kind: 'server', url: config.clickhouseUrl };
}

/** A URL that may be printed: user and password, and what looks like a secret in the query, are left out. */
export function withoutSecrets(address: string): string {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(address)?.[0] ?? '';
  const at = address.lastIndexOf('@');
  const bare = at < scheme.length ? address : `${scheme}***@${address.slice(at + 1)}`;
  return bare.replace(/([?&][^=&]*(?:password|passwd|secret|token|key)[^=&]*=)[^&]*/gi, '$1***');
}

function refuse(name: string, given: string, expected: string): never {
  const shown = withoutSecrets(given);
  const short = shown.length > 200 ? `${shown.slice(0, 200)}...` : shown;
  throw new ConfigurationError(`${name} is ${JSON.stringify(short)}, but it must be ${expected}.`);
}

function wholeNumber(name: string, given: string, least: number, most: number): number {
  const value = /^\d{1,15}$/.test(given) ? Number(given) : NaN;
  if (!(value >= least && value <= most)) refuse(name, given, `a whole number from ${least} to ${most}`);
  return value;
}

function matching(name: string, given: string, pattern: RegExp, expected: string): string {
  if (!pattern.test(given)) refuse(name, given, expected);
  return given;
}

function oneOf<T extends string>(name: string, given: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === given);
  return found ?? refuse(name, given, `one of ${allowed.join(', ')}`);
}

const brokerForm = /^(?:PLAINTEXT:\/\/)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::(\d{1,5}))?$/;

function brokerList(name: string, given: string): string {
  const brokers = given.split(',').map((broker) => broker.trim());
  for (const broker of brokers) {
    const match = brokerForm.exec(broker);
    const port = Number(match?.[1] ?? 9092);
    if (match === null || port < 1 || port > 65_535) {
      refuse(name, given, 'host:port, or several of them with commas between');
    }
  }
  return brokers.join(',');
}

function url(name: string, given: string, protocols: readonly string[]): string {
  const expected = `a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`;
  const parsed = URL.canParse(given) ? new URL(given) : null;
  if (parsed === null || !protocols.includes(parsed.protocol) || !given.includes('://') || parsed.hostname === '') {
    refuse(name, given, expected);
  }
  return given;
}

function redisUrl(name: string, given: string): string {
  const checked = url(name, given, ['redis:', 'rediss:']);
  if (!/^\/?\d*$/.test(new URL(checked).pathname)) {
    refuse(name, given, 'redis://host:port, with nothing or the number of a database behind it');
  }
  return checked;
}

function clickhouseUrl(name: string, given: string): string {
  if (given.startsWith('chdb:')) {
    if (given.slice('chdb:'.length).trim() === '') refuse(name, given, 'chdb:PATH with the path of a folder, or http://...');
    return given;
  }
  if (!/^https?:\/\//i.test(given)) refuse(name, given, 'chdb:PATH, or a URL that begins with http:// or https://');
  return url(name, given, ['http:', 'https:']);
}

/** What the thread pool's size was set to; `main.ts` sees to it that there is one. */
export function threadPoolSize(environment: Environment = process.env): number {
  return Number(environment['UV_THREADPOOL_SIZE']) || 4;
}

/** Variables that look like a setting misspelt: no more than two letters from one that is not set itself. */
export function misspeltSettings(environment: Environment = process.env): readonly { readonly name: string; readonly meant: string }[] {
  const settings = showSettings(environment).filter(({ from }) => from === 'default').map(({ name }) => name);
  const known = new Set(showSettings(environment).map(({ name }) => name));
  return Object.keys(environment)
    .filter((name) => !known.has(name))
    .flatMap((name) => settings.filter((meant) => lettersApart(name, meant) <= 2).map((meant) => ({ name, meant })));
}

/** Levenshtein's distance. */
function lettersApart(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
