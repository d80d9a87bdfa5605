/**
 * The closed lists of answers that the contract knows. One place decides what each is called on the outside: a duplicate
 * is AM05 here, whatever a scheme may call it.
 *
 * Source: contract section 3; ISO 20022 ExternalStatusReason1Code and ExternalPaymentTransactionStatus1Code.
 */

/** Why an event as a whole cannot be understood, in the order in which the checks run. */
export const deadLetterCodes = [
  'OVERSIZE',
  'NOT_FRAMED',
  'UNKNOWN_SCHEMA',
  'SCHEMA_INCOMPATIBLE',
  'AVRO_INVALID',
  'XML_FORBIDDEN',
  'XML_INVALID',
  'TYPE_MISMATCH',
  'TYPE_UNSUPPORTED',
] as const;
export type DeadLetterCode = (typeof deadLetterCodes)[number];

/** Why a message as a whole is rejected (transactionIndex -1), in the order in which the checks run. */
export const messageReasonCodes = ['FF01', 'AM19', 'AM20', 'AM10', 'AM17'] as const;
export type MessageReasonCode = (typeof messageReasonCodes)[number];

/** Why one transaction is rejected by what the message itself says, in the order in which the checks run. */
export const formalReasonCodes = ['AM11', 'AM12', 'AM01', 'AM02', 'AC02', 'AC03'] as const;
export type FormalReasonCode = (typeof formalReasonCodes)[number];

/** Why one transaction is rejected by the directory, the claims or the position, in the order in which the checks run. */
export const settlementReasonCodes = ['DNOR', 'CNOR', 'AM03', 'AM05', 'AM04'] as const;
export type SettlementReasonCode = (typeof settlementReasonCodes)[number];

export type ReasonCode = MessageReasonCode | FormalReasonCode | SettlementReasonCode;

/** ACSC: settled. RJCT: rejected, with a reason code. */
export type TransactionStatus = 'ACSC' | 'RJCT';

/**
 * Which identifier made a payment's identity. No single one exists in all schemes, so the first that a transaction has
 * is taken, in this order (contract section 3, "Identity").
 */
export const identityTags = ['RtrId', 'UETR', 'TxId', 'InstrId', 'MsgId+EndToEndId'] as const;
export type IdentityTag = (typeof identityTags)[number];
