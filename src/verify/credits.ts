/**
 * The credits between partitions: what was sent must be what the results owe, each once; and what is under way, with all
 * positions, must add up to nothing in each currency.
 *
 * Partitions commit by themselves, so their cuts are at different moments. Each record says which commit of its sender made
 * it: what was sent behind the sender's cut and taken before the receiver's is in the receiver's positions too early, and
 * is taken off again.
 */
import { valueBytes } from '../codec/record-batch.ts';
import { formatAmount } from '../domain/amount.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { TopicReader } from '../ports.ts';
import type { Findings } from './findings.ts';
import { readRouted } from './partition-replay.ts';
import type { PlaceSet } from './place-set.ts';

/** How far one partition was looked at. */
export interface CutCommits {
  /** The commit of the cut; 0: it never committed. */
  readonly commit: number;
  /** Next offset of its routed twin at the cut. */
  readonly routed: number;
  /** Results behind this commit were looked at; null: none could be. */
  readonly anchor: number | null;
}

export interface CreditsOutcome {
  /** Positions and credits under way, by currency. */
  readonly sums: ReadonlyMap<string, bigint>;
  readonly recordsUnderWay: number;
}

export async function checkCredits(options: {
  readonly topics: TopicNames;
  readonly reader: TopicReader;
  readonly cuts: readonly CutCommits[];
  /** The positions of all partitions at their cuts: units by `participant|currency`. */
  readonly positions: Iterable<readonly [name: string, units: bigint]>;
  readonly creditsSent: Map<string, bigint>;
  readonly places: PlaceSet;
  /** The newest commit of a partition now. */
  readonly newestCommit: (partition: number) => Promise<number>;
  readonly findings: Findings;
}): Promise<CreditsOutcome> {
  const { topics, reader, cuts, creditsSent, places, findings } = options;
  const sums = new Map<string, bigint>();
  const post = (currency: string, units: bigint): void => void sums.set(currency, (sums.get(currency) ?? 0n) + units);
  for (const [name, units] of options.positions) post(name.slice(name.lastIndexOf('|') + 1), units);

  let recordsUnderWay = 0;
  const beyond: { partition: number; offset: number; from: number; commit: number }[] = [];
  for (let partition = 0; partition < cuts.length; partition++) {
    const taken = cuts[partition]!.routed;
    const lastCommits = new Map<number, number>();
    await reader.readToEnd({ topic: topics.routed, partition, from: null }, (batch) => {
      for (let row = 0; row < batch.count; row++) {
        const offset = batch.offsets[row]!;
        const routed = readRouted(valueBytes(batch, row));
        if (routed === null) {
          // What was taken already is told by the replay.
          if (offset >= taken) findings.add('unreadable', topics.routed, partition, offset, 'this routed record cannot be read');
          continue;
        }
        const sender = cuts[routed.from];
        if (sender === undefined) {
          findings.add('credit', topics.routed, partition, offset, `this record comes from partition ${routed.from}, which there is not`);
          continue;
        }
        if (routed.commit > sender.commit) beyond.push({ partition, offset, from: routed.from, commit: routed.commit });
        const sentByCut = routed.commit <= sender.commit;
        const takenByCut = offset < taken;
        if (sentByCut && !takenByCut) {
          if (routed.credits.length > 0) recordsUnderWay++;
          for (const { event } of routed.transfers) {
            if (!places.has(event.inboundPartition, event.inboundOffset)) places.addEvent(event.inboundPartition, event.inboundOffset);
          }
        }
        if (routed.credits.length === 0) continue;
        if ((lastCommits.get(routed.from) ?? 0) >= routed.commit) {
          findings.add('credit', topics.routed, partition, offset, `credits of commit ${routed.commit} of partition ${routed.from} are here a second time, or out of order`);
        }
        lastCommits.set(routed.from, routed.commit);
        for (const leg of routed.credits) {
          if (sentByCut && !takenByCut) post(leg.currency, leg.units);
          if (!sentByCut && takenByCut) post(leg.currency, -leg.units);
          if (sentByCut && sender.anchor !== null && routed.commit > sender.anchor) {
            const way = `${routed.from}>${partition}|${leg.participant}|${leg.currency}`;
            creditsSent.set(way, (creditsSent.get(way) ?? 0n) - leg.units);
          }
        }
      }
    });
  }

  for (const [way, units] of creditsSent) {
    if (units === 0n) continue;
    const [ends, participant, currency] = way.split('|');
    const [from, to] = ends!.split('>').map(Number);
    const amount = formatAmount(units < 0n ? -units : units);
    findings.add(
      'credit',
      topics.routed,
      to!,
      null,
      units > 0n
        ? `${amount} ${currency} for ${participant} is missing: the results of partition ${from} owe it, and it was not sent`
        : `${amount} ${currency} for ${participant} too much came from partition ${from}: its results owe less`,
    );
  }
  for (const [currency, sum] of sums) {
    if (sum !== 0n) findings.add('money', topics.positions, -1, null, `positions and credits under way in ${currency} add up to ${formatAmount(sum)}, expected 0`);
  }
  const newest = new Map<number, number>();
  for (const { partition, offset, from, commit } of beyond) {
    if (!newest.has(from)) newest.set(from, await options.newestCommit(from));
    if (commit > newest.get(from)!) {
      findings.add('credit', topics.routed, partition, offset, `this record says that it is of commit ${commit} of partition ${from}, whose last one is ${newest.get(from)}`);
    }
  }
  return { sums, recordsUnderWay };
}
