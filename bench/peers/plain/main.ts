/**
 * The fleet's job as a good ordinary Node project does it: the client's KafkaJS-like API with eachBatch, the schema
 * registry's own package, a task for each message in a Piscina pool, one SET NX for each payment in Redis, and one Kafka
 * transaction for each batch, which holds results, dead letters, changed positions and the offset.
 *
 * As well as one would: batches of up to 500 instead of the client's 32, all messages of a batch parsed side by side, all
 * claims of a batch sent without waiting for each other, lz4, a claim that knows its maker, so that a batch that is read
 * again meets its own. Positions live in memory, with a changelog. It ends when anything fails.
 *
 * It does less than the fleet: no XSD, no IBAN, no directory, no caps by participant, no re-routing. One process only, since
 * positions of all participants are in its memory; with several, credits would have to travel. And it is measured from its
 * beginning only: to read the changelog back is not written, so it refuses to start where there is one.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { KafkaJS } from '@confluentinc/kafka-javascript';
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry';
import { Redis } from 'ioredis';
import { Piscina } from 'piscina';
import type { ParsedMessage, ParsedPayment } from './parse-worker.ts';

type Names = 'KAFKA_BROKERS' | 'GROUP' | 'INBOUND' | 'RESULTS' | 'DEAD_LETTER' | 'POSITIONS' | 'REDIS_URL' | 'SCHEMA_REGISTRY_URL';
const environment = process.env as Record<Names, string>;
const { INBOUND: inbound, RESULTS: results, DEAD_LETTER: deadLetter, POSITIONS: positionsTopic, GROUP: group } = environment;
const debitCap = 900_000_000_000_000n;
const claimSeconds = 86_400;

interface PaymentEvent {
  readonly eventId: string;
  readonly messageType: string;
  readonly source: string;
  readonly createdAt: number;
  readonly document: Buffer;
}

const kafka = new KafkaJS.Kafka({ kafkaJS: { clientId: group, brokers: environment.KAFKA_BROKERS.split(','), logLevel: KafkaJS.logLevel.ERROR } });
const consumer = kafka.consumer({
  kafkaJS: { groupId: group, fromBeginning: true, autoCommit: false, readUncommitted: false },
  'js.consumer.max.batch.size': 500,
});
const producer = kafka.producer({
  kafkaJS: { transactionalId: `${group}-producer`, idempotent: true, maxInFlightRequests: 5, compression: KafkaJS.CompressionTypes.LZ4 },
  'linger.ms': 5,
});
const registry = new SchemaRegistry({ host: environment.SCHEMA_REGISTRY_URL });
const redis = new Redis(environment.REDIS_URL);
const pool = new Piscina<Uint8Array, ParsedMessage>({ filename: join(import.meta.dirname, 'parse-worker.ts'), maxThreads: Math.max(1, availableParallelism() - 1) });

const positions = new Map<string, bigint>();
const sequences = new Map<number, number>();

const resultSchemaId = await registry.getLatestSchemaId(`${results}-value`);
await refuseToForget();
await producer.connect();
await consumer.connect();
await consumer.subscribe({ topic: inbound });
await consumer.run({
  eachBatchAutoResolve: false,
  async eachBatch(payload) {
    const { batch } = payload;
    try {
      await settle(batch);
      payload.resolveOffset(batch.messages.at(-1)!.offset);
    } catch (error) {
      console.error(error);
      process.exit(1);
    }
  },
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => void consumer.disconnect().then(() => producer.disconnect()).finally(() => process.exit(0)));
}

async function settle({ partition, messages }: { readonly partition: number; readonly messages: readonly KafkaJS.KafkaMessage[] }): Promise<void> {
  const read = await Promise.all(messages.map(async (message) => {
    try {
      const event = await registry.decode(message.value!) as PaymentEvent;
      return { message, event, parsed: await pool.run(event.document) };
    } catch {
      return { message, event: null, parsed: null };
    }
  }));
  const answers: { key: string; value: Buffer }[] = [];
  const letters: { key: Buffer | null; value: Buffer | null }[] = [];
  const changed = new Set<string>();
  const claims = await Promise.all(read.flatMap(({ message, event, parsed }) =>
    event === null ? [] : parsed.payments.map((payment, i) => claim(payment, `${partition}:${message.offset}:${i}:${event.eventId}`))));
  let claimed = 0;
  for (const { message, event, parsed } of read) {
    if (event === null) {
      letters.push({ key: message.key, value: message.value });
      continue;
    }
    for (let i = 0; i < parsed.payments.length; i++) {
      const owner = claims[claimed++]!;
      const payment = parsed.payments[i]!;
      const value = await decide({ event, message, parsed, payment, index: i, partition, owner, changed });
      answers.push({ key: payment.debited, value });
    }
  }

  const transaction = await producer.transaction();
  try {
    const sends = [
      { topic: results, messages: answers },
      { topic: deadLetter, messages: letters },
      { topic: positionsTopic, messages: Array.from(changed, (name) => ({ key: name, value: JSON.stringify({ position: decimal(positions.get(name)!) }) })) },
    ].filter((send) => send.messages.length > 0);
    await Promise.all(sends.map((send) => transaction.send(send)));
    const offset = String(BigInt(messages.at(-1)!.offset) + 1n);
    await transaction.sendOffsets({ consumer, topics: [{ topic: inbound, partitions: [{ partition, offset }] }] });
    await transaction.commit();
  } catch (error) {
    await transaction.abort();
    throw error;
  }
}

/** Null when the payment is ours to settle, else the event that claimed it before. */
async function claim(payment: ParsedPayment, maker: string): Promise<string | null> {
  const before = await redis.set(`${group}:${payment.debited}|${identityOf(payment)}`, maker, 'EX', claimSeconds, 'NX', 'GET');
  return before === null || before === maker ? null : before.slice(before.lastIndexOf(':') + 1);
}

