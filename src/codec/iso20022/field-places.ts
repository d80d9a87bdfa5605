/**
 * Turns a field map into what the scanner notes: a place in a row for each wanted text, and the paths that lead there. The
 * reader of payments then knows each field by its place alone.
 */
import { SCOPE_BLOCK, SCOPE_MESSAGE, SCOPE_TRANSACTION, planCaptures } from './capture-plan.ts';
import type { CapturePlan, WantedElement } from './capture-plan.ts';
import type { FieldMap, Scope } from './field-maps.ts';
import { nameText } from './schema-table.ts';
import type { SchemaTable } from './schema-table.ts';

/** Places in the message's row. The scanner itself relies on the first. */
export const MESSAGE_ID = 0;
export const MESSAGE_COUNT = 1;
export const MESSAGE_SUM = 2;
export const MESSAGE_TOTAL = 3;
export const MESSAGE_TOTAL_CURRENCY = 4;
const messageAgents = 5;

export const BLOCK_COUNT = 0;
export const BLOCK_SUM = 1;
export const BLOCK_DEBTOR_IBAN = 2;
const blockAgents = 3;

export const TRANSACTION_INSTRUCTION_ID = 0;
export const TRANSACTION_END_TO_END_ID = 1;
export const TRANSACTION_ID = 2;
export const TRANSACTION_UETR = 3;
export const TRANSACTION_RETURN_ID = 4;
export const TRANSACTION_AMOUNT = 5;
export const TRANSACTION_CURRENCY = 6;
export const TRANSACTION_EQUIVALENT = 7;
export const TRANSACTION_EQUIVALENT_CURRENCY = 8;
export const TRANSACTION_DEBTOR_IBAN = 9;
export const TRANSACTION_CREDITOR_IBAN = 10;
const transactionAgents = 11;

/** Places of an agent, from its first: where it was seen, its BIC, its clearing system's code, its member id. */
export const AGENT_SEEN = 0;
export const AGENT_BIC = 1;
export const AGENT_CLEARING_SYSTEM = 2;
export const AGENT_MEMBER = 3;
const agentPlaces = 4;

/** An agent to look at: its scope and its first place there. */
export interface AgentSlot {
  readonly scope: number;
  readonly slot: number;
}

export interface FieldPlaces {
  readonly map: FieldMap;
  readonly plan: CapturePlan;
  readonly debited: readonly AgentSlot[];
  readonly credited: readonly AgentSlot[];
  readonly debtorIbanScope: number;
}

const scopeNumbers: Readonly<Record<Scope, 0 | 1 | 2>> = {
  message: SCOPE_MESSAGE,
  block: SCOPE_BLOCK,
  transaction: SCOPE_TRANSACTION,
};

/** Throws where the map names an element that the definition does not have. */
export function placeFields(map: FieldMap, table: SchemaTable): FieldPlaces {
  const bases: Readonly<Record<Scope, readonly string[]>> = {
    message: [map.body, 'GrpHdr'],
    block: map.block === null ? [] : [map.body, map.block],
    transaction: map.block === null ? [map.body, map.transaction] : [map.body, map.block, map.transaction],
  };
  const widths: [number, number, number] = [messageAgents, blockAgents, transactionAgents];
  const wanted: WantedElement[] = [];
  const want = (scope: Scope, path: string | null, slot: number, attributeSlot = -1): void => {
    if (path === null) return;
    wanted.push({ path: [...bases[scope], ...path.split('/')], scope: scopeNumbers[scope], slot, attributeSlot });
  };
  want('message', 'MsgId', MESSAGE_ID);
  want('message', 'NbOfTxs', MESSAGE_COUNT);
  want('message', 'CtrlSum', MESSAGE_SUM);
  want('message', map.total, MESSAGE_TOTAL, MESSAGE_TOTAL_CURRENCY);
  if (map.block !== null) {
    want('block', 'NbOfTxs', BLOCK_COUNT);
    want('block', 'CtrlSum', BLOCK_SUM);
  }
  want('transaction', map.instructionId, TRANSACTION_INSTRUCTION_ID);
  want('transaction', map.endToEndId, TRANSACTION_END_TO_END_ID);
  want('transaction', map.transactionId, TRANSACTION_ID);
  want('transaction', map.uetr, TRANSACTION_UETR);
  want('transaction', map.returnId, TRANSACTION_RETURN_ID);
  want('transaction', map.amount, TRANSACTION_AMOUNT, TRANSACTION_CURRENCY);
  want('transaction', map.equivalentAmount, TRANSACTION_EQUIVALENT, TRANSACTION_EQUIVALENT_CURRENCY);
  if (map.debtorIban !== null) {
    const slot = map.debtorIban.scope === 'block' ? BLOCK_DEBTOR_IBAN : TRANSACTION_DEBTOR_IBAN;
    want(map.debtorIban.scope, map.debtorIban.path, slot);
  }
  if (map.creditorIban !== null) want(map.creditorIban.scope, map.creditorIban.path, TRANSACTION_CREDITOR_IBAN);

  const bic = hasName(table, 'BICFI') ? 'BICFI' : 'BIC';
  const agents = (places: FieldMap['debited']): AgentSlot[] =>
    places.map(({ scope, path }) => {
      const number = scopeNumbers[scope];
      const slot = widths[number];
      widths[number] += agentPlaces;
      want(scope, path, slot + AGENT_SEEN);
      want(scope, `${path}/FinInstnId/${bic}`, slot + AGENT_BIC);
      want(scope, `${path}/FinInstnId/ClrSysMmbId/ClrSysId/Cd`, slot + AGENT_CLEARING_SYSTEM);
      want(scope, `${path}/FinInstnId/ClrSysMmbId/MmbId`, slot + AGENT_MEMBER);
      return { scope: number, slot };
    });
  const debited = agents(map.debited);
  const credited = agents(map.credited);
  const rows = [{ path: bases.transaction, scope: SCOPE_TRANSACTION }];
  if (map.block !== null) rows.push({ path: bases.block, scope: SCOPE_BLOCK });
  return {
    map,
    plan: planCaptures(table, wanted, rows, widths),
    debited,
    credited,
    debtorIbanScope: map.debtorIban === null ? SCOPE_TRANSACTION : scopeNumbers[map.debtorIban.scope],
  };
}

function hasName(table: SchemaTable, text: string): boolean {
  for (let name = 0; name < table.nameCount; name++) if (nameText(table, name) === text) return true;
  return false;
}
