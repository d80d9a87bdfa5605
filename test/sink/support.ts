/**
 * What the sink's tests share: topics of their own in a real Kafka, written as the fleet writes them, and both sides of the
 * comparison, the topic and the table, as plain rows.
 */
import { createHash, randomUUID } from 'node:crypto';
import kafka from '@confluentinc/kafka-javascript';
import type { ClickhouseConnection } from '../../src/adapters/clickhouse/connection.ts';
import { connectTopicAdmin } from '../../src/adapters/kafka/admin.ts';
import { call, connect, createProducer, disconnect, clientHeaders } from '../../src/adapters/kafka/client.ts';
import type { Producer } from '../../src/adapters/kafka/client.ts';
import { createTopicReader } from '../../src/adapters/kafka/topic-reader.ts';
import { resultSchemaId } from '../../src/adapters/registry/result-schema.ts';
import { planTopics } from '../../src/cli/topic-plan.ts';
import { decodePaymentResult, encodePaymentResult } from '../../src/codec/payment-result.ts';
import type { PaymentResult } from '../../src/codec/payment-result.ts';
import { keyBytes, valueBytes } from '../../src/codec/record-batch.ts';
import { wireHeaderBytes } from '../../src/codec/wire-format.ts';
import { topicNames } from '../../src/domain/topics.ts';
import type { TopicNames } from '../../src/domain/topics.ts';
import type { Log } from '../../src/ports.ts';
import { resultColumns, ResultRowWriter } from '../../src/sink/result-rows.ts';
import { RowText } from '../../src/sink/row-text.ts';
import { stackEnvironment } from '../stack.ts';
import { until } from '../until.ts';

export const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export type Row = Readonly<Record<string, unknown>>;

export interface SinkWorld {
  readonly prefix: string;
  readonly topics: TopicNames;
  readonly partitions: number;
  readonly brokers: string;
  readonly registryUrl: string;
  readonly schemaId: number;
  /** One Kafka transaction that holds these; aborted on demand. */
  write(records: readonly SinkRecord[], end?: 'commit' | 'abort'): Promise<void>;
  /** `count` results of a partition, in Kafka transactions of at most 500. */
  writeResults(partition: number, count: number): Promise<void>;
  /** The rows that the table must hold, from the topic itself. */
  expectedResults(): Promise<readonly Row[]>;
  expectedDeadLetters(): Promise<readonly Row[]>;
  /** Deletes the topics and creates them anew under the same names. */
  recreateTopics(): Promise<void>;
  close(): Promise<void>;
}

export interface SinkRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: readonly { readonly key: string; readonly value: Buffer | null }[];
}

