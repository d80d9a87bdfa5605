/**
 * What must hold after a run, worked out from what stands in the topics alone, by other means than the fleet's: it walks
 * each settlement partition Kafka transaction by Kafka transaction and does the sums again.
 */
import { createHash } from 'node:crypto';
import { decodeCheckpoint } from '../../src/codec/checkpoint.ts';
import { decodePaymentResult } from '../../src/codec/payment-result.ts';
import type { PaymentResult } from '../../src/codec/payment-result.ts';
import { decodePosition } from '../../src/codec/position-record.ts';
import { decodeRouted } from '../../src/codec/routed.ts';
import type { Routed } from '../../src/codec/routed.ts';
import { settlementPartition } from '../../src/domain/partition.ts';
import type { Directory } from '../../src/domain/participant.ts';
import type { TopicNames } from '../../src/domain/topics.ts';
import type { Cluster, StoredRecord, Txn } from './cluster.ts';
import type { SimEvent, SimTransaction } from './ports.ts';

export interface Truth {
  readonly cluster: Cluster;
  readonly topics: TopicNames;
  readonly partitions: number;
  readonly groupId: string;
  readonly directories: readonly Directory[];
  /** Every inbound event by `partition:offset`. */
  readonly inbound: ReadonlyMap<string, SimEvent>;
}

interface Result extends PaymentResult {
  readonly partition: number;
  readonly offset: number;
  readonly txn: Txn | null;
}

/** Sentences, each a broken promise; empty when all hold. */
export function findViolations(truth: Truth): string[] {
  const violations: string[] = [];
  const say = (what: string): void => {
    if (violations.length < 20) violations.push(what);
  };
  const results = readResults(truth);
  checkOutcomes(truth, results, say);
  checkClaims(truth, results, say);
  for (let partition = 0; partition < truth.partitions; partition++) checkPartition(truth, partition, results[partition]!, say);
  checkConservation(truth, say);
  return violations;
}

/** How many events have come to their end, and whether everything that was sent between lanes has arrived. */
export function isAtRest({ cluster, topics, partitions, groupId }: Truth): boolean {
  const { offsets, pending } = cluster.group(groupId);
  if (pending.size > 0) return false;
  // A marker that was held up while brokers were away holds back what was committed long before.
  for (const at of [...cluster.topics.values()].flat()) if (at.open.size > 0) return false;
  /** Where the broker has forgotten the offsets of a group, the checkpoint still tells. */
  const forgotten = (topic: string, partition: number): number => {
    const last = cluster.at(topics.checkpoints, partition).committed().at(-1);
    return last === undefined ? 0 : decodeCheckpoint(last.value!)[topic === topics.inbound ? 'inbound' : 'routed'];
  };
  for (const topic of [topics.inbound, topics.routed]) {
    for (let partition = 0; partition < partitions; partition++) {
      const at = cluster.at(topic, partition);
      const committed = offsets.get(`${topic} ${partition}`) ?? forgotten(topic, partition);
      for (let offset = committed; offset < at.records.length; offset++) if (at.isVisible(at.records[offset]!)) return false;
    }
  }
  return true;
}

function readResults({ cluster, topics, partitions }: Truth): Result[][] {
  return Array.from({ length: partitions }, (_, partition) =>
    cluster
      .at(topics.results, partition)
      .committed()
      .map((record) => ({ ...decodePaymentResult(record.value!), partition, offset: record.offset, txn: record.txn })),
  );
}

const nameOf = (directories: readonly Directory[], agent: string | null): string | null =>
  agent === null ? null : (directories[0]!.find(agent)?.id ?? agent);

// ── One outcome each ─────────────────────────────────────────────────────────────────────────────────────────────────

