/**
 * The rung of the ladder behind each answer, in words for whoever has to explain it to somebody else.
 *
 * Source: contract section 3.
 */
import type { ReasonCode } from '../domain/codes.ts';

const rules: Readonly<Record<ReasonCode, string>> = {
  FF01: 'the message breaks the XSD of its message definition',
  AM19: 'the number of transactions in the group header is not the number of transactions',
  AM20: 'the number of transactions in a payment information block is not the number of its transactions',
  AM10: 'a control sum is not the sum of the amounts',
  AM17: 'the total settlement amount is not the sum, or is in another currency',
  AM11: 'the currency is not an active ISO 4217 code',
  AM12: 'the amount is written with more decimals than the currency has',
  AM01: 'the amount is 0',
  AM02: 'the amount is larger than decimal(18,5) holds',
  AC02: "the debtor's IBAN is not valid",
  AC03: "the creditor's IBAN is not valid",
  DNOR: 'the debited participant is not in the directory',
  CNOR: 'the credited participant is not in the directory',
  AM03: 'the debited or the credited participant does not hold the currency',
  AM05: 'a duplicate: the identity was claimed before',
  AM04: 'the debit would take the position below minus the debit cap',
};

export function ruleOf(reasonCode: string | null): string {
  if (reasonCode === null) return 'every check passed';
  return rules[reasonCode as ReasonCode] ?? 'a rule that this version does not know';
}
