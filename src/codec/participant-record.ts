/**
 * A participant in the directory's topic: key the identifier, value JSON in the form of the participants file.
 *
 * Source: contract sections 1 and 4.
 */
import { formatAmount, parseAmount } from '../domain/amount.ts';
import type { Participant } from '../domain/participant.ts';

/** Equal participants give equal text, so that a record that would change nothing can be left out. */
export function encodeParticipant(participant: Participant): string {
  const currencies = [...participant.debitCaps]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([currency, cap]) => [currency, { debitCap: formatAmount(cap) }]);
  return JSON.stringify({
    id: participant.id,
    name: participant.name,
    aliases: [...participant.aliases].sort(),
    currencies: Object.fromEntries(currencies) as unknown,
  });
}

/** Throws when the record is not a participant, and says of which key and why. */
export function decodeParticipant(key: Uint8Array | string, value: Uint8Array | string): Participant {
  const id = textOf(key);
  const refuse = (why: string): never => {
    throw new Error(`The directory's record of ${JSON.stringify(id)} is not a participant: ${why}.`);
  };
  let record: unknown;
  try {
    record = JSON.parse(textOf(value));
  } catch {
    return refuse('it is not JSON');
  }
  if (!isObject(record)) return refuse('it is not an object');
  if (record['id'] !== id) return refuse(`its id is ${JSON.stringify(record['id'])}`);

  const { name = '', aliases = [], currencies } = record;
  if (typeof name !== 'string') return refuse('its name is not a string');
  if (!Array.isArray(aliases) || !aliases.every((alias) => typeof alias === 'string')) {
    return refuse('its aliases are not strings');
  }
  if (!isObject(currencies)) return refuse('it has no currencies');
  const debitCaps = new Map<string, bigint>();
  for (const [currency, terms] of Object.entries(currencies)) {
    const cap = isObject(terms) && typeof terms['debitCap'] === 'string' ? parseAmount(terms['debitCap']) : null;
    if (cap === null || cap < 0n) return refuse(`its debit cap in ${currency} is not a decimal`);
    debitCaps.set(currency, cap);
  }
  return { id, name, aliases, debitCaps };
}

function textOf(data: Uint8Array | string): string {
  return typeof data === 'string' ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