function checkOutcomes({ cluster, topics, inbound, directories, partitions }: Truth, results: readonly Result[][], say: (what: string) => void): void {
  const outcomes = new Map<string, string[]>();
  const add = (place: string, what: string): void => {
    const list = outcomes.get(place);
    if (list === undefined) outcomes.set(place, [what]);
    else list.push(what);
  };
  for (const result of results.flat()) {
    const place = `${result.inboundPartition}:${result.inboundOffset}`;
    const event = inbound.get(place);
    if (event === undefined || event.eventId !== result.eventId) say(`The result ${result.partition}@${result.offset} tells of an event that was never at ${place}.`);
    add(`${place}:${result.transactionIndex}`, result.status);
    if (event === undefined) continue;
    const transaction = event.transactions[result.transactionIndex];
    const debited = result.transactionIndex < 0 ? null : nameOf(directories, transaction!.debited);
    const owner = debited === null ? result.inboundPartition : settlementPartition(debited, partitions);
    if (owner !== result.partition) say(`The result of ${place}:${result.transactionIndex} is in partition ${result.partition}, expected ${owner}.`);
    checkDecision(result, transaction, directories, say);
  }
  for (const letter of (cluster.topics.get(topics.deadLetter) ?? []).flatMap((at) => at.committed())) {
    const header = (name: string): string => (letter.headers ?? []).find((one) => name in one)?.[name]?.toString() ?? '';
    const place = `${header('dlq.partition')}:${header('dlq.offset')}`;
    add(`${place}:dlq`, header('dlq.code'));
    const event = inbound.get(place);
    if (event === undefined || letter.value?.toString() !== JSON.stringify(event)) say(`The dead letter of ${place} does not hold what came.`);
  }
  for (const [place, event] of inbound) {
    const expected =
      event.deadLetter !== null ? [`${place}:dlq`] : event.rejected !== null ? [`${place}:-1`] : event.transactions.map((_, index) => `${place}:${index}`);
    for (const name of expected) {
      const found = outcomes.get(name) ?? [];
      if (found.length !== 1) say(`${name} (${event.eventId}) has ${found.length} outcomes${found.length > 0 ? `: ${found.join(', ')}` : ''}, expected one.`);
      outcomes.delete(name);
    }
  }
  for (const place of outcomes.keys()) say(`${place} has an outcome that it must not have.`);
}

/** What message and directory alone decide must have been decided so. */
function checkDecision(result: Result, transaction: SimTransaction | undefined, directories: readonly Directory[], say: (what: string) => void): void {
  const place = `${result.inboundPartition}:${result.inboundOffset}:${result.transactionIndex}`;
  if (transaction === undefined) return;
  if (result.debitedParticipant !== nameOf(directories, transaction.debited) || result.creditedParticipant !== nameOf(directories, transaction.credited)) {
    say(`${place} names ${result.debitedParticipant} and ${result.creditedParticipant}, expected ${transaction.debited} and ${transaction.credited}.`);
  }
  if (result.amount !== BigInt(transaction.units)) say(`${place} has the amount ${result.amount}, expected ${transaction.units}.`);
  const before = refusal(transaction, directories[0]!);
  const found = result.reasonCode ?? 'ACSC';
  const isRight = before === null ? ['ACSC', 'AM05', 'AM04'].includes(found) : found === before;
  if (!isRight) say(`${place} is ${found}, expected ${before ?? 'ACSC, AM04 or AM05'}.`);
}

/** Participants and their currencies stay the same in a run; caps change. */
function refusal({ formal, debited, credited, currency }: SimTransaction, directory: Directory): string | null {
  if (formal !== null) return formal;
  const from = debited === null ? undefined : directory.find(debited);
  const to = credited === null ? undefined : directory.find(credited);
  if (from === undefined) return 'DNOR';
  if (to === undefined) return 'CNOR';
  return from.debitCaps.has(currency) && to.debitCaps.has(currency) ? null : 'AM03';
}

// ── Identities ───────────────────────────────────────────────────────────────────────────────────────────────────────