export async function createWorld(options: { partitions: number; brokers?: string }): Promise<SinkWorld> {
  const stack = stackEnvironment();
  const brokers = options.brokers ?? stack.kafkaBrokers;
  const { partitions } = options;
  const prefix = `sink-${randomUUID().slice(0, 8)}.`;
  const topics = topicNames(prefix);
  const admin = await connectTopicAdmin({ brokers, clientId: 'test', waitMs: 20_000, onWait: () => {} });
  const wanted = new Set([topics.results, topics.deadLetter, topics.participants]);
  const plans = planTopics({ topicPrefix: prefix, maxEventBytes: 1 << 20, dedupeWindowSeconds: 86_400 }, partitions);
  const createTopics = async (): Promise<void> => {
    for (const plan of plans) if (wanted.has(plan.name)) await admin.create(plan, -1);
  };
  await createTopics();
  const schemaId = await resultSchemaId({ url: stack.schemaRegistryUrl, prefix, log: quiet });
  const producer = createProducer(brokers, 'test', { 'transactional.id': `test-${prefix}`, 'queue.buffering.max.messages': 200_000 });
  await connect(producer, 10_000);
  await call((done) => producer.initTransactions(10_000, done));
  const reader = createTopicReader({ brokers, clientId: `test-${prefix}`, log: quiet });
  let serial = 0;

  const write: SinkWorld['write'] = async (records, end = 'commit') => {
    await call((done) => producer.beginTransaction(done));
    for (const record of records) await produce(producer, record);
    if (end === 'commit') await call((done) => producer.commitTransaction(20_000, done));
    // What is aborted must have reached the broker, or there would be no gap in the offsets.
    else {
      await call((done) => producer.flush(20_000, done));
      await call((done) => producer.abortTransaction(20_000, done));
    }
  };

  return {
    prefix,
    topics,
    partitions,
    brokers,
    registryUrl: stack.schemaRegistryUrl,
    schemaId,
    write,

    async writeResults(partition, count) {
      for (let left = count; left > 0; left -= 500) {
        const records = Array.from({ length: Math.min(500, left) }, () => {
          const result = sampleResult(serial++, partition);
          return { topic: topics.results, partition, key: Buffer.from('COBADEFFXXX'), value: resultValue(result, schemaId) };
        });
        await write(records);
      }
    },

    async expectedResults() {
      const rows: Row[] = [];
      for (let partition = 0; partition < partitions; partition++) {
        await reader.readToEnd({ topic: topics.results, partition, from: null }, (batch) => {
          for (let row = 0; row < batch.count; row++) {
            const value = valueBytes(batch, row);
            if (value === null) continue;
            rows.push(resultRow(decodePaymentResult(value), partition, batch.offsets[row]!));
          }
        });
      }
      return rows;
    },

    async expectedDeadLetters() {
      const rows: Row[] = [];
      for (let partition = 0; partition < partitions; partition++) {
        await reader.readToEnd({ topic: topics.deadLetter, partition, from: null }, (batch) => {
          for (let row = 0; row < batch.count; row++) {
            const header = (name: string): string =>
              Buffer.from(batch.headers[row]?.find(({ key }) => key === name)?.value ?? new Uint8Array(0)).toString();
            const key = keyBytes(batch, row);
            const value = valueBytes(batch, row) ?? new Uint8Array(0);
            rows.push({
              code: header('dlq.code'),
              reason: header('dlq.reason'),
              inbound_topic: header('dlq.topic'),
              inbound_partition: Number(header('dlq.partition')),
              inbound_offset: header('dlq.offset'),
              failed_at: header('dlq.failed-at').replace('T', ' ').replace('Z', ''),
              worker: header('dlq.worker'),
              key: key === null ? null : Buffer.from(key).toString('hex').toUpperCase(),
              value_size: String(value.length),
              value_sha256: createHash('sha256').update(value).digest('hex'),
              dead_letter_partition: partition,
              dead_letter_offset: String(batch.offsets[row]!),
            });
          }
        });
      }
      return rows;
    },

    async recreateTopics() {
      const client = kafka.AdminClient.create({ 'bootstrap.servers': brokers, log_level: 3 });
      for (const topic of wanted) await call((done) => client.deleteTopic(topic, 10_000, done));
      await until('the topics are gone', async () => (await admin.describe([...wanted])).size === 0, 20_000);
      await createTopics();
      client.disconnect();
    },

    async close() {
      admin.close();
      await disconnect(producer);
      await reader.close();
    },
  };
}

/** The queries that give the tables as the functions above give the topics. */
export const resultsQuery =
  'SELECT * REPLACE (toString(amount) AS amount, toString(position_after) AS position_after, toString(sequence) AS sequence, ' +
  'toString(inbound_offset) AS inbound_offset, toString(result_offset) AS result_offset, hex(status_report) AS status_report) ' +
  'FROM results ORDER BY result_partition, results.result_offset';
export const deadLettersQuery =
  'SELECT * REPLACE (hex(key) AS key, toString(inbound_offset) AS inbound_offset, toString(value_size) AS value_size, ' +
  'toString(dead_letter_offset) AS dead_letter_offset) FROM dead_letters ORDER BY dead_letter_partition, dead_letters.dead_letter_offset';

