/**
 * One test file's own world on the shared stack: topics behind a prefix of its own, a consumer group of its own,
 * participants, workers, upstream's producer, and a follower of everything that the fleet tells.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes, randomUUID } from 'node:crypto';
import { stackEnvironment } from '../../stack.ts';
import { until } from '../../until.ts';
import { eventSchema, framed, registerSchema, ResultDecoder, typeOf, units } from './avro.ts';
import type { Result } from './avro.ts';
import { Follower, OffsetReader, UpstreamProducer } from './kafka.ts';
import type { Header, Placed, Received } from './kafka.ts';
import { buildMessage, messageType } from './message.ts';
import type { MessageSpec, Wrapping } from './message.ts';
import { owningPartition } from './murmur2.ts';
import { runCommand, Service } from './processes.ts';
import type { Ended, Environment } from './processes.ts';

export interface ParticipantEntry {
  readonly id: string;
  readonly name?: string;
  readonly aliases?: readonly string[];
  readonly currencies: Readonly<Record<string, { readonly debitCap: string }>>;
}

export interface BenchOptions {
  readonly partitions?: number;
  readonly participants?: readonly ParticipantEntry[];
  readonly environment?: Environment;
  /** Left out: the shared stack's. */
  readonly brokers?: string;
}

export interface StoredResult extends Result {
  readonly key: Buffer | null;
  readonly partition: number;
  readonly offset: number;
}

/** What is sent beside the message, and where. */
export interface Sending {
  readonly eventId?: string;
  readonly source?: string;
  readonly createdAt?: number;
  readonly messageType?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly wrapping?: Wrapping;
  /** Left out: the debited participant's own, as Java's default partitioner has it. */
  readonly partition?: number | null;
  readonly key?: string | Uint8Array | null;
  readonly headers?: readonly Header[];
}

/** An event as it was put into the inbound topic. */
export interface Sent extends Placed {
  readonly eventId: string;
  readonly source: string;
  readonly createdAt: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly message: MessageSpec | null;
}

const eventType = typeOf(eventSchema);

export class Bench {
  readonly prefix: string;
  readonly group: string;
  readonly partitions: number;
  readonly environment: Environment;
  readonly brokers: string;
  readonly registryUrl: string;
  readonly results: StoredResult[] = [];
  readonly deadLetters: Received[] = [];
  readonly positionRecords: Received[] = [];
  readonly sent: Sent[] = [];
  readonly services: Service[] = [];
  upstream!: UpstreamProducer;
  eventSchemaId = 0;
  #resultsByEvent = new Map<string, StoredResult[]>();
  #follower: Follower | undefined;
  #offsets: OffsetReader | undefined;
  readonly #directory: string;
  #started = 0;

