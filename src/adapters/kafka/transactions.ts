/**
 * Kafka transactions that end in certainty. Each is a fixed set of bytes and offsets; it is tried, as the same bytes, until
 * it is known to be committed, or known to be no longer ours to commit.
 *
 * Two dangers shape this file.
 *
 * The lost answer. A commit whose answer does not come may have happened. A new producer with the same transactional id
 * ends whatever was open (`initTransactions` raises the epoch and completes or aborts it); after that the group's committed
 * offsets tell: they move in the same Kafka transaction, so they stand at our offsets if and only if it was committed.
 *
 * The late EndTxn (librdkafka#5423). Without KIP-890 part 2 an EndTxn(commit) frame held up on the way, after the client
 * has silently sent it again, ends the NEXT transaction early:
 *
 *     1. we send EndTxn(commit) for transaction 1; the frame is held up on its way
 *     2. the client times out, reconnects, sends it again; transaction 1 is committed
 *     3. we begin transaction 2 and produce half of it
 *     4. the first frame arrives: the coordinator commits half of transaction 2
 *
 * Offsets are as bad: a TxnOffsetCommit of transaction 1 that arrives in transaction 2, behind its own, takes the committed
 * offsets back and leaves the rest.
 *
 * So after any hiccup of the way to a coordinator the producer is replaced before the next transaction begins: the raised
 * epoch makes the coordinators refuse what comes late.
 *
 * A third matter is the dead. What a killed member left open holds up whoever takes over its partitions, and everybody who
 * reads what it wrote to, until the coordinator's timer comes round: transaction.timeout.ms and up to the broker's
 * transaction.abort.timed.out.transaction.cleanup.interval.ms, together 20 s by default. So each partition has a
 * transactional id, a member uses that of its lowest partition, and whoever is assigned a partition begins with a new epoch
 * of its id: that ends what an owner before may have left open, whoever that was. Nobody needs to know who died.
 *
 *     generation 4     A owns 0 1 2, uses id 0     B owns 3 4 5, uses id 3      B is killed, its Kafka transaction open
 *     generation 5     A owns 0 1 2 3 4 5, uses id 0, and ends what is open under 1, 2, 3, 4, 5
 *
 * That is for speed alone: what is safe is decided by the group and by stable offsets, and an epoch that is raised by
 * somebody who is late (it slept, its frame was held up) costs the owner one more try of the same bytes.
 */
import { FatalError } from '../../errors.ts';
import type { CommitOutcome, KafkaTransaction, Log, Timing, TopicOffset } from '../../ports.ts';
import { asError, call, connect, disconnect, produce } from './client.ts';
import type { KafkaClients, KafkaConsumer, Producer } from './client.ts';

const connectTimeoutMs = 5000;
const initTimeoutMs = 10_000;
const abortTimeoutMs = 5000;
const retryDelayMs = 250;
/** A commit takes some 15 ms; one that takes this long may have left a frame behind. */
const suspectCommitMs = 1000;
/** Each ending takes a client, with threads and connections of its own. */
const endingsAtOnceMax = 4;
/** Broker error codes: the group has moved on without us. Source: Kafka protocol, error codes. */
const groupMovedOnCodes: ReadonlySet<number> = new Set([22, 25, 27, 82]);
/** Trying again cannot help. */
const messageSizeTooLarge = 10;

export interface TransactionsOptions {
  readonly brokers: string;
  readonly clientId: string;
  /** The transactional id of a partition: the same for every member of the group. */
  readonly transactionalIdOf: (partition: number) => string;
  /** The coordinator aborts a transaction that is open for longer, when nobody takes its partitions over. */
  readonly transactionTimeoutMs: number;
  readonly timing: Timing;
  readonly clients: KafkaClients;
  readonly log: Log;
  readonly onAborted: () => void;
  readonly onReachable: (reachable: boolean) => void;
}

