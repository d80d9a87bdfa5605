/**
 * The directory: who takes part, under which identifiers, with which currencies and debit caps. A directory is a value;
 * a change makes a new one, so a batch that began under one ends under it.
 *
 * Source: contract sections 2 and 4.
 */
export interface Participant {
  /** BIC in 11 characters, or `<clearing system code>:<member>`. */
  readonly id: string;
  readonly name: string;
  readonly aliases: readonly string[];
  /** ISO 4217 code to the debit cap in 10^-5 units: the position may go down to minus this. */
  readonly debitCaps: ReadonlyMap<string, bigint>;
}

export class Directory {
  static readonly empty = new Directory([]);
  readonly participants: ReadonlyMap<string, Participant>;
  readonly #byIdentifier = new Map<string, Participant>();

  constructor(participants: Iterable<Participant>) {
    this.participants = new Map(Array.from(participants, (participant) => [participant.id, participant]));
    for (const participant of this.participants.values()) {
      for (const alias of participant.aliases) this.#byIdentifier.set(alias, participant);
    }
    // An identifier proper wins over an alias of the same form.
    for (const participant of this.participants.values()) this.#byIdentifier.set(participant.id, participant);
  }

  /** The participant that an identifier or an alias names. */
  find(identifier: string): Participant | undefined {
    return this.#byIdentifier.get(identifier);
  }
}

const bicForm = /^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?$/;
const memberForm = /^[A-Za-z0-9]{1,5}:[^\s|].{0,34}$/;

/**
 * The directory's form of an identifier: a BIC in 11 characters (8 mean the head office, `XXX`), or
 * `<code>:<member>` as it is; null when it is neither.
 */
export function normalizeIdentifier(text: string): string | null {
  if (bicForm.test(text)) return text.length === 8 ? `${text}XXX` : text;
  return memberForm.test(text) ? text : null;
}
