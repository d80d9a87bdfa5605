/** A schema registry as `settlefleet doctor` looks at it: our two subjects, and its clock. It changes nothing. */
import { readFile } from 'node:fs/promises';
import { OutageError } from '../../errors.ts';
import { outageReason, registryAddress } from './client.ts';

export interface SubjectFacts {
  readonly subject: string;
  /** Whether the subject has any version; whether one of them is the schema of this checkout. */
  readonly exists: boolean;
  readonly hasOurSchema: boolean;
  /** Its own, else the registry's; null where the registry does not say. */
  readonly compatibility: string | null;
}

export interface RegistryFacts {
  readonly subjects: readonly SubjectFacts[];
  /** By the Date of its answer, which has whole seconds; null where it sends none. */
  readonly clockOffsetMs: number | null;
}

const subjectsOf = (prefix: string): readonly [subject: string, schema: string][] => [
  [`${prefix}inbound-value`, 'payment-event'],
  [`${prefix}results-value`, 'payment-result'],
];

/** Throws `OutageError` when it does not answer. */
export async function inspectRegistry(options: { readonly url: string; readonly prefix: string; readonly timeoutMs: number }): Promise<RegistryFacts> {
  const { url, headers } = registryAddress(options.url);
  const ask = async (path: string, body?: object): Promise<{ readonly status: number; readonly fields: Readonly<Record<string, unknown>>; readonly date: string | null }> => {
    try {
      const response = await fetch(`${url}${path}`, {
        ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
        headers: { accept: 'application/json', 'content-type': 'application/vnd.schemaregistry.v1+json', ...headers },
        signal: AbortSignal.timeout(options.timeoutMs),
      });
      const fields: unknown = await response.json().catch(() => null);
      return { status: response.status, fields: typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : {}, date: response.headers.get('date') };
    } catch (error) {
      throw new OutageError('registry', outageReason(error), { cause: error });
    }
  };
  const expect200or404 = (answer: { readonly status: number }, path: string): boolean => {
    if (answer.status === 200) return true;
    if (answer.status === 404) return false;
    throw new OutageError('registry', `${path} answered ${answer.status}`);
  };

  const asked = Date.now();
  const first = await ask('/subjects');
  expect200or404(first, '/subjects');
  const clockOffsetMs = first.date === null ? null : Date.parse(first.date) - asked;
  const subjects: SubjectFacts[] = [];
  for (const [subject, name] of subjectsOf(options.prefix)) {
    const path = `/subjects/${encodeURIComponent(subject)}`;
    const exists = expect200or404(await ask(`${path}/versions/latest`), path);
    const schema = await readFile(new URL(`../../../schemas/${name}.avsc`, import.meta.url), 'utf8');
    const hasOurSchema = exists && expect200or404(await ask(path, { schema, schemaType: 'AVRO' }), path);
    const own = await ask(`/config/${encodeURIComponent(subject)}`);
    const { fields } = own.status === 200 ? own : await ask('/config');
    const compatibility = fields['compatibilityLevel'] ?? fields['compatibility'];
    subjects.push({ subject, exists, hasOurSchema, compatibility: typeof compatibility === 'string' ? compatibility : null });
  }
  return { subjects, clockOffsetMs };
}
