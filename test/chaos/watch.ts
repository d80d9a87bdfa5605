/**
 * The concurrent reader, `read_committed`: looks at what was told as it comes, and at who commits a partition.
 */
import { decodeCheckpoint } from '../../src/codec/checkpoint.ts';
import type { Bench, StoredResult } from '../integration/harness/bench.ts';
import { headerText } from '../integration/harness/bench.ts';
import { Follower } from '../integration/harness/kafka.ts';
import type { Received } from '../integration/harness/kafka.ts';
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
  readonly #outcomes = new Outcomes((text) => this.#wrong(text));
  /** Kills by partition whose first commit by another worker is awaited. */
  readonly #awaited = new Map<number, { readonly victim: string; readonly cause: Injection }>();
  readonly #committer = new Map<number, string>();
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

  get resultsByWrongClock(): number {
    return this.#outcomes.byWrongClock;
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
    for (; this.#resultsSeen < results.length; this.#resultsSeen++) this.#outcomes.result(results[this.#resultsSeen]!);
    for (; this.#lettersSeen < deadLetters.length; this.#lettersSeen++) {
      this.#outcomes.deadLetter(deadLetters[this.#lettersSeen]!);
    }
  }
}

/** What must hold of results and dead letters in the order in which a partition tells them. */
export class Outcomes {
  readonly #wrong: (text: string) => void;
  readonly #sequences = new Map<number, number>();
  /** The last result of one inbound partition in one settlement partition. */
  readonly #ways = new Map<string, StoredResult>();
  readonly #places = new Set<string>();
  /** Results that were settled by a clock that was off. */
  byWrongClock = 0;

  constructor(wrong: (text: string) => void) {
    this.#wrong = wrong;
  }

  deadLetter(letter: Received): void {
    this.#once(`${headerText(letter, 'dlq.partition')}/${headerText(letter, 'dlq.offset')}`, 'as a whole');
  }

  result(result: StoredResult): void {
    const { partition, offset, inboundPartition, inboundOffset, transactionIndex } = result;
    this.#once(`${inboundPartition}/${inboundOffset}`, transactionIndex === -1 ? 'as a whole' : `transaction ${transactionIndex}`);
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
    if (result.settledAt < result.receivedAt - jumpSeenMs || result.settledAt > Date.now() + jumpSeenMs) this.byWrongClock++;
  }

  /** An event has one outcome as a whole, or one for each of its transactions. */
  #once(event: string, part: string): void {
    const isSecond = this.#places.has(`${event} ${part}`) || (part !== 'as a whole' && this.#places.has(`${event} as a whole`));
    if (isSecond) this.#wrong(`a second outcome of event ${event} ${part}`);
    this.#places.add(`${event} ${part}`);
  }
}
