/**
 * Reads one payment message for settlement: from its bytes to rows of the decoded batch, with every check that needs
 * nothing but the message itself, in the contract's order.
 *
 * Sources: contract section 2 ("What settles") and section 3 ("Decisions").
 */
import { readSchemaTable } from '../../../schemas/iso20022/tables.ts';
import { decimalsOf } from '../data/currencies.ts';
import type { EventDocument, MessageReader } from '../decode-task.ts';
import type { DecodedBatchWriter, EventText, TransactionText } from '../decoded-batch.ts';
import { AmountText } from './amount-text.ts';
import { SCOPE_BLOCK, SCOPE_MESSAGE } from './capture-plan.ts';
import { fieldMapOf } from './field-maps.ts';
import {
  AGENT_BIC,
  AGENT_CLEARING_SYSTEM,
  AGENT_MEMBER,
  AGENT_SEEN,
  BLOCK_COUNT,
  BLOCK_DEBTOR_IBAN,
  BLOCK_SUM,
  MESSAGE_COUNT,
  MESSAGE_ID,
  MESSAGE_SUM,
  MESSAGE_TOTAL,
  MESSAGE_TOTAL_CURRENCY,
  TRANSACTION_AMOUNT,
  TRANSACTION_CREDITOR_IBAN,
  TRANSACTION_CURRENCY,
  TRANSACTION_DEBTOR_IBAN,
  TRANSACTION_END_TO_END_ID,
  TRANSACTION_EQUIVALENT,
  TRANSACTION_ID,
  TRANSACTION_INSTRUCTION_ID,
  TRANSACTION_RETURN_ID,
  TRANSACTION_UETR,
  placeFields,
} from './field-places.ts';
import type { AgentSlot, FieldPlaces } from './field-places.ts';
import { ibanFault } from './iban.ts';
import type { IbanFault } from './iban.ts';
import { lineColumn, locateElement } from './locate.ts';
import { MessageScanner } from './scanner.ts';
import type { DefinitionSource } from './scanner.ts';
import { openSchemaTable } from './schema-table.ts';

/** Gives a definition's compiled table, null where there is none. Called once for each definition and thread. */
export type TableSource = (definitionId: string) => Uint8Array | null;

/** One a thread. */
export function createMessageReader(tables: TableSource): MessageReader {
  const reader = new PaymentReader(tables);
  return (document, writer) => {
    reader.read(document, writer);
  };
}

/** Definitions that nobody ever heard of are not remembered beyond this many: their names come from outside. */
const unknownDefinitionsMax = 100;

class PaymentReader {
  readonly #scanner: MessageScanner;
  readonly #places = new Map<string, FieldPlaces>();
  readonly #amount = new AmountText();
  #blockChecked = -1;
  #debtorFault: IbanFault | null = null;