/** Each materialized view, and the plain query over the raw rows that it must equal. */
const viewsAndRaw: readonly (readonly [view: string, raw: string])[] = [
  [
    'SELECT minute, currency, status, source, debited_participant, credited_participant, result_partition, sum(transactions), sum(total_amount) FROM volume_minutes GROUP BY ALL',
    "SELECT toStartOfMinute(settled_at), ifNull(currency, ''), status, source, ifNull(debited_participant, ''), ifNull(credited_participant, ''), " +
      'result_partition, count(), toDecimal128(ifNull(sum(amount), 0), 5) FROM results WHERE transaction_index >= 0 GROUP BY ALL',
  ],
  [
    'SELECT minute, result_partition, sum(results), max(created_to_settled_max), max(received_to_settled_max), ' +
      'toString(quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(created_to_settled)), toString(quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(received_to_settled)) FROM latency_minutes GROUP BY ALL',
    'WITH toUnixTimestamp64Milli(settled_at) AS t, t - toUnixTimestamp64Milli(created_at) AS c, t - toUnixTimestamp64Milli(received_at) AS r ' +
      'SELECT toStartOfMinute(settled_at) AS m, result_partition, count(), max(c), max(r), ' +
      'toString(quantilesDD(0.01, 0.5, 0.95, 0.99)(toFloat64(c))), toString(quantilesDD(0.01, 0.5, 0.95, 0.99)(toFloat64(r))) FROM results GROUP BY m, result_partition',
  ],
  [
    'SELECT day, participant, currency, result_partition, sum(debit_count), sum(debits), sum(credit_count), sum(credits) FROM statement_days GROUP BY ALL',
    "SELECT day, participant, currency, result_partition, countIf(side = 'debit'), toDecimal128(sumIf(amount, side = 'debit'), 5), " +
      "countIf(side = 'credit'), toDecimal128(sumIf(amount, side = 'credit'), 5) FROM movements GROUP BY ALL",
  ],
];

/** How many rows of the materialized views differ from the plain query: a column for each, all 0 when they are equal. */
export const viewDifferencesQuery = `SELECT ${viewsAndRaw
  .map(([view, raw], i) => `(SELECT toInt32(count()) FROM ((${view}) EXCEPT (${raw}) UNION ALL ((${raw}) EXCEPT (${view})))) AS v${i}`)
  .join(', ')}`;
export const noDifferences = Object.fromEntries(viewsAndRaw.map((_, i) => [`v${i}`, 0]));

export function parseRows(jsonEachRow: string): readonly Row[] {
  return jsonEachRow.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Row);
}

export function resultValue(result: PaymentResult, schemaId: number): Buffer {
  const bytes = Buffer.alloc(1 << 16);
  return bytes.subarray(0, encodePaymentResult(result, schemaId, bytes, 0));
}

/** Results of every shape: nulls, tabs and line feeds, letters beyond ASCII, large and negative amounts, odd times. */
export function sampleResult(serial: number, partition: number): PaymentResult {
  const rejected = serial % 5 === 0;
  const odd = serial % 7 === 0;
  return {
    eventId: randomUUID(),
    messageType: 'pacs.008.001.08',
    source: odd ? 'a\tb\nc\\d\re\0f' : 'swift',
    messageId: odd ? null : `MSG-${serial}`,
    transactionIndex: serial % 11 === 0 ? -1 : serial % 3,
    instructionId: odd ? '' : `INSTR-${serial}`,
    endToEndId: odd ? '\\N' : 'NOTPROVIDED',
    transactionId: serial % 2 === 0 ? null : `TX-${serial}`,
    uetr: odd ? null : randomUUID(),
    status: rejected ? 'RJCT' : 'ACSC',
    reasonCode: rejected ? 'AM04' : null,
    reason: rejected ? 'Überschreitet den Rahmen: 値 – 💶' : null,
    debitedParticipant: odd ? 'USABA:021040078' : 'COBADEFFXXX',
    creditedParticipant: odd ? null : 'DEUTDEFFXXX',
    currency: odd ? null : 'EUR',
    amount: odd ? null : serial % 13 === 0 ? 999_999_999_999_999_999n : BigInt(serial) * 12_345n,
    positionAfter: rejected ? null : serial % 13 === 0 ? -(10n ** 25n) - BigInt(serial) : -BigInt(serial) * 1_000n,
    sequence: rejected ? null : serial + 1,
    createdAt: 1_795_000_000_000 + serial,
    receivedAt: odd ? -1 : 1_795_000_000_001 + serial,
    settledAt: 1_795_000_000_002 + serial,
    inboundPartition: partition,
    inboundOffset: serial * 2,
    originalEventId: rejected ? randomUUID() : null,
    identity: rejected ? null : `pacs.008|UETR|${serial}`,
    statusReport: serial % 17 === 0 ? Buffer.from([0, 9, 10, 13, 92, 255, 39, 34, 60, 63]) : null,
  };
}