function identityOf(payment: ParsedPayment): string {
  return payment.uetr !== null ? `pacs.008|UETR|${payment.uetr}` : `pacs.008|TXID|${payment.transactionId}`;
}

async function decide({ event, message, parsed, payment, index, partition, owner, changed }: {
  readonly event: PaymentEvent; readonly message: KafkaJS.KafkaMessage; readonly parsed: ParsedMessage; readonly payment: ParsedPayment;
  readonly index: number; readonly partition: number; readonly owner: string | null; readonly changed: Set<string>;
}): Promise<Buffer> {
  const amount = unitsOf(payment.amount);
  const from = `${payment.debited}|${payment.currency}`;
  const to = `${payment.credited}|${payment.currency}`;
  let reasonCode: string | null = null;
  let after: bigint | null = null;
  if (owner !== null) reasonCode = 'AM05';
  else if ((positions.get(from) ?? 0n) - amount < -debitCap) reasonCode = 'AM04';
  else {
    after = (positions.get(from) ?? 0n) - amount;
    positions.set(from, after);
    positions.set(to, (positions.get(to) ?? 0n) + amount);
    changed.add(from).add(to);
    sequences.set(partition, (sequences.get(partition) ?? 0) + 1);
  }
  return registry.encode(resultSchemaId, {
    eventId: event.eventId, messageType: event.messageType, source: event.source, messageId: parsed.messageId, transactionIndex: index,
    instructionId: payment.instructionId, endToEndId: payment.endToEndId, transactionId: payment.transactionId, uetr: payment.uetr,
    status: reasonCode === null ? 'ACSC' : 'RJCT', reasonCode, reason: null, debitedParticipant: payment.debited, creditedParticipant: payment.credited,
    currency: payment.currency, amount: decimalBytes(amount), positionAfter: after === null ? null : decimalBytes(after),
    sequence: after === null ? null : sequences.get(partition)!, createdAt: event.createdAt, receivedAt: Number(message.timestamp), settledAt: Date.now(),
    inboundPartition: partition, inboundOffset: Number(message.offset), originalEventId: owner, identity: reasonCode === 'AM05' ? null : identityOf(payment), statusReport: null,
  });
}

/** In 10^-5 of the currency's unit. */
function unitsOf(amount: string): bigint {
  const [whole = '', fraction = ''] = amount.split('.');
  return BigInt(whole + fraction.slice(0, 5).padEnd(5, '0'));
}

function decimal(units: bigint): string {
  const digits = (units < 0n ? -units : units).toString().padStart(6, '0');
  return `${units < 0n ? '-' : ''}${digits.slice(0, -5)}.${digits.slice(-5)}`;
}

/** Avro's decimal: two's complement, big-endian. */
function decimalBytes(units: bigint): Buffer {
  const bytes = Buffer.alloc(9);
  bytes.writeInt8(units < 0n ? -1 : 0);
  bytes.writeBigInt64BE(units, 1);
  return bytes;
}

async function refuseToForget(): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(positionsTopic);
  await admin.disconnect();
  if (ends.some(({ high, low }) => high !== low)) throw new Error(`${positionsTopic} holds positions of an earlier process`);
}
