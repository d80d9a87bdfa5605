/**
 * Confluent's schema registry API over HTTP, as far as a reader of records needs it. An answer is an answer only when the
 * registry itself gave it; everything else is an outage.
 *
 * Source: Confluent Schema Registry API reference; error code 40403 is "schema not found", 40401 and 40402 "subject" and
 * "version not found".
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { OutageError } from '../../errors.ts';
import type { WriterSchema } from '../../codec/avro/writer-schema.ts';

const schemaNotFound = 40403;
const notFoundCodes: readonly unknown[] = [40401, 40402, schemaNotFound];
/** A registry answers in milliseconds; one that does not within this time is away. */
const answerMaxMs = 3000;
/** More schemas than this behind one id is not a schema that anyone meant. */
const referencesMax = 100;

export interface RegistryAddress {
  /** Without user and password, and without a slash at the end. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly credentials: { readonly username: string; readonly password: string } | null;
}

/** Credentials in the address (`http://user:password@host`) become a header: `fetch` refuses them where they are. */
export function registryAddress(url: string): RegistryAddress {
  const parsed = new URL(url);
  const username = decodeURIComponent(parsed.username);
  const password = decodeURIComponent(parsed.password);
  parsed.username = parsed.password = '';
  const address = { url: parsed.href.replace(/\/+$/, '') };
  if (username === '') return { ...address, headers: {}, credentials: null };
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  return { ...address, headers: { authorization }, credentials: { username, password } };
}

export class RegistryClient {
  readonly #address: RegistryAddress;

  constructor(url: string) {
    this.#address = registryAddress(url);
  }

  /** Throws `OutageError` for everything that is not the registry's own yes or no. */
  async schemaById(id: number, signal: AbortSignal): Promise<WriterSchema> {
    const answer = await this.#get(`/schemas/ids/${id}`, signal);
    if (answer === null) return { id, kind: 'unknown' };
    const language = typeof answer['schemaType'] === 'string' ? answer['schemaType'] : 'AVRO';
    if (language !== 'AVRO') return { id, kind: 'notAvro', language };
    const texts: string[] = [];
    await this.#collect(answer, new Set(), texts, signal);
    return { id, kind: 'avro', texts };
  }

  /** Referenced schemas first. One that the registry does not have is left out: the schema then cannot be parsed. */
  async #collect(answer: Answer, met: Set<string>, texts: string[], signal: AbortSignal): Promise<void> {
    if (typeof answer['schema'] !== 'string') throw new OutageError('registry', 'the answer has no schema in it');
    const references: unknown[] = Array.isArray(answer['references']) ? answer['references'] : [];
    for (const reference of references) {
      const { subject, version } = reference as { subject?: unknown; version?: unknown };
      const path = `/subjects/${encodeURIComponent(String(subject))}/versions/${encodeURIComponent(String(version))}`;
      if (met.has(path) || met.size >= referencesMax) continue;
      met.add(path);
      const referenced = await this.#get(path, signal);
      if (referenced !== null) await this.#collect(referenced, met, texts, signal);
    }
    texts.push(answer['schema']);
  }

  /** Null: the registry says that it has no such thing. */
  async #get(path: string, signal: AbortSignal): Promise<Answer | null> {
    const { url, headers } = this.#address;
    let status: number;
    let answer: unknown;
    try {
      const response = await fetch(`${url}${path}`, {
        headers: { accept: 'application/vnd.schemaregistry.v1+json, application/json', ...headers },
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerMaxMs)]),
      });
      status = response.status;
      answer = await response.json();
    } catch (error) {
      throw new OutageError('registry', `no answer from ${url}: ${outageReason(error)}`, { cause: error });
    }
    if (typeof answer !== 'object' || answer === null) {
      throw new OutageError('registry', `${url}${path} answered ${status} with something that is no object`);
    }
    const fields = answer as Answer;
    if (status === 404 && notFoundCodes.includes(fields['error_code'])) return null;
    if (status !== 200) throw new OutageError('registry', `${url}${path} answered ${status}`);
    return fields;
  }
}

/** For @kafkajs/confluent-schema-registry, which waits for a frozen registry for ever. */
export async function answeredInTime<T>(answer: Promise<T>): Promise<T> {
  const late = sleep(answerMaxMs, undefined, { ref: false }).then(() => {
    throw new OutageError('registry', `no answer within ${answerMaxMs / 1000} s`);
  });
  return Promise.race([answer, late]);
}

type Answer = Readonly<Record<string, unknown>>;

/** `fetch failed` says nothing; its cause does. */
export function outageReason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const told = cause instanceof Error && cause.message !== '' ? cause : error;
  if (told instanceof Error) return 'code' in told ? `${String(told.code)}` : told.message;
  return String(told);
}