  private constructor(name: string, options: BenchOptions) {
    const stack = stackEnvironment();
    const unique = `it-${name}-${randomBytes(4).toString('hex')}`;
    this.prefix = `${unique}.`;
    this.group = unique;
    this.partitions = options.partitions ?? 4;
    this.brokers = options.brokers ?? stack.kafkaBrokers;
    this.#directory = mkdtempSync(join(tmpdir(), `settlefleet-${name}-`));
    this.environment = {
      KAFKA_BROKERS: this.brokers,
      SCHEMA_REGISTRY_URL: stack.schemaRegistryUrl,
      REDIS_URL: stack.redisUrl,
      CLICKHOUSE_URL: `chdb:${join(this.#directory, 'clickhouse')}`,
      TOPIC_PREFIX: this.prefix,
      CONSUMER_GROUP: this.group,
      SCHEMA_CACHE_DIR: join(this.#directory, 'schemas'),
      METRICS_PORT: '0',
      PARSER_THREADS: '1',
      ...options.environment,
    };
    this.registryUrl = stack.schemaRegistryUrl;
  }

  static async create(name: string, options: BenchOptions = {}): Promise<Bench> {
    const bench = new Bench(name, options);
    try {
      await bench.command('topics', 'apply', '--partitions', String(bench.partitions));
      bench.eventSchemaId = await registerSchema(bench.registryUrl, `${bench.prefix}inbound-value`, eventSchema);
      bench.upstream = await UpstreamProducer.connect(bench.brokers);
      if (options.participants !== undefined) await bench.applyParticipants(options.participants);
      await bench.#follow();
    } catch (error) {
      await bench.close();
      throw error;
    }
    return bench;
  }

  topic(name: 'inbound' | 'results' | 'dead-letter' | 'participants' | 'positions'): string {
    return `${this.prefix}${name}`;
  }

  folder(name: string): string {
    return join(this.#directory, name);
  }

  /** Runs a command that must end with exit code 0. */
  async command(...args: string[]): Promise<Ended> {
    const ended = await runCommand(args, this.environment);
    if (ended.code !== 0) throw new Error(`settlefleet ${args.join(' ')} ended with ${ended.code ?? ended.signal}\n${ended.stdout}\n${ended.stderr}`);
    return ended;
  }

  async applyParticipants(participants: readonly ParticipantEntry[], ...options: string[]): Promise<void> {
    const file = this.folder('participants.json');
    writeFileSync(file, JSON.stringify(participants.map((entry) => (typeof entry === 'object' ? { name: `Bank ${entry.id}`, ...entry } : entry))));
    await this.command('participants', 'apply', file, ...options);
  }

  async startWorker(environment: Environment = {}): Promise<Service> {
    const name = `worker-${++this.#started}`;
    const service = await Service.start(name, ['worker'], { ...this.environment, WORKER_ID: `${this.group}-${name}`, ...environment });
    this.services.push(service);
    return service;
  }

  async startSink(environment: Environment = {}): Promise<Service> {
    const name = `sink-${++this.#started}`;
    const service = await Service.start(name, ['sink'], { ...this.environment, ...environment });
    this.services.push(service);
    return service;
  }

  // ── Upstream ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The value of an event, in the Confluent wire format. */
  encode(document: Uint8Array | string, sending: Sending & { eventId: string; createdAt: number }): Buffer {
    return framed(this.eventSchemaId, eventType.toBuffer({
      eventId: sending.eventId,
      messageType: sending.messageType ?? messageType,
      source: sending.source ?? 'integration',
      createdAt: sending.createdAt,
      document: Buffer.from(document),
      attributes: sending.attributes ?? {},
    }));
  }

  /** Puts a message into the inbound topic; resolves when the broker has it. */
  async send(message: MessageSpec, sending: Sending = {}): Promise<Sent> {
    return this.sendDocument(buildMessage(message, sending.wrapping), { ...sending, message });
  }

  async sendDocument(document: Uint8Array | string, sending: Sending & { message?: MessageSpec } = {}): Promise<Sent> {
    const eventId = sending.eventId ?? randomUUID();
    const createdAt = sending.createdAt ?? Date.now();
    const value = this.encode(document, { ...sending, eventId, createdAt });
    return this.sendValue(value, { ...sending, eventId, createdAt });
  }

  /** Puts any bytes into the inbound topic. */
  async sendValue(value: Uint8Array | null, sending: Sending & { message?: MessageSpec } = {}): Promise<Sent> {
    const key = sending.key === undefined ? naturalKey(sending.message) : sending.key;
    const keyBytes = key === null ? null : Buffer.from(key);
    const partition = sending.partition === undefined
      ? (keyBytes === null ? 0 : owningPartition(keyBytes.toString(), this.partitions))
      : sending.partition;
    const placed = await this.upstream.produce({
      topic: this.topic('inbound'),
      partition,
      key: keyBytes,
      value,
      ...(sending.headers === undefined ? {} : { headers: sending.headers }),
    });
    const sent: Sent = {
      ...placed,
      eventId: sending.eventId ?? '',
      source: sending.source ?? 'integration',
      createdAt: sending.createdAt ?? 0,
      key: keyBytes,
      value: value === null ? null : Buffer.from(value),
      message: sending.message ?? null,
    };
    this.sent.push(sent);
    return sent;
  }

  // ── What the fleet told ────────────────────────────────────────────────────────────────────────────────────────────

  async #follow(): Promise<void> {
    const decoder = new ResultDecoder(this.registryUrl);
    const results = this.topic('results');
    const deadLetter = this.topic('dead-letter');
    this.#follower = await Follower.start({
      brokers: this.brokers,
      topics: [results, deadLetter, this.topic('positions')],
      take: async (records) => {
        for (const record of records) {
          if (record.topic === deadLetter) this.deadLetters.push(record);
          else if (record.topic === results) {
            await decoder.prepare(record.value!);
            this.#store({ ...decoder.decode(record.value!), key: record.key, partition: record.partition, offset: record.offset });
          } else this.positionRecords.push(record);
        }
      },
    });
    this.#offsets = await OffsetReader.connect(this.brokers, this.group);
  }

  #store(result: StoredResult): void {
    this.results.push(result);
    const known = this.#resultsByEvent.get(result.eventId);
    if (known === undefined) this.#resultsByEvent.set(result.eventId, [result]);
    else known.push(result);
  }

  get offsets(): OffsetReader {
    return this.#offsets!;
  }

  resultsOf(eventId: string): StoredResult[] {
    return (this.#resultsByEvent.get(eventId) ?? []).toSorted((a, b) => a.transactionIndex - b.transactionIndex);
  }

  deadLettersOf(sent: Placed): Received[] {
    return this.deadLetters.filter((record) =>
      headerText(record, 'dlq.partition') === String(sent.partition) && headerText(record, 'dlq.offset') === String(sent.offset));
  }

  /** All results of an event, in the order of its transactions, once there are `count`. */
  async outcome(sent: Sent, count = sent.message?.transactions.length ?? 1, boundMs = 20_000): Promise<StoredResult[]> {
    await this.#waitFor(`${count} results of event ${sent.eventId} at ${sent.partition}/${sent.offset}`, () => this.resultsOf(sent.eventId).length >= count, boundMs);
    return this.resultsOf(sent.eventId);
  }

  /** The only result of an event with one transaction, or of a message as a whole. */
  async only(sent: Sent): Promise<StoredResult> {
    const found = await this.outcome(sent, 1);
    if (found.length !== 1) throw new Error(`${found.length} results of ${sent.eventId}, not 1`);
    return found[0]!;
  }

  async settle(message: MessageSpec, sending: Sending = {}): Promise<StoredResult[]> {
    return this.outcome(await this.send(message, sending));
  }

  async deadLetter(sent: Sent, boundMs = 20_000): Promise<Received> {
    await this.#waitFor(`the dead letter of ${sent.partition}/${sent.offset}`, () => this.deadLettersOf(sent).length > 0, boundMs);
    const found = this.deadLettersOf(sent);
    if (found.length !== 1) throw new Error(`${found.length} dead letters of ${sent.partition}/${sent.offset}, not 1`);
    return found[0]!;
  }

  /** Waits for an answer to each transaction of these events, or to the message as a whole. */
  async answered(sent: readonly Sent[], boundMs = 45_000): Promise<void> {
    const isAnswered = ({ eventId, message }: Sent): boolean => {
      const results = this.resultsOf(eventId);
      return results[0]?.transactionIndex === -1 || results.length === message!.transactions.length;
    };
    let answered = 0;
    await this.#waitFor(`an answer to each of ${sent.length} events`, () => {
      while (answered < sent.length && isAnswered(sent[answered]!)) answered++;
      return answered === sent.length;
    }, boundMs);
  }

  /** Positions as the changelog has them, in units of the fifth decimal place, by `participant|currency`. */
  positions(): Map<string, bigint> {
    const positions = new Map<string, bigint>();
    for (const { key, value } of this.positionRecords) {
      const name = key?.toString() ?? '';
      if (!/^[^|]+\|[A-Z]{3}$/.test(name)) continue;
      if (value === null) positions.delete(name);
      else positions.set(name, units((JSON.parse(value.toString()) as { position: string }).position));
    }
    return positions;
  }

  /** Waits until the group has committed everything in the inbound topic and positions add up to 0 in each currency. */
  async atRest(boundMs = 30_000): Promise<void> {
    await this.#waitFor('Kafka says the group has no lag', async () => (await this.offsets.lag(this.topic('inbound'))) === 0, boundMs);
    await this.#waitFor('the positions of each currency add up to 0', () => [...sums(this.positions()).values()].every((sum) => sum === 0n), boundMs);
  }

  async waitFor(what: string, condition: () => boolean | Promise<boolean>, boundMs = 20_000): Promise<void> {
    await this.#waitFor(what, condition, boundMs);
  }

  async #waitFor(what: string, condition: () => boolean | Promise<boolean>, boundMs: number): Promise<void> {
    try {
      await until(what, condition, boundMs);
    } catch (error) {
      const outputs = this.services.map((service) => service.output.slice(-4000)).join('\n');
      throw new Error(`${(error as Error).message}\nfollower: ${String(this.#follower?.failure)}\n${outputs}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.services.map((service) => service.kill().catch(() => undefined)));
    await this.#follower?.stop();
    await this.#offsets?.close();
    await (this.upstream as UpstreamProducer | undefined)?.close();
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function sums(positions: ReadonlyMap<string, bigint>): Map<string, bigint> {
  const byCurrency = new Map<string, bigint>();
  for (const [name, position] of positions) {
    const currency = name.slice(name.lastIndexOf('|') + 1);
    byCurrency.set(currency, (byCurrency.get(currency) ?? 0n) + position);
  }
  return byCurrency;
}

export function headerText(record: Received, name: string): string | undefined {
  return record.headers.findLast(({ key }) => key === name)?.value?.toString();
}

/** What upstream would take as a key: the first transaction's debited participant, where it has a BIC or a member. */
function naturalKey(message: MessageSpec | undefined): string {
  const first = message?.transactions[0];
  const agent = first?.instructingAgent ?? message?.instructingAgent ?? first?.debtorAgent;
  if (agent === undefined) return 'unknown';
  if ('bic' in agent) return agent.bic.length === 8 ? `${agent.bic}XXX` : agent.bic;
  if ('system' in agent) return `${agent.system}:${agent.member}`;
  return 'unknown';
}
