/**
 * What crosses the boundary between the main thread and a worker thread, and what a worker does with it. The main thread
 * only finds out which schemas a batch needs; everything that decides about an event happens here, in the contract's order,
 * and the same code runs in the main thread where there are no workers.
 *
 * The task's columns and bytes lie in shared memory: nothing is copied on the way in. The answer is moved on the way out.
 *
 * Source: contract section 3, "Dead letter".
 */
import { EventReader } from './avro/event-reader.ts';
import { planEvent } from './avro/event-plan.ts';
import type { EventPlan } from './avro/event-plan.ts';
import { parseWriterSchema } from './avro/writer-schema.ts';
import type { WriterSchema } from './avro/writer-schema.ts';
import { DecodedBatchWriter } from './decoded-batch.ts';
import type { PackedDecodedBatch } from './decoded-batch.ts';
import type { RecordBatch } from './record-batch.ts';
import { notFramedReason, schemaIdAt, schemaIdMax, wireHeaderBytes } from './wire-format.ts';

export interface DecodeTask {
  readonly bytes: Uint8Array;
  /** Start of each value in `bytes`, -1 for null; one row of the answer for each, in order. */
  readonly valueStart: Int32Array;
  readonly valueLength: Int32Array;
  readonly maxEventBytes: number;
  /** Every schema id that `schemaIdsOf` found in these rows. */
  readonly schemas: readonly WriterSchema[];
  /** Shared; how far the thread has come, for those who find it dead. See `progressOf`. */
  readonly progress: Int32Array;
}

/** Where the message lies, for the reader of ISO 20022. The event's row has been begun, with its texts set. */
export interface EventDocument {
  readonly bytes: Uint8Array;
  readonly documentStart: number;
  readonly documentLength: number;
  readonly messageTypeStart: number;
  readonly messageTypeLength: number;
}

/** Reads one ISO 20022 message: appends its transactions, or says what is wrong with it as a whole. */
export type MessageReader = (document: EventDocument, writer: DecodedBatchWriter) => void;

/** Words of `DecodeTask.progress`. */
export const progressWords = 3;
const rowWord = 0;
const stepWord = 1;
const failureWord = 2;

export interface Progress {
  /** The row it is or was on; -1 when it never began, the number of rows when it has done them all. */
  readonly row: number;
  /** `avro` up to the end of the envelope, `xml` from then on. */
  readonly step: 'avro' | 'xml';
  /** Events over which the decoder threw an error of its own. */
  readonly failureCount: number;
}

export function progressOf(words: Int32Array): Progress {
  return {
    row: Atomics.load(words, rowWord) - 1,
    step: Atomics.load(words, stepWord) === 0 ? 'avro' : 'xml',
    failureCount: Atomics.load(words, failureWord),
  };
}

/** The distinct schema ids of the events that need one: framed, not oversize, and an id that a registry can have. */
export function schemaIdsOf(batch: RecordBatch, maxEventBytes: number): number[] {
  const ids = new Set<number>();
  let last = -1;
  for (let row = 0; row < batch.count; row++) {
    const length = batch.valueLength[row]!;
    if (length > maxEventBytes) continue;
    const id = schemaIdAt(batch.bytes, batch.valueStart[row]!, length);
    if (id === last || id < 0 || id > schemaIdMax) continue;
    last = id;
    ids.add(id);
  }
  return [...ids];
}

/** Plans of other schemas are forgotten when there are this many: they are made again when they are needed. */
const plansMax = 1000;

/** One a thread. */
export class EventDecoder {
  readonly #readMessage: MessageReader;
  readonly #writer = new DecodedBatchWriter();
  readonly #reader = new EventReader();
  readonly #plansByText = new Map<string, EventPlan>();

  constructor(readMessage: MessageReader) {
    this.#readMessage = readMessage;
  }

