/**
 * Reads the participants file, the whole directory as an operator writes it, and finds everything that is wrong with it
 * at once, each fault with its place.
 *
 * Source: contract section 4.
 */
import { amountMax, formatAmount, parseAmount } from './amount.ts';
import { normalizeIdentifier } from './participant.ts';
import type { Participant } from './participant.ts';

export interface FileFault {
  /** JSON path, e.g. `$[3].currencies.EUR.debitCap`. */
  readonly path: string;
  /** What was found and what was expected. */
  readonly message: string;
}

export type ParticipantsFile =
  | { readonly kind: 'read'; readonly participants: readonly Participant[] }
  | { readonly kind: 'faulty'; readonly faults: readonly FileFault[] };

/** Decimals of an active ISO 4217 currency; undefined when it is none. */
export type CurrencyDecimals = (currency: string) => number | undefined;

const fields = new Set(['id', 'name', 'aliases', 'currencies']);
const terms = new Set(['debitCap']);
const decimalForm = /^\d+(?:\.(\d+))?$/;

export function readParticipantsFile(text: string, decimalsOf: CurrencyDecimals): ParticipantsFile {
  const faults: FileFault[] = [];
  const fault = (path: string, message: string): null => {
    faults.push({ path, message });
    return null;
  };
  let file: unknown;
  try {
    file = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    return { kind: 'faulty', faults: [{ path: '$', message: `it is not JSON: ${(error as Error).message}` }] };
  }
  if (!Array.isArray(file)) {
    return { kind: 'faulty', faults: [{ path: '$', message: `${kindOf(file)} where an array of participants was expected` }] };
  }

  /** Each identifier and the place that took it. */
  const taken = new Map<string, string>();
  const ids = file.map((entry: unknown, index) => readId(entry, index));
  const participants = file.map((entry: unknown, index) => readEntry(entry, index, ids[index]!));
  return faults.length === 0
    ? { kind: 'read', participants: participants.filter((participant) => participant !== null) }
    : { kind: 'faulty', faults };

  // All ids first: an alias may not be the id of a participant that stands further down.
  function readId(entry: unknown, index: number): string | null {
    if (!isObject(entry)) return fault(`$[${index}]`, `${kindOf(entry)} where a participant was expected`);
    return readIdentifier(entry['id'], `$[${index}].id`);
  }

  function readIdentifier(given: unknown, path: string): string | null {
    const identifier = typeof given === 'string' ? normalizeIdentifier(given) : null;
    if (identifier === null) {
      return fault(path, `${show(given)} is neither a BIC of 8 or 11 characters nor <clearing system code>:<member>`);
    }
    const first = taken.get(identifier);
    if (first !== undefined) return fault(path, `${show(given)} is taken by ${first} already`);
    taken.set(identifier, path);
    return identifier;
  }

  function readEntry(entry: unknown, index: number, id: string | null): Participant | null {
    if (!isObject(entry)) return null;
    const path = `$[${index}]`;
    refuseUnknown(entry, fields, path);
    const name = entry['name'] ?? '';
    if (typeof name !== 'string') fault(`${path}.name`, `${kindOf(name)} where a string was expected`);
    const aliases = readAliases(entry['aliases'] ?? [], `${path}.aliases`, id);
    const debitCaps = readCurrencies(entry['currencies'], `${path}.currencies`);
    return id === null ? null : { id, name: String(name), aliases, debitCaps };
  }

  function readAliases(given: unknown, path: string, id: string | null): string[] {
    if (!Array.isArray(given)) {
      fault(path, `${kindOf(given)} where an array of identifiers was expected`);
      return [];
    }
    return given.flatMap((alias: unknown, i) => {
      // Its own id in another form (8 characters for 11) says nothing new.
      if (typeof alias === 'string' && id !== null && normalizeIdentifier(alias) === id) return [];
      return readIdentifier(alias, `${path}[${i}]`) ?? [];
    });
  }

  function readCurrencies(given: unknown, path: string): Map<string, bigint> {
    const caps = new Map<string, bigint>();
    if (!isObject(given)) {
      fault(path, `${kindOf(given)} where an object of currencies was expected`);
      return caps;
    }
    for (const [currency, value] of Object.entries(given)) {
      const place = `${path}.${currency}`;
      const decimals = decimalsOf(currency);
      if (decimals === undefined) fault(place, `${show(currency)} is not an active ISO 4217 currency`);
      if (!isObject(value)) {
        fault(place, `${kindOf(value)} where an object with a debitCap was expected`);
        continue;
      }
      refuseUnknown(value, terms, place);
      caps.set(currency, readCap(value['debitCap'], `${place}.debitCap`, currency, decimals ?? 5) ?? 0n);
    }
    return caps;
  }

  function readCap(given: unknown, path: string, currency: string, decimals: number): bigint | null {
    const match = typeof given === 'string' ? decimalForm.exec(given) : null;
    if (match === null) {
      return fault(path, `${show(given)} is not a decimal of 0 or more in a string, such as "1000000.00"`);
    }
    // Zeros behind are no decimals: "1000000.00" is a cap in yen too.
    if ((match[1] ?? '').replace(/0+$/, '').length > decimals) {
      return fault(path, `${show(given)} has more decimals than ${currency} has (${decimals})`);
    }
    const units = parseAmount(given as string);
    if (units === null || units > amountMax) {
      return fault(path, `${show(given)} is more than ${formatAmount(amountMax)}`);
    }
    return units;
  }

  function refuseUnknown(value: Record<string, unknown>, known: ReadonlySet<string>, path: string): void {
    for (const name of Object.keys(value)) {
      if (!known.has(name)) fault(`${path}.${name}`, `no such field; there are ${[...known].join(', ')}`);
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
