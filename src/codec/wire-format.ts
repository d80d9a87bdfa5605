/**
 * The Confluent wire format: byte 0, the writer's schema id as four bytes big-endian, then the Avro binary.
 *
 * Source: Confluent Schema Registry, "Wire format".
 */
export const wireHeaderBytes = 5;

/** No registry gives a larger id: Confluent's are positive 32-bit integers of Java. */
export const schemaIdMax = 0x7fffffff;

/** The schema id of the value at `start`, 0 to 2^32 - 1; -1 when the value is not framed (a null one has start -1). */
export function schemaIdAt(bytes: Uint8Array, start: number, length: number): number {
  if (start < 0 || length < wireHeaderBytes || bytes[start] !== 0) return -1;
  return ((bytes[start + 1]! << 24) | (bytes[start + 2]! << 16) | (bytes[start + 3]! << 8) | bytes[start + 4]!) >>> 0;
}

/** Why `schemaIdAt` gave -1, in one line for a person. */
export function notFramedReason(bytes: Uint8Array, start: number, length: number): string {
  if (start < 0) return 'the value is null; expected the Confluent wire format';
  if (length === 0) return 'the value is empty; expected the Confluent wire format';
  if (bytes[start] !== 0) return `the value begins with byte ${bytes[start]}; expected 0 of the Confluent wire format`;
  return `the value has ${length} bytes; the Confluent wire format takes at least ${wireHeaderBytes}`;
}

/** Writes the header at `start` and gives the place after it. There must be room. */
export function writeWireHeader(bytes: Uint8Array, start: number, schemaId: number): number {
  bytes[start] = 0;
  bytes[start + 1] = schemaId >>> 24;
  bytes[start + 2] = schemaId >>> 16;
  bytes[start + 3] = schemaId >>> 8;
  bytes[start + 4] = schemaId;
  return start + wireHeaderBytes;
}