function checkClaims({ inbound, directories }: Truth, results: readonly Result[][], say: (what: string) => void): void {
  const groups = new Map<string, Result[]>();
  for (const result of results.flat()) {
    const transaction = inbound.get(`${result.inboundPartition}:${result.inboundOffset}`)?.transactions[result.transactionIndex];
    if (transaction === undefined || refusal(transaction, directories[0]!) !== null) continue;
    const key = `${result.debitedParticipant}|pacs.008|${transaction.tag}|${transaction.identity}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [result]);
    else group.push(result);
  }
  for (const [key, group] of groups) {
    const holders = group.filter((result) => result.identity !== null);
    if (holders.length !== 1) {
      say(`${key} is claimed by ${holders.length} results, expected one: ${group.map((one) => `${one.inboundPartition}:${one.inboundOffset}:${one.transactionIndex} ${one.reasonCode ?? 'ACSC'} at ${one.partition}@${one.offset}`).join(', ')}.`);
      continue;
    }
    const holder = holders[0]!;
    for (const one of group) {
      if (one === holder) {
        if (one.reasonCode === 'AM05') say(`${key} is a duplicate and its own holder.`);
      } else if (one.reasonCode !== 'AM05' || one.originalEventId !== holder.eventId) {
        say(`${key} at ${one.inboundPartition}:${one.inboundOffset}:${one.transactionIndex} is ${one.reasonCode ?? 'ACSC'} of ${one.originalEventId}, expected AM05 of ${holder.eventId}.`);
      }
    }
  }
}

// ── One settlement partition ─────────────────────────────────────────────────────────────────────────────────────────

function checkPartition(truth: Truth, partition: number, results: readonly Result[], say: (what: string) => void): void {
  const { cluster, topics, partitions, groupId, directories } = truth;
  const raw = cluster.at(topics.results, partition).committed();
  const positionsOf = byTxn(cluster.at(topics.positions, partition).committed());
  const resultsOf = byTxn(raw);
  const decodedOf = new Map<number, Result>(results.map((result) => [result.offset, result]));
  const routed = cluster.at(topics.routed, partition).committed().map((record) => ({ offset: record.offset, ...decodeRouted(record.value!) }));
  const at = `Partition ${partition}`;
  const positions = new Map<string, bigint>();
  const position = (name: string): bigint => positions.get(name) ?? 0n;
  const post = (name: string, units: bigint, changed: Set<string>): void => {
    positions.set(name, position(name) + units);
    changed.add(name);
  };
  let sequence = 0;
  let count = 0;
  let chain = '0'.repeat(64);
  let routedNext = 0;
  let inboundNext = 0;
  let lastCommit = 0;
  const lastOf = new Map<number, number>();

  for (const record of cluster.at(topics.checkpoints, partition).committed()) {
    const checkpoint = decodeCheckpoint(record.value!);
    const txn = record.txn!;
    const where = `${at}, Kafka transaction ${txn.id}`;
    if (checkpoint.routed < routedNext || checkpoint.inbound < inboundNext) say(`${where}: the checkpoint goes back, from inbound ${inboundNext}, routed ${routedNext} to ${checkpoint.inbound}, ${checkpoint.routed}.`);
    const arrived = routed.filter(({ offset }) => offset >= routedNext && offset < checkpoint.routed);
    let applied = 0;
    const changed = new Set<string>();
    const owed = new Map<string, bigint>();
    const hash = createHash('sha256').update(chain);
    for (const stored of resultsOf.get(txn) ?? []) {
      if (stored.key !== null) hash.update(stored.key);
      hash.update(stored.value!);
      count++;
      const result = decodedOf.get(stored.offset)!;
      const place = result.inboundOffset * 1000 + result.transactionIndex;
      if (place <= (lastOf.get(result.inboundPartition) ?? -2)) say(`${where}: the result of ${result.inboundPartition}:${result.inboundOffset}:${result.transactionIndex} is out of order.`);
      lastOf.set(result.inboundPartition, place);
      if (result.inboundPartition === partition && (result.inboundOffset >= checkpoint.inbound || result.inboundOffset < inboundNext)) {
        say(`${where}: the result of inbound offset ${result.inboundOffset} is not between the checkpoints ${inboundNext} and ${checkpoint.inbound}.`);
      }
      const debited = `${result.debitedParticipant}|${result.currency}`;
      const caps = directories.map((one) => one.find(result.debitedParticipant ?? '')?.debitCaps.get(result.currency ?? '') ?? 0n);
      if (result.status === 'ACSC') {
        if (result.sequence !== ++sequence) say(`${where}: the sequence is ${result.sequence}, expected ${sequence}.`);
        sequence = result.sequence ?? sequence;
        const expected = result.positionAfter! + result.amount!;
        while (position(debited) !== expected && applied < arrived.length) applyCredits(arrived[applied++]!, changed);
        if (position(debited) !== expected) say(`${where}: positionAfter of ${debited} at ${result.inboundPartition}:${result.inboundOffset}:${result.transactionIndex} is ${result.positionAfter}, expected ${position(debited) - result.amount!} or after a credit that arrived.`);
        post(debited, -result.amount!, changed);
        if (position(debited) < -max(caps)) say(`${where}: ${debited} stands at ${position(debited)}, below its cap of ${max(caps)}.`);
        const credited = `${result.creditedParticipant}|${result.currency}`;
        const owner = settlementPartition(result.creditedParticipant!, partitions);
        if (owner === partition) post(credited, result.amount!, changed);
        else owed.set(`${owner} ${credited}`, (owed.get(`${owner} ${credited}`) ?? 0n) + result.amount!);
      } else if (result.reasonCode === 'AM04') {
        // Some state of the credits that arrived, and some cap that was in force, must refuse it.
        let standing = position(debited);
        const least = min(caps);
        for (let i = applied; standing - result.amount! >= -least && i < arrived.length; i++) standing += creditOf(arrived[i]!, debited);
        if (standing - result.amount! >= -least) say(`${where}: ${debited} at ${standing} could pay ${result.amount}, and was refused with AM04.`);
      }
    }
    while (applied < arrived.length) applyCredits(arrived[applied++]!, changed);
    chain = hash.digest('hex');
    if (checkpoint.chain !== chain) say(`${where}: the chain over the results is broken, at commit ${checkpoint.commit} with ${(resultsOf.get(txn) ?? []).length} results, after commit ${lastCommit}.`);
    lastCommit = checkpoint.commit;
    chain = checkpoint.chain;
    if (checkpoint.results !== count) say(`${where}: the checkpoint counts ${checkpoint.results} results, expected ${count}.`);
    if (checkpoint.sequence !== sequence) say(`${where}: the checkpoint's sequence is ${checkpoint.sequence}, expected ${sequence}.`);
    const written = new Set<string>();
    for (const entry of positionsOf.get(txn) ?? []) {
      const { participant, currency, units } = decodePosition(entry.key!, entry.value!);
      const name = `${participant}|${currency}`;
      written.add(name);
      if (units !== position(name)) say(`${where}: the changelog says ${units} for ${name}, expected ${position(name)}.`);
    }
    for (const name of changed) if (!written.has(name)) say(`${where}: the changelog says nothing of ${name}, which changed.`);
    checkOwed(truth, txn, partition, owed, where, say);
    routedNext = checkpoint.routed;
    inboundNext = checkpoint.inbound;
  }

  function applyCredits(record: Routed, changed: Set<string>): void {
    for (const leg of record.credits) post(`${leg.participant}|${leg.currency}`, leg.units, changed);
  }

  if (count !== results.length) say(`${at} holds ${results.length} results, its checkpoints speak of ${count}.`);
  const { offsets } = cluster.group(groupId);
  for (const [topic, expected] of [
    [topics.inbound, inboundNext],
    [topics.routed, routedNext],
  ] as const) {
    const committed = offsets.get(`${topic} ${partition}`);
    if (committed !== undefined && committed !== expected) say(`${at}: the committed offset of ${topic} is ${committed}, the last checkpoint says ${expected}.`);
  }
}