  constructor(tables: TableSource) {
    const known = new Map<string, ReturnType<DefinitionSource['open']>>();
    const open = (definitionId: string): ReturnType<DefinitionSource['open']> => {
      const map = fieldMapOf(definitionId);
      // Whatever does not settle is TYPE_UNSUPPORTED, valid or not: no table is needed for it.
      const file = map === null ? null : tables(definitionId);
      if (map === null || file === null) return null;
      const table = openSchemaTable(file);
      const places = placeFields(map, table);
      this.#places.set(definitionId, places);
      return { table, plan: places.plan };
    };
    this.#scanner = new MessageScanner(
      {
        open(definitionId) {
          let opened = known.get(definitionId);
          if (opened === undefined) {
            opened = open(definitionId);
            if (opened !== null || known.size < unknownDefinitionsMax) known.set(definitionId, opened);
          }
          return opened;
        },
      },
      { allFindings: false, headers: false },
    );
  }

  read(document: EventDocument, writer: DecodedBatchWriter): void {
    const { bytes, documentStart, documentLength } = document;
    const scanner = this.#scanner;
    const verdict = scanner.scan(bytes, documentStart, documentStart + documentLength);
    if (verdict !== 'readable') {
      const { line, column } = lineColumn(bytes, documentStart, scanner.reasonAt);
      writer.setDeadLetter(verdict, `line ${line}, column ${column}: ${scanner.reason}`);
      return;
    }
    if (!sameText(scanner.definitionId, document)) {
      writer.setDeadLetter('TYPE_MISMATCH', `messageType is not the Document's own, ${shown(scanner.definitionId)}`);
      return;
    }
    const places = this.#places.get(scanner.definitionId);
    if (scanner.plan === null || places === undefined) {
      writer.setDeadLetter('TYPE_UNSUPPORTED', `${shown(scanner.definitionId)} is not settled here`);
      return;
    }
    this.#setEvent(writer, 'messageId', SCOPE_ROW_MESSAGE + MESSAGE_ID * 2);
    const finding = scanner.findings[0];
    if (finding !== undefined) {
      const xpath = scanner.findingPath() ?? locateElement(bytes, documentStart, documentStart + documentLength, finding.elementAt);
      const child = finding.child === null ? '' : `/${finding.child}`;
      const attribute = finding.attribute === null ? '' : `/@${finding.attribute}`;
      writer.setMessageRejection('FF01', `${xpath}${child}${attribute}: ${finding.message} [${finding.rule}]`);
      return;
    }
    if (this.#rejectedByCounts(places, writer)) return;
    if (this.#rejectedBySums(places, writer)) return;
    this.#blockChecked = -1;
    for (let index = 0; index < scanner.transactionCount; index++) this.#transaction(places, index, writer);
  }

  // The message as a whole.

  #rejectedByCounts({ map }: FieldPlaces, writer: DecodedBatchWriter): boolean {
    const scanner = this.#scanner;
    const declared = this.#count(SCOPE_ROW_MESSAGE + MESSAGE_COUNT * 2);
    if (declared !== -1 && declared !== scanner.transactionCount) {
      writer.setMessageRejection(
        'AM19',
        `/Document/${map.body}/GrpHdr/NbOfTxs: ${declared}, but the message has ${scanner.transactionCount} transactions`,
      );
      return true;
    }
    if (scanner.transactionCount === 0) {
      // A pacs.004 may return a whole group by naming it alone. Nothing would be told of such an event: it would look lost.
      writer.setMessageRejection('FF01', `/Document/${map.body}/${map.transaction}: the message holds no transaction, and nothing settles without`);
      return true;
    }
    for (let block = 0; block < scanner.blockCount; block++) {
      const inBlock = this.#count(scanner.blockRow[block]! + BLOCK_COUNT * 2);
      if (inBlock === -1 || inBlock === scanner.blockTransactions[block]) continue;
      writer.setMessageRejection(
        'AM20',
        `${this.#blockPath(map, block)}/NbOfTxs: ${inBlock}, but the block has ${scanner.blockTransactions[block]!} transactions`,
      );
      return true;
    }
    return false;
  }

  #rejectedBySums({ map }: FieldPlaces, writer: DecodedBatchWriter): boolean {
    const scanner = this.#scanner;
    const spans = scanner.spans;
    const sumAt = SCOPE_ROW_MESSAGE + MESSAGE_SUM * 2;
    const totalAt = SCOPE_ROW_MESSAGE + MESSAGE_TOTAL * 2;
    const path = `/Document/${map.body}/GrpHdr`;
    if (spans[sumAt] !== -1 && !this.#isSum(sumAt, -1)) {
      writer.setMessageRejection('AM10', `${path}/CtrlSum: not the sum of the transactions' amounts`);
      return true;
    }
    if (spans[totalAt] !== -1) {
      if (!this.#isTotalCurrency()) {
        writer.setMessageRejection('AM10', `${path}/${map.total ?? ''}: in another currency than a transaction`);
        return true;
      }
      if (!this.#isSum(totalAt, -1)) {
        writer.setMessageRejection('AM10', `${path}/${map.total ?? ''}: not the sum of the transactions' amounts`);
        return true;
      }
    }
    for (let block = 0; block < scanner.blockCount; block++) {
      const blockSumAt = scanner.blockRow[block]! + BLOCK_SUM * 2;
      if (spans[blockSumAt] === -1 || this.#isSum(blockSumAt, block)) continue;
      writer.setMessageRejection('AM17', `${this.#blockPath(map, block)}/CtrlSum: not the sum of the block's amounts`);
      return true;
    }
    return false;
  }

  /** Compares as numbers: exact, whatever the digits. `block` -1: over the whole message. */
  #isSum(at: number, block: number): boolean {
    const scanner = this.#scanner;
    const amount = this.#amount;
    let units = 0n;
    let whole = 0;
    let fraction = 0;
    for (let index = 0; index < scanner.transactionCount; index++) {
      if (block >= 0 && scanner.transactionBlock[index] !== block) continue;
      const row = scanner.transactionRow[index]!;
      let amountAt = row + TRANSACTION_AMOUNT * 2;
      if (scanner.spans[amountAt] === -1) amountAt = row + TRANSACTION_EQUIVALENT * 2;
      if (scanner.spans[amountAt] === -1) continue;
      this.#readAmount(amountAt);
      if (amount.whole > wholeSumMax || whole > wholeSumMax) {
        units += this.#units(amountAt);
      } else {
        whole += amount.whole;
        fraction += amount.fraction;
      }
    }
    units += BigInt(whole) * 100_000n + BigInt(fraction);
    this.#readAmount(at);
    return !amount.hasFinerDigits && this.#units(at) === units;
  }

  #isTotalCurrency(): boolean {
    const scanner = this.#scanner;
    const total = SCOPE_ROW_MESSAGE + MESSAGE_TOTAL_CURRENCY * 2;
    for (let index = 0; index < scanner.transactionCount; index++) {
      const at = scanner.transactionRow[index]! + TRANSACTION_CURRENCY * 2;
      if (scanner.spans[at] !== -1 && !this.#sameSpan(total, at)) return false;
    }
    return true;
  }

  // One transaction.

  #transaction(places: FieldPlaces, index: number, writer: DecodedBatchWriter): void {
    const { map } = places;
    const row = this.#scanner.transactionRow[index]!;
    writer.beginTransaction();
    this.#setTransaction(writer, 'instructionId', row + TRANSACTION_INSTRUCTION_ID * 2);
    this.#setTransaction(writer, 'endToEndId', row + TRANSACTION_END_TO_END_ID * 2);
    this.#setTransaction(writer, 'transactionId', row + (map.returnId === null ? TRANSACTION_ID : TRANSACTION_RETURN_ID) * 2);
    this.#setTransaction(writer, 'uetr', row + TRANSACTION_UETR * 2);
    this.#setTransaction(writer, 'currency', row + TRANSACTION_CURRENCY * 2);
    this.#setAgent(writer, 'debitedAgent', places.debited, index);
    this.#setAgent(writer, 'creditedAgent', places.credited, index);
    this.#setIdentity(writer, row, index);
    this.#setAmount(places, writer, row, index);
  }

  /** The amount, and the first formal check that fails, in the contract's order. */
  #setAmount(places: FieldPlaces, writer: DecodedBatchWriter, row: number, index: number): void {
    const { map } = places;
    const spans = this.#scanner.spans;
    const at = row + TRANSACTION_AMOUNT * 2;
    if (spans[at] === -1) {
      const path = this.#transactionPath(map, index);
      writer.setFormalRejection('AM12', `${path}/Amt/EqvtAmt: an amount to be converted first; InstdAmt is expected`);
      return;
    }
    const amount = this.#amount;
    this.#readAmount(at);
    if (!amount.isTooLarge) writer.setAmount(this.#units(at));

    const currency = row + TRANSACTION_CURRENCY * 2;
    const bytes = this.#scanner.spanBytes(spans[currency]!);
    const from = this.#scanner.spanStart(spans[currency]!);
    const decimals = decimalsOf(bytes[from]!, bytes[from + 1]!, bytes[from + 2]!);
    if (decimals < 0) {
      writer.setFormalRejection('AM11', `${this.#amountPath(map, index)}/@Ccy: ${this.#text(currency)} is not an active ISO 4217 currency`);
    } else if (amount.decimals > decimals) {
      const has = `${this.#text(currency)} has ${decimals} decimals`;
      writer.setFormalRejection('AM12', `${this.#amountPath(map, index)}: ${amount.decimals} decimals, but ${has}`);
    } else if (amount.isZero) writer.setFormalRejection('AM01', `${this.#amountPath(map, index)}: the amount is 0`);
    else if (amount.isTooLarge) {
      writer.setFormalRejection('AM02', `${this.#amountPath(map, index)}: more than 9999999999999.99999`);
    } else this.#checkAccounts(places, writer, row, index);
  }

  #checkAccounts(places: FieldPlaces, writer: DecodedBatchWriter, row: number, index: number): void {
    const { map } = places;
    const inBlock = places.debtorIbanScope === SCOPE_BLOCK;
    const block = this.#scanner.transactionBlock[index]!;
    const debtor = inBlock ? this.#scanner.blockRow[block]! + BLOCK_DEBTOR_IBAN * 2 : row + TRANSACTION_DEBTOR_IBAN * 2;
    // The debtor of a block is the same for all of its transactions.
    if (!inBlock || this.#blockChecked !== block) {
      this.#debtorFault = this.#ibanFault(debtor);
      this.#blockChecked = block;
    }
    const debtorFault = this.#debtorFault;
    if (debtorFault !== null) {
      const path = inBlock ? this.#blockPath(map, block) : this.#transactionPath(map, index);
      writer.setFormalRejection('AC02', `${path}/${map.debtorIban?.path ?? ''}: ${ibanReasons[debtorFault]}`);
      return;
    }
    const creditorFault = this.#ibanFault(row + TRANSACTION_CREDITOR_IBAN * 2);
    if (creditorFault === null) return;
    const path = this.#transactionPath(map, index);
    writer.setFormalRejection('AC03', `${path}/${map.creditorIban?.path ?? ''}: ${ibanReasons[creditorFault]}`);
  }

  #ibanFault(at: number): IbanFault | null {
    const start = this.#scanner.spans[at]!;
    if (start === -1) return null;
    const from = this.#scanner.spanStart(start);
    return ibanFault(this.#scanner.spanBytes(start), from, from + this.#scanner.spans[at + 1]!);
  }

  /** The first agent that is present decides, also where it cannot be named: there is no fall-back then. */
  #setAgent(writer: DecodedBatchWriter, name: 'debitedAgent' | 'creditedAgent', agents: readonly AgentSlot[], index: number): void {
    const spans = this.#scanner.spans;
    for (const { scope, slot } of agents) {
      const at = this.#row(scope, index) + slot * 2;
      if (spans[at + AGENT_SEEN * 2] === -1) continue;
      const bic = at + AGENT_BIC * 2;
      const system = at + AGENT_CLEARING_SYSTEM * 2;
      const member = at + AGENT_MEMBER * 2;
      if (spans[bic] !== -1) {
        // Eight characters mean the head office.
        if (spans[bic + 1] === 8) writer.setTransactionText(name, `${this.#text(bic)}XXX`);
        else this.#setTransaction(writer, name, bic);
      } else if (spans[system] !== -1 && spans[member] !== -1) {
        writer.setTransactionText(name, `${this.#text(system)}:${this.#text(member)}`);
      }
      return;
    }
  }

  #setIdentity(writer: DecodedBatchWriter, row: number, index: number): void {
    const spans = this.#scanner.spans;
    const tag =
      spans[row + TRANSACTION_RETURN_ID * 2] !== -1
        ? 'RtrId'
        : spans[row + TRANSACTION_UETR * 2] !== -1
          ? 'UETR'
          : spans[row + TRANSACTION_ID * 2] !== -1
            ? 'TxId'
            : spans[row + TRANSACTION_INSTRUCTION_ID * 2] !== -1
              ? 'InstrId'
              : 'MsgId+EndToEndId';
    writer.setIdentityTag(tag);
    if (tag === 'MsgId+EndToEndId') {
      const endToEnd = row + TRANSACTION_END_TO_END_ID * 2;
      const parts = [SCOPE_ROW_MESSAGE + MESSAGE_ID * 2, endToEnd].map((at) => (spans[at] === -1 ? '' : escaped(this.#text(at))));
      writer.setTransactionText('identityValue', `${parts.join('|')}|${index}`);
    } else this.#setTransaction(writer, 'identityValue', row + identityPlaces[tag] * 2);
  }

  // Texts and paths.

  #row(scope: number, index: number): number {
    if (scope === SCOPE_MESSAGE) return SCOPE_ROW_MESSAGE;
    if (scope === SCOPE_BLOCK) return this.#scanner.blockRow[this.#scanner.transactionBlock[index]!]!;
    return this.#scanner.transactionRow[index]!;
  }

  #setEvent(writer: DecodedBatchWriter, name: EventText, at: number): void {
    const start = this.#scanner.spans[at]!;
    if (start >= 0) writer.setEventSpan(name, start, this.#scanner.spans[at + 1]!);
    else if (start !== -1) writer.setEventText(name, this.#text(at));
  }

  #setTransaction(writer: DecodedBatchWriter, name: TransactionText, at: number): void {
    const start = this.#scanner.spans[at]!;
    if (start >= 0) writer.setTransactionSpan(name, start, this.#scanner.spans[at + 1]!);
    else if (start !== -1) writer.setTransactionText(name, this.#text(at));
  }

  #text(at: number): string {
    const start = this.#scanner.spans[at]!;
    const bytes = this.#scanner.spanBytes(start);
    const from = bytes.byteOffset + this.#scanner.spanStart(start);
    return Buffer.from(bytes.buffer, from, this.#scanner.spans[at + 1]).toString('utf8');
  }

  #sameSpan(left: number, right: number): boolean {
    const spans = this.#scanner.spans;
    const length = spans[left + 1]!;
    if (length !== spans[right + 1]) return false;
    const leftBytes = this.#scanner.spanBytes(spans[left]!);
    const rightBytes = this.#scanner.spanBytes(spans[right]!);
    const leftStart = this.#scanner.spanStart(spans[left]!);
    const rightStart = this.#scanner.spanStart(spans[right]!);
    for (let i = 0; i < length; i++) if (leftBytes[leftStart + i] !== rightBytes[rightStart + i]) return false;
    return true;
  }

  #readAmount(at: number): void {
    const start = this.#scanner.spans[at]!;
    const from = this.#scanner.spanStart(start);
    this.#amount.read(this.#scanner.spanBytes(start), from, from + this.#scanner.spans[at + 1]!);
  }

  /** Of the amount that was read last, which is the one at this place. */
  #units(at: number): bigint {
    const start = this.#scanner.spans[at]!;
    const from = this.#scanner.spanStart(start);
    return this.#amount.units(this.#scanner.spanBytes(start), from, from + this.#scanner.spans[at + 1]!);
  }

  /** -1 where the field is absent. At most 15 digits, so exact. */
  #count(at: number): number {
    const start = this.#scanner.spans[at]!;
    if (start === -1) return -1;
    const bytes = this.#scanner.spanBytes(start);
    const from = this.#scanner.spanStart(start);
    let count = 0;
    for (let i = from; i < from + this.#scanner.spans[at + 1]!; i++) count = count * 10 + bytes[i]! - 0x30;
    return count;
  }

  #blockPath(map: FieldPlaces['map'], block: number): string {
    const position = this.#scanner.blockCount > 1 ? `[${block + 1}]` : '';
    return `/Document/${map.body}/${map.block ?? ''}${position}`;
  }

  #transactionPath(map: FieldPlaces['map'], index: number): string {
    const scanner = this.#scanner;
    const block = scanner.transactionBlock[index]!;
    if (map.block === null) {
      return `/Document/${map.body}/${map.transaction}${scanner.transactionCount > 1 ? `[${index + 1}]` : ''}`;
    }
    let first = index;
    while (first > 0 && scanner.transactionBlock[first - 1] === block) first--;
    const position = scanner.blockTransactions[block]! > 1 ? `[${index - first + 1}]` : '';
    return `${this.#blockPath(map, block)}/${map.transaction}${position}`;
  }

  #amountPath(map: FieldPlaces['map'], index: number): string {
    return `${this.#transactionPath(map, index)}/${map.amount}`;
  }
}

