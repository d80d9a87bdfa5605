/**
 * What a producer wants to know of a message before it sends it: its type, and whose account it debits. A glance, not a
 * judgement: it takes what it finds, in messages of any type, and leaves verdicts to the fleet.
 *
 * Source: contract section 2, "Debited participant".
 */
import { normalizeIdentifier } from '../domain/participant.ts';

export interface MessageOutline {
  /** From the Document's namespace, e.g. `pacs.008.001.08`; null when there is none. */
  readonly messageType: string | null;
  /** Of the first transaction; null where it cannot be read. */
  readonly debitedParticipant: string | null;
}

const token = /<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>|<\?[\s\S]*?\?>|<[^>]*>|[^<]+/g;
const namespaceForm = /^urn:iso:std:iso:20022:tech:xsd:([a-z]{4}\.\d{3}\.\d{3}\.\d{2})$/;
const transactionTags = new Set(['CdtTrfTxInf', 'TxInf', 'PmtInf']);
const agentTags = ['InstgAgt', 'DbtrAgt', 'Dbtr'] as const;
/** What lies in these speaks of another payment: the one that is covered, the one that is returned. */
const otherPayments = ['UndrlygCstmrCdtTrf', 'OrgnlTxRef'];
/** Further than this no first transaction begins. */
const charactersMax = 1 << 20;

export function outlineMessage(document: Uint8Array): MessageOutline {
  const text = new TextDecoder().decode(document.subarray(0, charactersMax));
  const path: string[] = [];
  const namespaces = new Map<string, string>();
  /** `<place>/<agent>/<field>` to its text, of the header and of the first transaction. */
  const found = new Map<string, string>();
  let messageType: string | null = null;
  let transactions = 0;

  for (const [part] of text.matchAll(token)) {
    if (part.startsWith('</')) {
      path.pop();
    } else if (part.startsWith('<')) {
      if (part.startsWith('<!') || part.startsWith('<?')) continue;
      const name = localName(part);
      noteNamespaces(part, namespaces);
      if (name === 'Document') messageType ??= typeOf(part, namespaces);
      if (transactionTags.has(name) && ++transactions > 1 && path.at(-1) !== 'PmtInf') break;
      if (!part.endsWith('/>')) path.push(name);
    } else {
      note(path, part.trim(), found);
    }
  }
  return { messageType, debitedParticipant: debitedOf(found) };
}

function localName(tag: string): string {
  return /^<\/?(?:[^\s/>:]+:)?([^\s/>]+)/.exec(tag)?.[1] ?? '';
}

/** Prefix (`''` for none) to namespace, as far as they were declared; what an inner element declares anew replaces it. */
function noteNamespaces(tag: string, namespaces: Map<string, string>): void {
  for (const [, prefix, , value] of tag.matchAll(/\sxmlns(?::([^\s=]+))?\s*=\s*(["'])(.*?)\2/g)) {
    namespaces.set(prefix ?? '', value!);
  }
}

function typeOf(documentTag: string, namespaces: ReadonlyMap<string, string>): string | null {
  const prefix = /^<([^\s/>:]+):/.exec(documentTag)?.[1] ?? '';
  return namespaceForm.exec(namespaces.get(prefix) ?? '')?.[1] ?? null;
}

function note(path: readonly string[], text: string, found: Map<string, string>): void {
  const institution = path.lastIndexOf('FinInstnId');
  if (text === '' || institution < 2 || otherPayments.some((tag) => path.includes(tag))) return;
  const agent = path[institution - 1]!;
  const place = path[institution - 2]! === 'GrpHdr' ? 'header' : 'transaction';
  const field = path.slice(institution + 1).join('/');
  const name = `${place}/${agent}/${field}`;
  if (!found.has(name)) found.set(name, text);
}

function debitedOf(found: ReadonlyMap<string, string>): string | null {
  const places = ['transaction/InstgAgt', 'header/InstgAgt', ...agentTags.slice(1).map((tag) => `transaction/${tag}`)];
  for (const place of places) {
    const bic = found.get(`${place}/BICFI`) ?? found.get(`${place}/BIC`);
    if (bic !== undefined) return normalizeIdentifier(bic);
    const system = found.get(`${place}/ClrSysMmbId/ClrSysId/Cd`);
    const member = found.get(`${place}/ClrSysMmbId/MmbId`);
    if (system !== undefined && member !== undefined) return normalizeIdentifier(`${system}:${member}`);
  }
  return null;
}
