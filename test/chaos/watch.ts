/** The concurrent reader, `read_committed`: looks at what was told as it comes, and at who commits a partition. */
import { decodeCheckpoint } from '../../src/codec/checkpoint.ts';
import type { Bench, StoredResult } from '../integration/harness/bench.ts';
import { headerText } from '../integration/harness/bench.ts';
import { Follower } from '../integration/harness/kafka.ts';
import type { Injection, Ledger } from './ledger.ts';

const lookEveryMs = 100;
const problemsMax = 20;
const lastCommitMs = 1_500;
/** A clock that jumped shows in results by at least this. */
const jumpSeenMs = 60_000;

export class Watch {
  readonly problems: string[] = [];
  readonly #bench: Bench;
  readonly #ledger: Ledger;
  readonly #onViolation: () => void;
  #follower: Follower | undefined;
  #timer: NodeJS.Timeout | undefined;
  #resultsSeen = 0;
  #lettersSeen = 0;
  readonly #sequences = new Map<number, number>();
  /** Where results of one inbound partition stand in one settlement partition. */
  readonly #ways = new Map<string, StoredResult>();
  readonly #outcomes = new Set<string>();
  /** Kills by partition whose first commit by another worker is awaited. */
  readonly #awaited = new Map<number, { readonly victim: string; readonly cause: Injection }>();
  readonly #committer = new Map<number, string>();
  /** Results that were settled by a clock that was off. */
  resultsByWrongClock = 0;
  commits = 0;

  private constructor(bench: Bench, ledger: Ledger, onViolation: () => void) {
    this.#bench = bench;
    this.#ledger = ledger;
    this.#onViolation = onViolation;
  }

  /** `onViolation` is called with the first promise that is seen broken. */
  static async start(bench: Bench, ledger: Ledger, onViolation: () => void): Promise<Watch> {
    const watch = new Watch(bench, ledger, onViolation);
    watch.#follower = await Follower.start({
      brokers: bench.brokers,
      topics: [`${bench.prefix}checkpoints`],
      take: (records) => {
        for (const { partition, value } of records) if (value !== null) watch.#committed(partition, decodeCheckpoint(value).worker);
      },
    });
    watch.#timer = setInterval(() => watch.#look(), lookEveryMs);
    return watch;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#look();
    await this.#follower?.stop();
  }

  get checked(): { readonly results: number; readonly deadLetters: number } {
    return { results: this.#resultsSeen, deadLetters: this.#lettersSeen };
  }

  /** Who committed a partition last; undefined: nobody yet. */
  committerOf(partition: number): string | undefined {
    return this.#committer.get(partition);
  }

  /** From now on the first commit of each of these partitions by another worker is awaited. */
  killed(victim: string, partitions: readonly number[], cause: Injection): void {
    for (const partition of partitions) this.#awaited.set(partition, { victim, cause });
  }

  /** Partitions of a kill that no other has committed yet. */
  awaiting(cause: Injection): number {
    return [...this.#awaited.values()].filter((one) => one.cause === cause).length;
  }

  #committed(partition: number, worker: string): void {
    this.commits++;
    this.#committer.set(partition, worker);
    const awaited = this.#awaited.get(partition);
    if (awaited === undefined) return;
    const { cause, victim } = awaited;
    const milliseconds = performance.now() - cause.at;
    // The victim's last commit may show after its death; its successor in the same place may have its name.
    if (victim === worker && milliseconds < lastCommitMs) return;
    this.#awaited.delete(partition);
    this.#ledger.recoveries.push({ partition, at: cause.at, milliseconds, cause });
  }

  #wrong(text: string): void {
    if (this.problems.length < problemsMax) this.problems.push(`seen as it came: ${text}`);
    if (this.problems.length === 1) this.#onViolation();
  }

  #look(): void {
    const { results, deadLetters } = this.#bench;
    for (; this.#resultsSeen < results.length; this.#resultsSeen++) this.#take(results[this.#resultsSeen]!);
    for (; this.#lettersSeen < deadLetters.length; this.#lettersSeen++) {
      const letter = deadLetters[this.#lettersSeen]!;
      this.#once(`${headerText(letter, 'dlq.partition')}/${headerText(letter, 'dlq.offset')} as a whole`);
    }
  }

  #once(place: string): void {
    if (this.#outcomes.has(place)) this.#wrong(`a second outcome of event ${place}`);
    this.#outcomes.add(place);
  }

  #take(result: StoredResult): void {
    const { partition, offset, inboundPartition, inboundOffset, transactionIndex } = result;
    this.#once(`${inboundPartition}/${inboundOffset} ${transactionIndex === -1 ? 'as a whole' : `transaction ${transactionIndex}`}`);
    if (result.status === 'ACSC') {
      const expected = (this.#sequences.get(partition) ?? 0) + 1;
      if (result.sequence !== expected) this.#wrong(`result ${partition}/${offset} has sequence ${result.sequence}, not ${expected}`);
      this.#sequences.set(partition, result.sequence ?? expected);
    }
    const way = `${inboundPartition} ${partition}`;
    const before = this.#ways.get(way);
    const isBehind = before === undefined || before.inboundOffset < inboundOffset || (before.inboundOffset === inboundOffset && before.transactionIndex < transactionIndex);
    if (!isBehind) this.#wrong(`result ${partition}/${offset} of event ${inboundPartition}/${inboundOffset} stands behind that of ${before.inboundPartition}/${before.inboundOffset}`);
    this.#ways.set(way, result);
    // Received is by the broker's clock, which does not jump here.
    if (result.settledAt < result.receivedAt - jumpSeenMs || result.settledAt > Date.now() + jumpSeenMs) this.resultsByWrongClock++;
  }
}