/** Stores results as the sink does: consecutive offsets of one partition, one block. */
export async function insertResults(clickhouse: ClickhouseConnection, partition: number, firstOffset: number, results: readonly PaymentResult[]): Promise<void> {
  const text = new RowText();
  const writer = new ResultRowWriter(text);
  for (const [i, result] of results.entries()) {
    const value = resultValue(result, 1);
    writer.append(value, wireHeaderBytes, value.length, partition, firstOffset + i);
  }
  await clickhouse.insert({
    database: 'payments',
    table: 'results',
    columns: resultColumns,
    structure: '',
    text: text.take(),
    deduplicationToken: `${partition}-${firstOffset}`,
    queryIdPrefix: 'test',
    refuseWhen: '0',
  });
}

/** The table's row of a result, as ClickHouse shows it in JSONEachRow. */
export function resultRow(result: PaymentResult, partition: number, offset: number): Row {
  return {
    event_id: result.eventId,
    message_type: result.messageType,
    source: result.source,
    message_id: result.messageId,
    transaction_index: result.transactionIndex,
    instruction_id: result.instructionId,
    end_to_end_id: result.endToEndId,
    transaction_id: result.transactionId,
    uetr: result.uetr,
    status: result.status,
    reason_code: result.reasonCode,
    reason: result.reason,
    debited_participant: result.debitedParticipant,
    credited_participant: result.creditedParticipant,
    currency: result.currency,
    amount: decimalText(result.amount),
    position_after: decimalText(result.positionAfter),
    sequence: result.sequence === null ? null : String(result.sequence),
    created_at: timeText(result.createdAt),
    received_at: timeText(result.receivedAt),
    settled_at: timeText(result.settledAt),
    inbound_partition: result.inboundPartition,
    inbound_offset: String(result.inboundOffset),
    original_event_id: result.originalEventId,
    identity: result.identity,
    status_report: result.statusReport === null ? null : Buffer.from(result.statusReport).toString('hex').toUpperCase(),
    result_partition: partition,
    result_offset: String(offset),
  };
}

/** As ClickHouse writes a Decimal(_, 5): without zeros at the end. */
function decimalText(units: bigint | null): string | null {
  if (units === null) return null;
  const digits = (units < 0n ? -units : units).toString().padStart(6, '0');
  const text = `${digits.slice(0, -5)}.${digits.slice(-5)}`.replace(/\.?0+$/, '');
  return `${units < 0n ? '-' : ''}${text}`;
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('T', ' ').replace('Z', '');
}

async function produce(producer: Producer, record: SinkRecord): Promise<void> {
  for (;;) {
    try {
      producer.produce(
        record.topic,
        record.partition,
        record.value,
        record.key,
        Date.now(),
        undefined,
        record.headers === undefined ? undefined : clientHeaders(record.headers),
      );
      return;
    } catch (error) {
      if ((error as { code?: number }).code !== -184) throw error;
      await call((done) => producer.flush(5000, done));
    }
  }
}