/** The message's row is the first. */
const SCOPE_ROW_MESSAGE = 0;

/** Two numbers up to this add up exactly. */
const wholeSumMax = 2 ** 51;

const identityPlaces = {
  RtrId: TRANSACTION_RETURN_ID,
  UETR: TRANSACTION_UETR,
  TxId: TRANSACTION_ID,
  InstrId: TRANSACTION_INSTRUCTION_ID,
} as const;

const ibanReasons: Readonly<Record<IbanFault, string>> = {
  country: 'the country of this IBAN has no IBANs',
  length: "this IBAN has not its country's length",
  'check-digits': "this IBAN's check digits do not fit",
};

/** The separator must not be found inside of a part. */
function escaped(text: string): string {
  return text.replace(/[%|]/g, (mark) => (mark === '%' ? '%25' : '%7C'));
}

function sameText(text: string, { bytes, messageTypeStart, messageTypeLength }: EventDocument): boolean {
  if (text.length !== messageTypeLength) return false;
  for (let i = 0; i < messageTypeLength; i++) if (bytes[messageTypeStart + i] !== text.charCodeAt(i)) return false;
  return true;
}

function shown(text: string): string {
  return text.slice(0, 40).replace(/[^\x20-\x7e]/g, '?');
}

/** Reads with the tables that the project brings. One for the thread: what it keeps between messages is its working space. */
export const readPaymentMessage: MessageReader = createMessageReader(readSchemaTable);
