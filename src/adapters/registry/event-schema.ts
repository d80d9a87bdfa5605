/** The id under which our own producers write events. They look it up and never register: that is an operator's step. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { CommandError, OutageError } from '../../errors.ts';
import { answeredInTime, outageReason, registryAddress } from './client.ts';

export interface EventSchemaOptions {
  readonly url: string;
  /** E.g. `payments.inbound-value`. */
  readonly subject: string;
  readonly waitMs: number;
  /** Called once, when the registry does not answer at first. Gets its address without user and password. */
  readonly onWait: (url: string) => void;
}

export interface RegisteredEventSchema {
  readonly id: number;
  /** The text of schemas/payment-event.avsc. */
  readonly text: string;
}

const retryDelayMs = 250;

/** Throws `CommandError` when the subject does not have our schema, `OutageError` when no answer came in time. */
export async function registeredEventSchema(options: EventSchemaOptions): Promise<RegisteredEventSchema> {
  const { url, credentials } = registryAddress(options.url);
  const text = await readFile(new URL('../../../schemas/payment-event.avsc', import.meta.url), 'utf8');
  const registry = new SchemaRegistry({ host: url, retry: { retries: 0 }, ...(credentials === null ? {} : { auth: credentials }) });
  const deadline = performance.now() + options.waitMs;
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = registry.getRegistryIdBySchema(options.subject, { type: SchemaType.AVRO, schema: text });
      return { id: await answeredInTime(answer), text };
    } catch (error) {
      const { status, name } = error as { status?: number; name?: string };
      if (status === 404 || name === 'ConfluentSchemaRegistryError') {
        throw new CommandError(`The registry at ${url} does not have our schema under ${options.subject}: run "settlefleet schemas register".`);
      }
      if (performance.now() > deadline) {
        throw new OutageError('registry', `The registry at ${url} did not answer within ${options.waitMs / 1000} s: ${outageReason(error)}.`);
      }
      if (attempt === 0) options.onWait(url);
      await sleep(retryDelayMs);
    }
  }
}
