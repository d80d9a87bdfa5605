/**
 * What the demo sends: files as they are and generated events, each remembered with what must become of it.
 */
import { randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { EventPublisher } from '../cli/event-publisher.ts';
import { outlineMessage } from '../cli/message-outline.ts';
import { deadLetterCodes } from '../domain/codes.ts';
import type { EventAnswers, Outcome } from './tally.ts';
import { partitionOf } from './generate.ts';
import type { Expected, GeneratedEvent } from './generate.ts';

/** An event that Kafka has acknowledged. */
export interface Submitted {
  /** For a person: a file, or the kind of a generated event. */
  readonly what: string;
  readonly group: 'examples' | 'samples' | 'generated';
  /** Null: nobody knows beforehand. */
  readonly expected: readonly Outcome[] | null;
}

export class Submission {
  /** By `<inbound partition>/<inbound offset>`. */
  readonly events = new Map<string, Submitted>();
  readonly #publisher: EventPublisher;
  readonly #partitionCount: number;

  constructor(publisher: EventPublisher, partitionCount: number) {
    this.#publisher = publisher;
    this.#partitionCount = partitionCount;
  }

  /** Files in their order; `expectedOf` says what their names promise. */
  async files(files: readonly string[], group: Submitted['group'], expectedOf: (file: string) => readonly Outcome[] | null): Promise<void> {
    const documents = await Promise.all(files.map((file) => readFile(file)));
    await Promise.all(
      documents.map(async (document, i) => {
        const { messageType, debitedParticipant } = outlineMessage(document);
        const event = {
          eventId: randomUUID(),
          messageType: messageType ?? 'unknown',
          source: `demo-${group}`,
          createdAt: Date.now(),
          document,
          attributes: { file: basename(files[i]!) },
        };
        const { partition, offset } = await this.#publisher.publish(event, debitedParticipant);
        this.events.set(`${partition}/${offset}`, { what: files[i]!, group, expected: expectedOf(files[i]!) });
      }),
    );
  }

  async generated(event: GeneratedEvent): Promise<void> {
    const value = this.#publisher.encode({ ...event.event, createdAt: Date.now() });
    const { partition, offset } = await this.#publisher.publishRaw({
      key: event.key,
      value: event.spoil === null ? value : event.spoil(value),
      partition: partitionOf(event, this.#partitionCount),
    });
    this.events.set(`${partition}/${offset}`, { what: event.kind, group: 'generated', expected: outcomesOf(event.expected) });
  }
}

function outcomesOf(expected: Expected): readonly Outcome[] {
  switch (expected.kind) {
    case 'settled':
      return ['ACSC'];
    case 'rejected':
      return [`RJCT ${expected.code}`];
    case 'deadLetter':
      return [`dead letter ${expected.code}`];
    case 'settledOrCapped':
      return ['ACSC', 'RJCT AM04'];
  }
}

/** The examples' names say it: what lies in `good` settles, `wrong/AM05-...` is rejected or dead-lettered with AM05. */
export function exampleOutcome(file: string): readonly Outcome[] {
  const code = /^([A-Z0-9_]+)-/.exec(basename(file))?.[1];
  if (code === undefined || !file.includes('wrong')) return ['ACSC'];
  return [(deadLetterCodes as readonly string[]).includes(code) ? `dead letter ${code}` : `RJCT ${code}`];
}

/** All outcomes of an event, which must each be among the expected ones. */
export function outcomesGiven(answers: EventAnswers): Outcome[] {
  const given = [...answers.results.values()];
  return answers.deadLetter === null ? given : [...given, `dead letter ${answers.deadLetter}`];
}

/** The XML files below a folder, in the order of their names; none where there is no such folder. */
export async function xmlFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => name.toLowerCase().endsWith('.xml')).sort().map((name) => join(folder, name));
}
