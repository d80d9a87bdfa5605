import { describe, expect, it } from 'vitest';
import { clickhouseTarget, loadConfig, loadDemoEnvironment, misspeltSettings, showSettings } from '../src/config.ts';
import { ConfigurationError } from '../src/errors.ts';

/** The message of the refusal, or null when the variable is taken. */
function refusal(name: string, value: string): string | null {
  try {
    loadConfig({ [name]: value });
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return (error as Error).message;
  }
}

describe('configuration', () => {
  it('has the defaults of the contract', () => {
    expect(loadConfig({})).toMatchObject({
      kafkaBrokers: '127.0.0.1:9092',
      kafkaBridge: 'auto',
      schemaRegistryUrl: 'http://127.0.0.1:8081',
      redisUrl: 'redis://127.0.0.1:6379',
      clickhouseUrl: 'chdb:./.data/clickhouse',
      topicPrefix: 'payments.',
      consumerGroup: 'settlefleet',
      commitIntervalMs: 100,
      dedupeWindowSeconds: 86_400,
      maxEventBytes: 1_048_576,
      metricsPort: 9464,
      gatewayPort: 8080,
    });
    expect(loadConfig({}).workerId).toContain(String(process.pid));
    expect(loadConfig({}).parserThreads).toBeGreaterThanOrEqual(1);
  });

  it('takes an empty variable as one that is not set', () => {
    const names = ['KAFKA_BROKERS', 'REDIS_URL', 'METRICS_PORT', 'COMMIT_INTERVAL_MS', 'TOPIC_PREFIX', 'WORKER_ID', 'LOG_LEVEL'];
    const empty = Object.fromEntries(names.map((name) => [name, '']));
    expect(loadConfig(empty)).toEqual(loadConfig({}));
  });

  it.each([
    ['KAFKA_BROKERS', 'a:9092,b.example.org:9093, c'],
    ['KAFKA_BROKERS', '[::1]:9092'],
    ['KAFKA_BROKERS', 'PLAINTEXT://broker:29092'],
    ['SCHEMA_REGISTRY_URL', 'https://user:secret@registry/apis/ccompat/v7'],
    ['REDIS_URL', 'rediss://:secret@cache.example.org:6380/3'],
    ['CLICKHOUSE_URL', 'chdb:/var/lib/settlefleet'],
    ['CLICKHOUSE_URL', 'http://default:secret@127.0.0.1:8123'],
    ['TOPIC_PREFIX', 'eu-west_1.payments.'],
    ['TOPIC_PREFIX', 'p'.repeat(237)],
    ['METRICS_PORT', '0'],
    ['METRICS_PORT', '65535'],
    ['PARSER_THREADS', '0'],
    ['COMMIT_INTERVAL_MS', '10'],
    ['DEDUPE_WINDOW_SECONDS', '1'],
    ['MAX_EVENT_BYTES', '67108864'],
  ])('takes %s=%s', (name, value) => {
    expect(refusal(name, value)).toBeNull();
  });

  it.each([
    ['KAFKA_BROKERS', 'broker:70000'],
    ['KAFKA_BROKERS', 'a:9092,,b:9092'],
    ['KAFKA_BROKERS', 'http://broker:9092'],
    ['SCHEMA_REGISTRY_URL', 'registry:8081'],
    ['SCHEMA_REGISTRY_URL', 'ftp://registry'],
    ['REDIS_URL', 'http://127.0.0.1:6379'],
    ['REDIS_URL', 'redis://127.0.0.1:6379/zero'],
    ['CLICKHOUSE_URL', 'chdb:'],
    ['CLICKHOUSE_URL', './data'],
    ['TOPIC_PREFIX', 'payments/'],
    ['TOPIC_PREFIX', 'p'.repeat(238)],
    ['CONSUMER_GROUP', 'two words'],
    ['COMMIT_INTERVAL_MS', '0'],
    ['COMMIT_INTERVAL_MS', 'soon'],
    ['COMMIT_INTERVAL_MS', '60000'],
    ['DEDUPE_WINDOW_SECONDS', '-1'],
    ['MAX_EVENT_BYTES', '1e6'],
    ['MAX_EVENT_BYTES', '67108865'],
    ['METRICS_PORT', '65536'],
    ['GATEWAY_PORT', '8080.5'],
    ['PARSER_THREADS', ' 2'],
    ['LOG_LEVEL', 'loud'],
    ['KAFKA_BRIDGE', 'maybe'],
    ['CLICKHOUSE_RETENTION_DAYS', '-1'],
    ['CLICKHOUSE_RETENTION_DAYS', '30d'],
    ['CLICKHOUSE_RETENTION_DAYS', '3651'],
    ['CLICKHOUSE_MINUTES_RETENTION_DAYS', '90'],
    ['CLICKHOUSE_PARTITION_BY', 'week'],
  ])('refuses %s=%s in one line that names the variable, what it is and what it must be', (name, value) => {
    const message = refusal(name, value);
    expect(message).toMatch(new RegExp(`^${name} is ".*", but it must be .+\\.$`));
    expect(message).not.toContain('\n');
  });

  it.each([
    ['REDIS_URL', 'redis://user:hunter2@host:6379/x'],
    ['REDIS_URL', 'redis:/user:hunter2@host'],
    ['SCHEMA_REGISTRY_URL', 'user:hunter2@host'],
    ['CLICKHOUSE_URL', 'https://hunter2@:99999999'],
    ['CLICKHOUSE_URL', 'tcp://host?password=hunter2'],
    ['KAFKA_BROKERS', 'SASL://user:hunter2@broker:9092'],
  ])('never prints the password in %s', (name, value) => {
    const message = refusal(name, value);
    expect(message).toContain(name);
    expect(message).not.toContain('hunter2');
  });

  it('keeps for ever in ClickHouse by default, and what is counted by the minute not shorter than the rows', () => {
    expect(loadConfig({})).toMatchObject({ clickhouseRetentionDays: 0, clickhouseMinutesRetentionDays: 0 });
    expect(loadConfig({ CLICKHOUSE_RETENTION_DAYS: '30', CLICKHOUSE_MINUTES_RETENTION_DAYS: '30' })).toMatchObject({ clickhouseMinutesRetentionDays: 30 });
    expect(() => loadConfig({ CLICKHOUSE_RETENTION_DAYS: '30', CLICKHOUSE_MINUTES_RETENTION_DAYS: '29' })).toThrow(
      'CLICKHOUSE_MINUTES_RETENTION_DAYS is "29", but it must be 0 (for ever), or not less than CLICKHOUSE_RETENTION_DAYS, which is 30.',
    );
  });

  it('tells a folder from a server of ClickHouse', () => {
    expect(clickhouseTarget({ clickhouseUrl: 'chdb:./x' })).toEqual({ kind: 'embedded', path: './x' });
    expect(clickhouseTarget({ clickhouseUrl: 'http://h:8123' })).toEqual({ kind: 'server', url: 'http://h:8123' });
  });

  it('knows Prometheus and Grafana only where the environment names them', () => {
    expect(loadDemoEnvironment({})).toEqual({ prometheusUrl: null, grafanaUrl: null, prometheusTargetsFile: null });
    expect(loadDemoEnvironment({ PROMETHEUS_URL: 'http://127.0.0.1:9090/' }).prometheusUrl).toBe('http://127.0.0.1:9090');
  });

  it('shows every setting with its value and where it came from, and no password and no token', () => {
    const environment = {
      REDIS_URL: 'redis://user:open-sesame@cache:6379',
      SCHEMA_REGISTRY_URL: 'https://key:open-sesame@registry',
      CLICKHOUSE_URL: 'http://default:open-sesame@clickhouse:8123',
      ADMIN_TOKEN: 'open-sesame-open-sesame',
      COMMIT_INTERVAL_MS: '250',
    };
    const shown = showSettings(environment);
    expect(JSON.stringify(shown)).not.toContain('open-sesame');
    expect(shown).toContainEqual({ name: 'COMMIT_INTERVAL_MS', value: '250', from: 'environment' });
    expect(shown).toContainEqual({ name: 'ADMIN_TOKEN', value: '***', from: 'environment' });
    expect(shown).toContainEqual({ name: 'KAFKA_BROKERS', value: '127.0.0.1:9092', from: 'default' });
    const { telemetry, ...others } = loadConfig({});
    expect(shown.filter(({ name }) => !/^(OTEL|EMF)_/.test(name))).toHaveLength(Object.keys(others).length);
    expect(telemetry).toEqual({ traces: null, metrics: null, embeddedMetrics: null });
  });

  it.each<[Record<string, string>, object]>([
    // Nothing is sent unless a variable asks for it.
    [{}, { traces: null, metrics: null, embeddedMetrics: null }],
    [{ OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER: 'always_on', OTEL_PROPAGATORS: 'b3' }, { traces: null, metrics: null }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }, { traces: { sampler: 'parentbased_always_on', ratio: 1, propagators: ['tracecontext', 'baggage'], queueSpansMax: 2048, exportSpansMax: 512, exportDelayMs: 5_000, exportTimeoutMs: 30_000 }, metrics: { exportIntervalMs: 60_000, exportTimeoutMs: 30_000 } }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_METRICS_EXPORTER: 'none' }, { metrics: null }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'prometheus,otlp' }, { traces: null, metrics: { exportIntervalMs: 60_000 } }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_SDK_DISABLED: 'true' }, { traces: null, metrics: null }],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/v1/traces' }, { traces: { sampler: 'parentbased_always_on' }, metrics: null }],
    [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.01', OTEL_PROPAGATORS: 'tracecontext,xray' }, { traces: { sampler: 'parentbased_traceidratio', ratio: 0.01, propagators: ['tracecontext', 'xray'] } }],
    [{ OTEL_METRICS_EXPORTER: 'otlp', OTEL_METRIC_EXPORT_INTERVAL: '5000' }, { metrics: { exportIntervalMs: 5_000, exportTimeoutMs: 5_000 } }],
    [{ EMF_OUTPUT: 'stdout' }, { embeddedMetrics: { path: null, namespace: 'settlefleet', intervalMs: 60_000 } }],
    [{ EMF_OUTPUT: '/var/log/emf.json', EMF_NAMESPACE: 'Payments/Settlement', EMF_INTERVAL_SECONDS: '10' }, { embeddedMetrics: { path: '/var/log/emf.json', namespace: 'Payments/Settlement', intervalMs: 10_000 } }],
  ])('sends traces and metrics as %j asks', (environment, expected) => {
    expect(loadConfig(environment).telemetry).toMatchObject(expected);
  });

  it.each<[string, string, Record<string, string>]>([
    ['OTEL_TRACES_EXPORTER', 'zipkin', {}],
    ['OTEL_METRICS_EXPORTER', 'otlp,none', {}],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318', {}],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', { OTEL_TRACES_EXPORTER: 'otlp' }],
    ['OTEL_PROPAGATORS', 'tracecontext,b3', { OTEL_TRACES_EXPORTER: 'otlp' }],
    ['OTEL_TRACES_SAMPLER', 'sometimes', { OTEL_TRACES_EXPORTER: 'otlp' }],
    ['OTEL_TRACES_SAMPLER_ARG', '1.5', { OTEL_TRACES_EXPORTER: 'otlp' }],
    ['OTEL_BSP_MAX_EXPORT_BATCH_SIZE', '4096', { OTEL_TRACES_EXPORTER: 'otlp' }],
    ['OTEL_METRIC_EXPORT_TIMEOUT', '60001', { OTEL_METRICS_EXPORTER: 'otlp' }],
    ['EMF_NAMESPACE', 'AWS/Settlement', { EMF_OUTPUT: 'stdout' }],
    ['EMF_INTERVAL_SECONDS', '0', { EMF_OUTPUT: 'stdout' }],
  ])('refuses %s=%s where it matters', (name, value, others) => {
    expect(() => loadConfig({ ...others, [name]: value })).toThrow(new RegExp(`^${name} is "${value}", but it must be .+\\.$`));
  });

  it('refuses a token that could be guessed, without saying it', () => {
    expect(refusal('ADMIN_TOKEN', 'open-sesame')).toBe('ADMIN_TOKEN must be at least 16 printable ASCII characters without spaces.');
    expect(loadConfig({ ADMIN_TOKEN: 'open-sesame-open-sesame' }).adminToken).toBe('open-sesame-open-sesame');
  });

  it.each<[Record<string, string>, string[]]>([
    [{ KAFKA_BROKER: 'x' }, ['KAFKA_BROKER: KAFKA_BROKERS']],
    [{ DEDUP_WINDOW_SECONDS: '1' }, ['DEDUP_WINDOW_SECONDS: DEDUPE_WINDOW_SECONDS']],
    // Somebody else's variable beside our own.
    [{ KAFKA_BROKER: 'x', KAFKA_BROKERS: 'kafka:9092' }, []],
    [{ KAFKA_HEAP_OPTS: '-Xmx1g', PATH: '/bin' }, []],
  ])('knows a setting misspelt: %j', (environment, expected) => {
    expect(misspeltSettings(environment).map(({ name, meant }) => `${name}: ${meant}`)).toEqual(expected);
  });
});
