/**
 * Whether a day's statements hold everything that belongs to the day, found out from Kafka: what came in before the day's end
 * must be decided, and what is decided must be counted in ClickHouse. A statement that does not say so is a guess.
 */
import type { TopicNames } from '../domain/topics.ts';
import type { TopicReader } from '../ports.ts';
import { lastCheckpoint } from '../restore.ts';
import type { DaySums } from './statements.ts';

/**
 * `final`: nothing can be added to the day any more. `interim`: the day is not over, and everything that was decided when the
 * report was asked for is counted. `incomplete`: something is missing, and the reasons say what. `unchecked`: Kafka was not asked.
 */
export type StatementState = 'final' | 'interim' | 'incomplete' | 'unchecked';

/** How far one settlement partition is. */
export interface PartitionStanding {
  readonly partition: number;
  /** Of the last debit posted; 0: none was. */
  readonly sequence: number;
  /** Records of the inbound partition and of its routed twin that came before the day's end and are not decided; at most `countedMax`. */
  readonly undecided: number;
}

/** More are not counted: that there are any is what matters. */
const countedMax = 1000;

/** `dayEndMs`: milliseconds since the epoch, exclusive. Waits Kafka out. */
export async function readStandings(options: {
  readonly reader: TopicReader;
  readonly topics: TopicNames;
  readonly partitions: number;
  readonly dayEndMs: number;
}): Promise<PartitionStanding[]> {
  const { reader, topics, partitions, dayEndMs } = options;
  const standings: PartitionStanding[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    const checkpoint = await lastCheckpoint(reader, topics.checkpoints, partition);
    const undecided =
      (await recordsBefore(reader, { topic: topics.inbound, partition, from: checkpoint?.inbound ?? null }, dayEndMs)) +
      (await recordsBefore(reader, { topic: topics.routed, partition, from: checkpoint?.routed ?? null }, dayEndMs));
    standings.push({ partition, sequence: checkpoint?.sequence ?? 0, undecided: Math.min(undecided, countedMax) });
  }
  return standings;
}

class Enough extends Error {}

/**
 * Records from an offset on that came before a time. Offsets would not do: behind the last record lies the marker of its Kafka
 * transaction, and a fleet that was stopped may not have committed past it.
 */
async function recordsBefore(
  reader: TopicReader,
  place: { readonly topic: string; readonly partition: number; readonly from: number | null },
  timeMs: number,
): Promise<number> {
  const { low } = await reader.watermarks(place.topic, place.partition);
  const end = await reader.offsetAt(place.topic, place.partition, timeMs);
  if ((place.from ?? low) >= end) return 0;
  let count = 0;
  try {
    await reader.readToEnd({ ...place, before: end }, (batch) => {
      for (let row = 0; row < batch.count && batch.offsets[row]! < end; row++) count++;
      if (count >= countedMax) throw new Enough();
    });
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return count;
}

/**
 * What ClickHouse must count of each partition before the day is whole: what was posted when everything of the day was
 * decided there. It is noted at the first look at which that is so, since a busy fleet would move the mark for ever.
 */
export class Marks {
  readonly #dayIsOver: boolean;
  readonly #sequences = new Map<number, number>();

  constructor(dayIsOver: boolean) {
    this.#dayIsOver = dayIsOver;
  }

  /** The same standings with the sequence that must be counted. */
  note(standings: readonly PartitionStanding[]): PartitionStanding[] {
    return standings.map((one) => {
      const marked = this.#sequences.get(one.partition);
      if (marked === undefined && (!this.#dayIsOver || one.undecided === 0)) this.#sequences.set(one.partition, one.sequence);
      return marked === undefined ? one : { ...one, sequence: marked };
    });
  }
}

/** Judges one look at ClickHouse, which was made after the one at Kafka. `standings`: see `Marks`. */
export function judge(sums: DaySums, standings: readonly PartitionStanding[], dayIsOver: boolean): { readonly state: StatementState; readonly reasons: readonly string[] } {
  const reasons: string[] = [];
  for (const { partition, sequence, undecided } of standings) {
    const counted = sums.counted.get(partition) ?? 0;
    if (dayIsOver && undecided > 0) {
      const many = undecided >= countedMax ? `${countedMax} or more` : String(undecided);
      reasons.push(`partition ${partition}: records that came before the end of the day are not decided yet (${many})`);
    }
    if (counted < sequence) {
      reasons.push(`partition ${partition}: ClickHouse counts ${counted} debits, ${sequence} are posted; the sink is behind, or was not given the results from the first one on`);
    }
  }
  const known = new Set(standings.map(({ partition }) => partition));
  for (const partition of sums.counted.keys()) {
    if (!known.has(partition)) reasons.push(`ClickHouse counts debits of partition ${partition}, which the topics do not have`);
  }
  for (const currency of sums.unbalanced) reasons.push(`debits and credits in ${currency} do not add up to 0: ClickHouse is being filled`);
  if (reasons.length > 0) return { state: 'incomplete', reasons };
  return { state: dayIsOver ? 'final' : 'interim', reasons };
}

/** Partitions of which ClickHouse counts more debits than were posted: rows of another topic, or of one that was made anew. */
export function overcounted(sums: DaySums, standings: readonly PartitionStanding[]): string[] {
  return standings
    .filter(({ partition, sequence }) => (sums.counted.get(partition) ?? 0) > sequence)
    .map(({ partition, sequence }) => `partition ${partition}: ClickHouse counts ${sums.counted.get(partition)} debits, and only ${sequence} are posted: its rows are of other topics`);
}