/** The credit legs of a Kafka transaction are the credits of its settled results, no more and no less. */
function checkOwed({ cluster, topics, partitions }: Truth, txn: Txn, from: number, owed: Map<string, bigint>, where: string, say: (what: string) => void): void {
  for (let to = 0; to < partitions; to++) {
    const at = cluster.at(topics.routed, to);
    if (!txn.partitions.has(at)) continue;
    for (const record of at.records) {
      if (record.txn !== txn || record.isMarker) continue;
      const routed = decodeRouted(record.value!);
      if (routed.from !== from) continue;
      for (const leg of routed.credits) {
        const name = `${to} ${leg.participant}|${leg.currency}`;
        owed.set(name, (owed.get(name) ?? 0n) - leg.units);
      }
    }
  }
  for (const [name, units] of owed) if (units !== 0n) say(`${where}: credits to ${name} differ by ${units} from what was settled.`);
}

// ── Money ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** At every committed point, positions and credit legs under way add up to nothing, in each currency. */
function checkConservation({ cluster, topics, partitions }: Truth, say: (what: string) => void): void {
  const changes = new Map<Txn, Map<string, bigint>>();
  const add = (txn: Txn, currency: string, units: bigint): void => {
    let sums = changes.get(txn);
    if (sums === undefined) changes.set(txn, (sums = new Map()));
    sums.set(currency, (sums.get(currency) ?? 0n) + units);
  };
  const total = new Map<string, bigint>();
  for (let partition = 0; partition < partitions; partition++) {
    const known = new Map<string, bigint>();
    for (const record of cluster.at(topics.positions, partition).committed()) {
      const { participant, currency, units } = decodePosition(record.key!, record.value!);
      const name = `${participant}|${currency}`;
      add(record.txn!, currency, units - (known.get(name) ?? 0n));
      known.set(name, units);
    }
    const routed = cluster.at(topics.routed, partition).committed();
    for (const record of routed) for (const leg of decodeRouted(record.value!).credits) add(record.txn!, leg.currency, leg.units);
    let next = 0;
    for (const record of cluster.at(topics.checkpoints, partition).committed()) {
      const checkpoint = decodeCheckpoint(record.value!);
      for (const one of routed) {
        if (one.offset < next || one.offset >= checkpoint.routed) continue;
        for (const leg of decodeRouted(one.value!).credits) add(record.txn!, leg.currency, -leg.units);
      }
      next = Math.max(next, checkpoint.routed);
    }
    for (const [name, units] of known) {
      const currency = name.slice(name.lastIndexOf('|') + 1);
      total.set(currency, (total.get(currency) ?? 0n) + units);
    }
  }
  for (const [txn, sums] of changes) {
    for (const [currency, units] of sums) if (units !== 0n) say(`Kafka transaction ${txn.id} makes ${units} of ${currency} out of nothing.`);
  }
  for (const [currency, units] of total) if (units !== 0n) say(`At rest the positions in ${currency} add up to ${units}, expected 0.`);
}

function byTxn(records: readonly StoredRecord[]): Map<Txn, StoredRecord[]> {
  const groups = new Map<Txn, StoredRecord[]>();
  for (const record of records) {
    const group = groups.get(record.txn!);
    if (group === undefined) groups.set(record.txn!, [record]);
    else group.push(record);
  }
  return groups;
}

function creditOf(record: Routed, name: string): bigint {
  let sum = 0n;
  for (const leg of record.credits) if (`${leg.participant}|${leg.currency}` === name) sum += leg.units;
  return sum;
}

const max = (values: readonly bigint[]): bigint => values.reduce((a, b) => (a > b ? a : b));
const min = (values: readonly bigint[]): bigint => values.reduce((a, b) => (a < b ? a : b));