export interface Transactions {
  /**
   * These partitions, at least one, are ours from now on, until the next call: ends what their owners before may have left
   * open, in the background. With no commit under way.
   */
  takeOver(partitions: readonly number[], owner: GroupMember): void;
  /** The offsets are of partitions that were taken over. */
  commit(transaction: KafkaTransaction, owner: GroupMember): Promise<CommitOutcome>;
  stop(): Promise<void>;
}

/** The member of the group in whose name offsets are committed. */
export interface GroupMember {
  readonly consumer: KafkaConsumer;
  /** True once the group may have given our partitions to another member. */
  lost(): boolean;
  /** The group's committed offsets, once no transaction that touches them is open. Waits for Kafka. */
  committed(places: readonly TopicOffset[]): Promise<readonly (number | null)[]>;
}

export function createTransactions(options: TransactionsOptions): Transactions {
  const { log, timing } = options;
  let producer: Producer | undefined;
  /** Producers that may have left a frame behind on its way. */
  const suspects = new WeakSet<Producer>();
  let transactionalId = '';
  /** Our own producer stands, or is not wanted any more. */
  let taken: Promise<unknown> = Promise.resolve();
  let stopping = false;

  /** A producer with a fresh epoch of this transactional id: what was open under it is ended. */
  const open = async (id: string): Promise<Producer> => {
    const candidate = options.clients.createProducer(options.brokers, options.clientId, {
      'transactional.id': id,
      // The hiccups that are watched for below are told at "notice" (REQTMOUT) and "info" (FAIL: the connection closed with
      // one request in flight, which is what an EndTxn always is); errors only would never tell of them.
      log_level: 6,
      'transaction.timeout.ms': options.transactionTimeoutMs,
      // Everything of a transaction is handed over at once; there is nothing to linger for.
      'linger.ms': 1,
      'queue.buffering.max.messages': 1_000_000,
      'queue.buffering.max.kbytes': 256 << 10,
      // The client compares the uncompressed size; what is too large is for the topic to say.
      'message.max.bytes': 1_000_000_000,
    });
    candidate.on('event.log', (event: unknown) => {
      const { fac, message } = event as { fac?: string; message?: string };
      // Any connection that worked: offsets go to the group's coordinator, and come late as an EndTxn does. One that never
      // came up held no frame; it says so again with each new producer, for as long as a broker is down.
      if (fac === 'REQTMOUT' || (fac === 'FAIL' && / in state UP\b/.test(message ?? ''))) suspects.add(candidate);
    });
    try {
      await connect(candidate, connectTimeoutMs);
      candidate.setPollInterval(100);
      await call<void>((done) => candidate.initTransactions(initTimeoutMs, done));
    } catch (error) {
      await disconnect(candidate, 5000, timing);
      throw error;
    }
    return candidate;
  };

  /** `open` until it works; null when it is not wanted any more. */
  const openWhenKafkaAnswers = async (id: string, isWanted: () => boolean): Promise<Producer | null> => {
    let told = false;
    while (!stopping && isWanted()) {
      try {
        const opened = await open(id);
        options.onReachable(true);
        if (!stopping && isWanted()) return opened;
        await disconnect(opened, 5000, timing);
      } catch (thrown) {
        const error = asError(thrown);
        if (!told) log.warn({ error: error.message, code: error.code }, 'Kafka does not answer: waiting to begin transactions');
        told = true;
        options.onReachable(false);
        await timing.sleep(retryDelayMs);
      }
    }
    return null;
  };

  /** Replaces our producer by one with a fresh epoch; null when it is not wanted any more. Waits for Kafka. */
  const renew = async (isWanted: () => boolean): Promise<Producer | null> => {
    const old = producer;
    producer = undefined;
    if (old !== undefined) await disconnect(old, 5000, timing);
    const opened = await openWhenKafkaAnswers(transactionalId, isWanted);
    producer = opened ?? undefined;
    return opened;
  };

  const endWhatIsOpen = async (ids: readonly string[], isWanted: () => boolean): Promise<void> => {
    const waiting = [...ids];
    const work = async (): Promise<void> => {
      for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
        const opened = await openWhenKafkaAnswers(id, isWanted);
        if (opened !== null) await disconnect(opened, 5000, timing);
      }
    };
    await Promise.all(Array.from({ length: endingsAtOnceMax }, work));
  };

  const produceAll = async (to: Producer, { records }: KafkaTransaction): Promise<void> => {
    for (let next = 0; next < records.count; ) {
      next = await produce(to, records, next);
      if (next === records.count) return;
      to.poll();
      await timing.sleep(5);
    }
  };

  /** `true`: committed. `false`: aborted because the group has moved on. Throws when neither is known. */
  const attempt = async (to: Producer, transaction: KafkaTransaction, owner: GroupMember): Promise<boolean> => {
    await call<void>((done) => to.beginTransaction(done));
    await produceAll(to, transaction);
    let movedOn = false;
    try {
      await call<void>((done) =>
        to.sendOffsetsToTransaction([...transaction.offsets], owner.consumer, options.transactionTimeoutMs, done),
      );
    } catch (thrown) {
      if (!groupMovedOnCodes.has(asError(thrown).code ?? 0)) throw thrown;
      movedOn = true;
    }
    // The client reads the member id when it sends the offsets. A member that was thrown out has none, and the broker
    // takes offsets without a member id from anybody: a zombie would commit. The client marks the assignment as lost
    // before it forgets the id, so looking here, after the offsets were sent, sees every such case.
    if (movedOn || owner.lost()) {
      options.onAborted();
      await call<void>((done) => to.abortTransaction(abortTimeoutMs, done));
      return false;
    }
    await call<void>((done) => to.commitTransaction(options.transactionTimeoutMs, done));
    return true;
  };

  const commit = async (transaction: KafkaTransaction, owner: GroupMember): Promise<CommitOutcome> => {
    for (;;) {
      // A hiccup and the end of the commit that it hit may come in one turn of the event loop, the commit first, when this
      // thread was busy meanwhile: whatever is told in this turn is heard before the next Kafka transaction begins.
      await timing.sleep(0);
      await taken;
      const current = producer === undefined || suspects.has(producer) ? await renew(() => !owner.lost()) : producer;
      if (current === null) return givenUp();
      const begunAt = timing.monotonic();
      try {
        const committed = await attempt(current, transaction, owner);
        if (timing.monotonic() - begunAt > suspectCommitMs) suspects.add(current);
        options.onReachable(true);
        return committed ? 'committed' : 'fenced';
      } catch (thrown) {
        const error = asError(thrown);
        if (error instanceof TypeError || error instanceof RangeError) throw error;
        const openForMs = timing.monotonic() - begunAt;
        if (error.code === messageSizeTooLarge) {
          throw new FatalError('A record is larger than its topic takes (settlefleet topics apply sets max.message.bytes).', {
            cause: error,
          });
        }
        log.warn({ error: error.message, code: error.code, openForMs }, 'A Kafka transaction failed: finding out what became of it');
        options.onAborted();
        // Not of those that are no longer ours: whoever owns them now uses that transactional id, and has ended ours.
        if (owner.lost() || (await renew(() => !owner.lost())) === null) return givenUp();
        const standing = await owner.committed(transaction.offsets);
        const places = transaction.offsets;
        if (places.every((place, i) => standing[i] === place.offset)) return 'committed';
        if (places.some((place, i) => (standing[i] ?? -1) > place.offset)) return 'fenced';
      }
    }
  };

  const givenUp = (): CommitOutcome => {
    if (stopping) throw new FatalError('Stopped while waiting for the transaction coordinator.');
    return 'fenced';
  };

  return {
    takeOver(partitions, owner) {
      const isWanted = (): boolean => !owner.lost();
      const [own, ...others] = partitions.toSorted((a, b) => a - b).map(options.transactionalIdOf);
      taken = taken.then(() => {
        transactionalId = own!;
        return renew(isWanted);
      });
      void endWhatIsOpen(others, isWanted);
    },
    commit,
    async stop() {
      stopping = true;
      if (producer !== undefined) await disconnect(producer, 5000, timing);
    },
  };
}
