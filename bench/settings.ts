/** Options of the measurements, read alike by all: `--name value`; a wrong one is refused in one line with exit code 2. */
import { parseArgs } from 'node:util';

export class UsageError extends Error {}

/** An option's default, its form by the default's type, and what it is for. */
export interface OptionForm {
  readonly default: number | string | boolean | readonly number[] | readonly string[];
  readonly what: string;
  /** Numbers and lists of numbers: at least this; left out: 1. */
  readonly least?: number;
  /** Texts and lists of texts: one of these. */
  readonly oneOf?: readonly string[];
}

export type Settings<F extends Record<string, OptionForm>> = {
  readonly [K in keyof F]: F[K]['default'] extends boolean ? boolean
    : F[K]['default'] extends number ? number
    : F[K]['default'] extends readonly number[] ? readonly number[]
    : F[K]['default'] extends readonly string[] ? readonly string[]
    : string;
};

/** Throws `UsageError`. `--help` prints the options and gives null. */
export function readSettings<F extends Record<string, OptionForm>>(command: string, forms: F, args: readonly string[]): Settings<F> | null {
  const options = Object.fromEntries(Object.entries(forms).map(([name, form]) => [name, { type: typeof form.default === 'boolean' ? 'boolean' as const : 'string' as const }]));
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({ args: [...args], options: { ...options, help: { type: 'boolean', short: 'h' } } }) as { values: Record<string, string | boolean | undefined> });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values['help'] === true) {
    console.log(`./dev bench ${command}\n`);
    for (const [name, form] of Object.entries(forms)) console.log(`  --${`${name} ${shownDefault(form)}`.padEnd(44)} ${form.what}`);
    return null;
  }
  return Object.fromEntries(Object.entries(forms).map(([name, form]) => {
    const given = values[name];
    return [name, given === undefined ? form.default : typeof given === 'boolean' ? given : read(name, form, given)];
  })) as Settings<F>;
}

function shownDefault({ default: value }: OptionForm): string {
  return typeof value === 'boolean' ? '' : Array.isArray(value) ? value.join(',') : String(value);
}

function read(name: string, form: OptionForm, given: string): number | string | readonly number[] | readonly string[] {
  const number = (text: string): number => {
    const value = Number(text.replaceAll('_', ''));
    if (text === '' || !Number.isFinite(value) || value < (form.least ?? 1)) throw new UsageError(`--${name} is ${given}, but must be ${Array.isArray(form.default) ? 'numbers of' : ''} at least ${form.least ?? 1}`);
    return value;
  };
  const word = (text: string): string => {
    if (form.oneOf !== undefined && !form.oneOf.includes(text)) throw new UsageError(`--${name}: ${text} is none of ${form.oneOf.join(', ')}`);
    return text;
  };
  if (typeof form.default === 'number') return number(given);
  if (typeof form.default === 'string') return word(given);
  const parts = given.split(',').map((part) => part.trim());
  return typeof (form.default as readonly (number | string)[])[0] === 'number' ? parts.map(number) : parts.map(word);
}