  decode(task: DecodeTask): PackedDecodedBatch {
    const writer = this.#writer;
    writer.reset();
    const schemas = new Map<number, WriterSchema>();
    for (const schema of task.schemas) schemas.set(schema.id, schema);
    let lastId = -1;
    let lastPlan: EventPlan | undefined;
    for (let row = 0; row < task.valueStart.length; row++) {
      const start = task.valueStart[row]!;
      const length = task.valueLength[row]!;
      Atomics.store(task.progress, stepWord, 0);
      Atomics.store(task.progress, rowWord, row + 1);
      writer.beginEvent();
      if (start >= 0 && length > task.maxEventBytes) {
        writer.setDeadLetter('OVERSIZE', `the value has ${length} bytes; at most ${task.maxEventBytes} are read`);
        continue;
      }
      const id = schemaIdAt(task.bytes, start, length);
      if (id < 0) {
        writer.setDeadLetter('NOT_FRAMED', notFramedReason(task.bytes, start, length));
        continue;
      }
      if (id !== lastId) {
        const schema = schemas.get(id);
        if (schema === undefined || schema.kind === 'unknown') {
          writer.setDeadLetter('UNKNOWN_SCHEMA', `the schema registry has no schema with the id ${id}`);
          continue;
        }
        lastPlan = this.#plan(schema);
        lastId = id;
      }
      const plan = lastPlan!;
      if (plan.kind === 'incompatible') {
        writer.setDeadLetter('SCHEMA_INCOMPATIBLE', `schema ${id}: ${plan.reason}`);
        continue;
      }
      try {
        this.#event(task, plan, id, start + wireHeaderBytes, start + length);
      } catch (error) {
        // A mistake of ours over one event must not stop the partition behind it: the bytes are kept in the dead letter,
        // and the main thread says in the log that it was us.
        const step = progressOf(task.progress).step;
        Atomics.add(task.progress, failureWord, 1);
        writer.setDeadLetter(decoderFailureCode(step), `the decoder failed over it: ${oneLine(String(error))}`);
      }
    }
    const packed = writer.pack();
    Atomics.store(task.progress, rowWord, task.valueStart.length + 1);
    return packed;
  }

  #event(task: DecodeTask, plan: EventPlan & { readonly kind: 'plan' }, id: number, start: number, end: number): void {
    const reader = this.#reader;
    const writer = this.#writer;
    const verdict = reader.read(plan.root, task.bytes, start, end);
    if (verdict !== 'read') {
      const code = verdict === 'invalid' ? 'AVRO_INVALID' : 'SCHEMA_INCOMPATIBLE';
      writer.setDeadLetter(code, `schema ${id}: ${reader.reason}`);
      return;
    }
    writer.setCreatedAt(reader.createdAt);
    writer.setEventSpan('eventId', reader.textStart[0], reader.textLength[0]);
    writer.setEventSpan('messageType', reader.textStart[1], reader.textLength[1]);
    writer.setEventSpan('source', reader.textStart[2], reader.textLength[2]);
    Atomics.store(task.progress, stepWord, 1);
    this.#readMessage(
      {
        bytes: task.bytes,
        documentStart: reader.documentStart,
        documentLength: reader.documentLength,
        messageTypeStart: reader.textStart[1],
        messageTypeLength: reader.textLength[1],
      },
      writer,
    );
  }

  #plan(schema: WriterSchema & { readonly kind: 'avro' | 'notAvro' }): EventPlan {
    if (schema.kind === 'notAvro') return { kind: 'incompatible', reason: `it is ${schema.language}, not Avro` };
    const text = schema.texts.join('\n');
    let plan = this.#plansByText.get(text);
    if (plan === undefined) {
      plan = planOf(schema.texts);
      if (this.#plansByText.size >= plansMax) this.#plansByText.clear();
      this.#plansByText.set(text, plan);
    }
    return plan;
  }
}

function planOf(texts: readonly string[]): EventPlan {
  let type;
  try {
    type = parseWriterSchema(texts);
  } catch (error) {
    return { kind: 'incompatible', reason: `it is no Avro schema: ${oneLine(String(error))}` };
  }
  return planEvent(type);
}

/** What an event is dead-lettered as when the decoder itself failed over it, by how far it came. */
export function decoderFailureCode(step: Progress['step']): 'AVRO_INVALID' | 'XML_INVALID' {
  return step === 'avro' ? 'AVRO_INVALID' : 'XML_INVALID';
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 200);
}
