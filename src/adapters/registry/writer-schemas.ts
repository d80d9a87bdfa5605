/**
 * Schema ids to schemas. An id that is known costs nothing; one that is not is asked for, and while the registry is away
 * only those wait who need an id that nobody remembers. "No such schema" is believed only when the registry says it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WriterSchema } from '../../codec/avro/writer-schema.ts';
import { OutageError } from '../../errors.ts';
import type { Log, Telemetry } from '../../ports.ts';
import { RegistryClient } from './client.ts';
import { SchemaFiles } from './schema-files.ts';

/**
 * For so long is "no such schema" believed. Short, because a producer may register the schema in the next moment; long
 * enough that a stream of garbage asks once a batch, not once a record.
 */
const unknownBelievedMs = 1000;
const unknownRememberedMax = 10_000;
/** Look-ups at a time for one caller: a batch full of invented ids must not keep another partition's one id waiting. */
const lookUpsPerCallerMax = 8;
/** Of all callers together: a lane has many batches here at once, and a registry serves more than this fleet. */
const requestsMax = 16;
const retryFirstMs = 100;
const retryMaxMs = 2000;

export interface WriterSchemasOptions {
  readonly url: string;
  /** Where schemas are kept between runs. */
  readonly directory: string;
  readonly log: Log;
  readonly telemetry: Pick<Telemetry, 'dependency'>;
}

export interface RegistryWriterSchemas {
  /** One schema for each id, in order. Waits an outage out, for as long as it takes; rejects only after `close`. */
  resolve(ids: readonly number[]): Promise<readonly WriterSchema[]>;
  /** Everything that waits is rejected with an `OutageError`. */
  close(): void;
}

export function createWriterSchemas(options: WriterSchemasOptions): RegistryWriterSchemas {
  return new WriterSchemas(options);
}

class WriterSchemas implements RegistryWriterSchemas {
  readonly #client: RegistryClient;
  readonly #files: SchemaFiles;
  readonly #log: Log;
  readonly #telemetry: Pick<Telemetry, 'dependency'>;
  readonly #closing = new AbortController();
  readonly #known = new Map<number, WriterSchema>();
  /** From disk, good while the registry is away: one that lost its memory may give the ids to other schemas. */
  readonly #provisional = new Map<number, WriterSchema>();
  readonly #unknownUntil = new Map<number, number>();
  readonly #underWay = new Map<number, Promise<WriterSchema>>();
  #up: boolean | null = null;
  #retryMs = retryFirstMs;
  #nextTryAt = 0;
  #requests = 0;
  /** Those who wait for a request to end before they make theirs, in turn. */
  readonly #inTurn: (() => void)[] = [];

  constructor(options: WriterSchemasOptions) {
    this.#client = new RegistryClient(options.url);
    this.#files = new SchemaFiles({ directory: options.directory, registryUrl: options.url, log: options.log });
    this.#log = options.log;
    this.#telemetry = options.telemetry;
  }

  async resolve(ids: readonly number[]): Promise<readonly WriterSchema[]> {
    const schemas: WriterSchema[] = new Array(ids.length);
    let next = 0;
    const lookUp = async (): Promise<void> => {
      while (next < ids.length) {
        const index = next++;
        const id = ids[index]!;
        schemas[index] = this.#remembered(id) ?? (await this.#lookUp(id));
      }
    };
    await Promise.all(Array.from({ length: Math.min(lookUpsPerCallerMax, ids.length) }, lookUp));
    return schemas;
  }

  close(): void {
    this.#closing.abort();
    for (const goOn of this.#inTurn.splice(0)) goOn();
  }

  #remembered(id: number): WriterSchema | undefined {
    const known = this.#known.get(id) ?? (this.#up === false ? this.#provisional.get(id) : undefined);
    if (known !== undefined) return known;
    const until = this.#unknownUntil.get(id);
    return until !== undefined && performance.now() < until ? { id, kind: 'unknown' } : undefined;
  }

  /** Callers that need the same id share one look-up. */
  #lookUp(id: number): Promise<WriterSchema> {
    let underWay = this.#underWay.get(id);
    if (underWay === undefined) {
      underWay = this.#ask(id).finally(() => this.#underWay.delete(id));
      this.#underWay.set(id, underWay);
    }
    return underWay;
  }

  async #ask(id: number): Promise<WriterSchema> {
    const { signal } = this.#closing;
    for (;;) {
      if (signal.aborted) throw new OutageError('registry', `closed while schema ${id} was waited for`);
      // While the registry is away all who wait ask at one pace, and what is on disk is used without asking.
      if (this.#up === false && performance.now() < this.#nextTryAt) {
        const kept = await this.#keptOnDisk(id);
        if (kept !== undefined) {
          // It makes no request whose end would call the next.
          this.#inTurn.shift()?.();
          return kept;
        }
        await this.#pause(this.#nextTryAt - performance.now());
        continue;
      }
      if (this.#requests >= requestsMax) {
        // The registry may have gone away, or come back, until it is our turn.
        await new Promise<void>((resolve) => this.#inTurn.push(resolve));
        continue;
      }
      this.#requests++;
      try {
        const schema = await this.#client.schemaById(id, signal);
        this.#answered();
        return await this.#remember(schema);
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        if (!signal.aborted) this.#failed(error);
      } finally {
        this.#requests--;
        this.#inTurn.shift()?.();
      }
    }
  }

  async #remember(schema: WriterSchema): Promise<WriterSchema> {
    if (schema.kind === 'unknown') {
      if (this.#unknownUntil.size >= unknownRememberedMax) this.#unknownUntil.clear();
      this.#unknownUntil.set(schema.id, performance.now() + unknownBelievedMs);
      return schema;
    }
    this.#known.set(schema.id, schema);
    await this.#files.write(schema);
    return schema;
  }

  async #keptOnDisk(id: number): Promise<WriterSchema | undefined> {
    const kept = await this.#files.read(id);
    if (kept !== undefined) this.#provisional.set(id, kept);
    return kept;
  }

  #answered(): void {
    if (this.#up !== true) {
      if (this.#up === false) this.#log.info({}, 'the schema registry answers again');
      this.#telemetry.dependency('registry', true);
    }
    this.#up = true;
    this.#retryMs = retryFirstMs;
    this.#provisional.clear();
  }

  #failed(error: OutageError): void {
    if (this.#up !== false) {
      this.#log.warn({ error: error.message }, 'the schema registry is away; what needs an unknown schema waits');
      this.#telemetry.dependency('registry', false);
    }
    this.#up = false;
    const now = performance.now();
    if (now < this.#nextTryAt) return;
    this.#nextTryAt = now + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs);
  }

  async #pause(milliseconds: number): Promise<void> {
    try {
      await sleep(Math.max(1, milliseconds), undefined, { signal: this.#closing.signal });
    } catch {
      // Closed meanwhile: the loop sees it and says so.
    }
  }
}
