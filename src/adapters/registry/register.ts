/**
 * Registers the two schemas of the contract, with compatibility BACKWARD, by @kafkajs/confluent-schema-registry. Doing it
 * again gives the same ids. Waits while the registry is away.
 *
 * Source: contract section 1, subjects `<prefix>inbound-value` and `<prefix>results-value`.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { CommandError, OutageError } from '../../errors.ts';
import type { Log, Telemetry } from '../../ports.ts';
import { answeredInTime, outageReason, registryAddress } from './client.ts';

export interface RegisterOptions {
  readonly url: string;
  /** Of the topics, e.g. `payments.`. */
  readonly prefix: string;
  readonly log: Log;
  readonly telemetry?: Pick<Telemetry, 'dependency'>;
  /** Gives up an outage with an `OutageError` when it aborts. */
  readonly signal?: AbortSignal;
}

export interface RegisteredSchema {
  readonly subject: string;
  readonly id: number;
}

const retryFirstMs = 100;
const retryMaxMs = 2000;
const answerMaxMs = 10_000;
/** So often a 409 is believed to be no more than two who do the same at once: workers that start together on a new registry. */
const conflictsMax = 3;

/** Both schemas, as `schemas register` does. Throws `CommandError` when the registry refuses one. */
export async function registerSchemas(options: RegisterOptions): Promise<readonly RegisteredSchema[]> {
  return [
    await register(options, `${options.prefix}inbound-value`, 'payment-event'),
    await register(options, `${options.prefix}results-value`, 'payment-result'),
  ];
}

/** One of our own schemas, schemas/`name`.avsc, under a subject. */
export async function register(options: RegisterOptions, subject: string, name: string): Promise<RegisteredSchema> {
  const schema = await readFile(new URL(`../../../schemas/${name}.avsc`, import.meta.url), 'utf8');
  return waitingForRegistry(options, async () => {
    await setCompatibility(options.url, subject);
    const { url, credentials } = registryAddress(options.url);
    const registry = new SchemaRegistry({ host: url, retry: { retries: 0 }, ...(credentials === null ? {} : { auth: credentials }) });
    const answer = registry.register({ type: SchemaType.AVRO, schema }, { subject, compatibility: COMPATIBILITY.BACKWARD });
    const { id } = await answeredInTime(answer);
    return { subject, id };
  });
}

/**
 * Before the first version, because the library sets it after that, and leaves it unset when it is interrupted between
 * the two; and again on a registry that somebody set otherwise, because the library would then refuse.
 */
async function setCompatibility(registryUrl: string, subject: string): Promise<void> {
  const { url, headers } = registryAddress(registryUrl);
  const response = await fetch(`${url}/config/${encodeURIComponent(subject)}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json', ...headers },
    body: JSON.stringify({ compatibility: COMPATIBILITY.BACKWARD }),
    signal: AbortSignal.timeout(answerMaxMs),
  });
  // Drained, so that the connection can be used again.
  await response.arrayBuffer();
  // Some registries know no settings of a subject that has no version yet; the library then sets it behind the first.
  if (!response.ok && response.status !== 404) throw new RefusedError(response.status, `the registry answered ${response.status} to compatibility BACKWARD for ${subject}`);
}

class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function waitingForRegistry<T>(options: RegisterOptions, attempt: () => Promise<T>): Promise<T> {
  let told = false;
  let conflicts = 0;
  for (let waitMs = retryFirstMs; ; waitMs = Math.min(waitMs * 2, retryMaxMs)) {
    try {
      const answer = await attempt();
      if (told) options.log.info({}, 'the schema registry answers again');
      options.telemetry?.dependency('registry', true);
      return answer;
    } catch (error) {
      const message = outageReason(error);
      // 422: the schema is not acceptable. 409: it is not compatible with what is there, once the registry says so again and again.
      const status = statusOf(error);
      if (status === 422 || (status === 409 && ++conflicts > conflictsMax)) throw new CommandError(`the schema registry refuses: ${message}`, { cause: error });
      if (options.signal?.aborted) throw new OutageError('registry', `no answer from ${registryAddress(options.url).url}: ${message}`, { cause: error });
      if (status !== 409) {
        if (!told) options.log.warn({ error: message }, 'the schema registry is away; waiting for it');
        told = true;
        options.telemetry?.dependency('registry', false);
      }
    }
    try {
      await sleep(waitMs, undefined, { signal: options.signal });
    } catch {
      // Aborted: one last attempt gives the reason.
    }
  }
}

function statusOf(error: unknown): number | undefined {
  return typeof error === 'object' && error !== null && 'status' in error && typeof error.status === 'number' ? error.status : undefined;
}
