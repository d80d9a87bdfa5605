/**
 * `settlefleet explain`: everything that Kafka and ClickHouse know of a payment, found by any of its identifiers.
 *
 * First the places are found: results by ClickHouse and the tail of the topic behind it, dead letters and what is not decided
 * yet by their bytes. From each place the threads are followed to others (a redrive, a duplicate and what it duplicates)
 * until there is none left. Then each event is told.
 *
 * How far the fleet is, is looked up before anything is searched: what is decided meanwhile is then found among the results.
 */
import type { Checkpoint } from '../codec/checkpoint.ts';
import type { MessageReport } from '../codec/iso20022/message-report.ts';
import { schemaIdAt } from '../codec/wire-format.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { Clock, TopicReader } from '../ports.ts';
import { lastCheckpoint } from '../restore.ts';
import { DeadLetters } from './dead-letters.ts';
import { glanceMessage, readEvent } from './event-glance.ts';
import type { GlancedEvent, GlancedMessage } from './event-glance.ts';
import { FleetHistory } from './fleet-history.ts';
import type { EventLife, Explanation, Looked, Place } from './life.ts';
import { headerText, needlesOf, recordAtOffset, searchRecords } from './record-search.ts';
import type { FoundRecord } from './record-search.ts';
import { eachOf, isoTime, ResultSearch, wouldClaim } from './result-search.ts';
import type { AskClickhouse, FoundResult } from './result-search.ts';
import { tellEvent } from './tell-event.ts';

export interface ExplainOptions {
  readonly id: string;
  readonly topics: TopicNames;
  /** The ledger of redrives. */
  readonly redrivenTopic: string;
  readonly partitions: number;
  readonly deadLetterPartitions: number;
  /** At least one; they search side by side. Closed by the caller. */
  readonly readers: readonly TopicReader[];
  /** Null: Kafka alone. */
  readonly ask: AskClickhouse | null;
  readonly windowSeconds: number;
  /** Topics are searched from this time on, the inbound one too; null: what is decided is not looked for in it. */
  readonly sinceMs: number | null;
  /** From when on the inbound topic is searched where nothing else knows the identifier. */
  readonly inboundSinceMs: number;
  /** Events, and transactions of one event, that are told. */
  readonly shownMax: number;
  readonly showAccounts: boolean;
  /** The texts of a writer's schema; null where it is not known. */
  readonly schemaOf: (id: number) => Promise<readonly string[] | null>;
  readonly reportMessage: (document: Uint8Array) => MessageReport;
  readonly clock: Clock;
  readonly onProgress: (text: string) => void;
}

/** One event while it is being looked into. */
export interface TracedEvent {
  readonly inbound: Place;
  /** Undefined: not read yet; null: no longer there. */
  record: FoundRecord | null | undefined;
  event: GlancedEvent | null;
  message: GlancedMessage | null;
  readonly results: Map<string, FoundResult>;
  deadLetter: FoundRecord | null;
  /** Found by the identifier itself, not by a thread from another event. */
  asked: boolean;
  followed: boolean;
}

/** What telling an event needs beside the event. */
export interface Telling {
  readonly options: ExplainOptions;
  readonly history: FleetHistory;
  readonly search: ResultSearch;
  readonly deadLetters: DeadLetters;
  readonly checkpoints: readonly (Checkpoint | null)[];
  /** By the place of a result, the claims that were refused because of it. */
  readonly duplicates: ReadonlyMap<string, readonly FoundResult[]>;
  readonly traced: Iterable<TracedEvent>;
  readonly notes: string[];
}

/** So many results are taken for one question; nobody reads more. */
const rowsMax = 1000;

export async function explain(options: ExplainOptions): Promise<Explanation> {
  return new Explainer(options).run();
}

class Explainer {
  readonly #options: ExplainOptions;
  readonly #reader: TopicReader;
  readonly #traced = new Map<string, TracedEvent>();
  readonly #duplicates = new Map<string, readonly FoundResult[]>();
  readonly #looked: Looked[] = [];
  readonly #notes: string[] = [];
  readonly #checkpoints: (Checkpoint | null)[] = [];
  readonly #deadLetters: DeadLetters;
  #search!: ResultSearch;

  constructor(options: ExplainOptions) {
    this.#options = options;
    this.#reader = options.readers[0]!;
    this.#deadLetters = new DeadLetters({ ...options, looked: this.#looked });
  }

  async run(): Promise<Explanation> {
    const options = this.#options;
    const { id, topics, partitions, readers, ask, sinceMs, clock, onProgress } = options;
    const askedAt = clock();
    onProgress('how far the fleet is');
    await eachOf(range(partitions), readers, async (partition, reader) => {
      this.#checkpoints[partition] = await lastCheckpoint(reader, topics.checkpoints, partition);
    });
    this.#search = await ResultSearch.open({ topics, partitions, readers, ask, rowsMax, sinceMs, looked: this.#looked, onProgress });
    const results = await this.#search.byId(id);
    if (results.length === rowsMax) this.#notes.push(`More than ${rowsMax} results carry this identifier; the others were left out.`);
    for (const result of results) this.#addResult(result, true);
    for (const letter of await this.#deadLetters.holding(needlesOf([id]))) this.#addDeadLetter(letter, true);
    await this.#searchInbound(sinceMs);
    const inboundSinceMs = sinceMs ?? (this.#traced.size === 0 ? options.inboundSinceMs : null);
    if (inboundSinceMs !== sinceMs) await this.#searchInbound(inboundSinceMs);
    for (let next = this.#unfollowed(); next !== undefined; next = this.#unfollowed()) await this.#follow(next);
    const events = await this.#tell();
    return { id, askedAt: isoTime(askedAt), found: events.length > 0, events, inboundSearchedSince: inboundSinceMs === null ? null : isoTime(inboundSinceMs), looked: this.#looked, notes: this.#notes };
  }

  /** Records of the inbound topic that hold the identifier: those not taken in yet, and all since a time where one is given. */
  async #searchInbound(sinceMs: number | null): Promise<void> {
    const { id, topics, partitions, readers, onProgress } = this.#options;
    const needles = needlesOf([id]);
    let records = 0;
    await eachOf(range(partitions), readers, async (partition, reader) => {
      const done = this.#checkpoints[partition]?.inbound ?? null;
      let from = done;
      if (sinceMs !== null) {
        const since = await reader.offsetAt(topics.inbound, partition, sinceMs);
        from = done === null ? since : Math.min(since, done);
      }
      records += await searchRecords(reader, { topic: topics.inbound, partition, from }, needles, (record) => this.#addInbound(record, true), (count) =>
        onProgress(`${topics.inbound}-${partition}: ${count} events looked through`));
    });
    const what = sinceMs === null ? 'what is not decided yet' : `what came in since ${isoTime(sinceMs)}, and what is not decided yet`;
    this.#looked.push({ where: topics.inbound, what: `${what}, for the identifier`, records });
  }

  // ── What was found ─────────────────────────────────────────────────────────────────────────────────────────────────

  #event(partition: number, offset: number): TracedEvent {
    const place = `${partition}:${offset}`;
    let event = this.#traced.get(place);
    if (event === undefined) {
      const inbound = { topic: this.#options.topics.inbound, partition, offset };
      event = { inbound, record: undefined, event: null, message: null, results: new Map(), deadLetter: null, asked: false, followed: false };
      this.#traced.set(place, event);
    }
    return event;
  }

  #addResult(found: FoundResult, asked: boolean): void {
    const event = this.#event(found.result.inboundPartition, found.result.inboundOffset);
    const place = `${found.partition}:${found.offset}`;
    event.asked ||= asked;
    if (event.results.has(place)) return;
    event.results.set(place, found);
    event.followed = false;
  }

  #addInbound(record: FoundRecord, asked: boolean): void {
    const event = this.#event(record.partition, record.offset);
    event.record = record;
    event.asked ||= asked;
  }

  #addDeadLetter(letter: FoundRecord, asked: boolean): void {
    const [partition, offset] = ['dlq.partition', 'dlq.offset'].map((name) => Number(headerText(letter.headers, name) ?? NaN));
    if (!Number.isSafeInteger(partition) || !Number.isSafeInteger(offset)) {
      this.#notes.push(`The dead letter at ${letter.topic}/${letter.partition}/${letter.offset} holds the identifier and does not say where it came in.`);
      return;
    }
    const event = this.#event(partition!, offset!);
    event.asked ||= asked;
    if (event.deadLetter !== null) return;
    event.deadLetter = letter;
    event.followed = false;
  }

  // ── The threads from one event to others ───────────────────────────────────────────────────────────────────────────

  #unfollowed(): TracedEvent | undefined {
    const { shownMax } = this.#options;
    let followed = 0;
    for (const event of this.#traced.values()) {
      if (!event.followed) return followed < shownMax * 2 ? event : undefined;
      followed++;
    }
    return undefined;
  }

  async #follow(event: TracedEvent): Promise<void> {
    event.followed = true;
    const { topics } = this.#options;
    this.#options.onProgress(`the event at ${event.inbound.topic}/${event.inbound.partition}/${event.inbound.offset}`);
    await this.#readRecord(event);
    const taken = this.#checkpoints[event.inbound.partition]?.inbound ?? 0;
    if (event.results.size === 0 && event.deadLetter === null && event.inbound.offset < taken && event.record != null) await this.#findOutcome(event, event.record);

    const from = placeOfHeader(event.record?.headers === undefined ? null : headerText(event.record.headers, 'redriven.from'));
    if (from !== null && from.topic === topics.deadLetter) {
      const letter = await recordAtOffset(this.#reader, from);
      if (letter !== null) this.#addDeadLetter(letter, event.asked);
    }
    if (event.deadLetter !== null) {
      for (const redriven of await this.#deadLetters.redrivesOf(event.deadLetter)) this.#addInbound(redriven, event.asked);
    }
    for (const found of [...event.results.values()]) {
      const { result } = found;
      if (result.reasonCode === 'AM05' && result.originalEventId !== null) await this.#findOriginal(found, result.originalEventId);
    }
    await this.#findDuplicates(event);
  }

  /** Who was refused because of claims that this event holds. */
  async #findDuplicates(event: TracedEvent): Promise<void> {
    const claims = new Map<number, FoundResult[]>();
    for (const found of event.results.values()) {
      if (found.result.identity === null) continue;
      claims.set(found.partition, [...(claims.get(found.partition) ?? []), found].sort((one, other) => one.offset - other.offset));
    }
    for (const [partition, held] of claims) {
      const { result, offset } = held[0]!;
      const refused = await this.#search.duplicatesOf(result.eventId, { partition, offset, settledAt: result.settledAt });
      refused.sort((one, other) => one.offset - other.offset);
      for (const found of held) {
        const duplicates = refused.filter((one) => wouldClaim(found.result.identity, one.result));
        this.#duplicates.set(`${found.partition}:${found.offset}`, duplicates);
        for (const duplicate of duplicates) this.#addResult(duplicate, false);
      }
    }
  }

  async #readRecord(event: TracedEvent): Promise<void> {
    if (event.record === undefined) event.record = await recordAtOffset(this.#reader, event.inbound);
    // A dead letter holds the value byte for byte, for longer than the inbound topic does.
    const value = (event.record ?? event.deadLetter)?.value ?? null;
    if (value === null) return;
    const schemaId = schemaIdAt(value, 0, value.length);
    const texts = schemaId < 0 ? null : await this.#options.schemaOf(schemaId);
    event.event = texts === null ? null : readEvent(value, texts);
    event.message = event.event === null ? null : glanceMessage(event.event.document);
  }

  /** An event that was found by its bytes and has been passed: a message rejected as a whole carries none of its identifiers. */
  async #findOutcome(event: TracedEvent, record: FoundRecord): Promise<void> {
    if (event.event !== null) {
      const results = await this.#search.ofEvent(event.event.eventId, { partition: null, sinceMs: record.timestamp });
      for (const found of results) {
        const { result } = found;
        if (result.inboundPartition === record.partition && result.inboundOffset === record.offset) this.#addResult(found, event.asked);
      }
    }
    if (event.results.size > 0) return;
    const letter = await this.#deadLetters.ofRecord(record);
    if (letter !== null) this.#addDeadLetter(letter, event.asked);
  }

  async #findOriginal(duplicate: FoundResult, originalEventId: string): Promise<void> {
    for (const { results } of this.#traced.values()) {
      for (const { result } of results.values()) if (result.eventId === originalEventId && wouldClaim(result.identity, duplicate.result)) return;
    }
    const { windowSeconds } = this.#options;
    const sinceMs = duplicate.result.settledAt - windowSeconds * 1000;
    const found = await this.#search.ofEvent(originalEventId, { partition: duplicate.partition, sinceMs });
    for (const one of found) if (wouldClaim(one.result.identity, duplicate.result)) this.#addResult(one, false);
  }

  // ── Telling ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #tell(): Promise<EventLife[]> {
    const { shownMax } = this.#options;
    const telling: Telling = {
      options: this.#options,
      history: new FleetHistory(this.#reader, this.#options.topics),
      search: this.#search,
      deadLetters: this.#deadLetters,
      checkpoints: this.#checkpoints,
      duplicates: this.#duplicates,
      traced: this.#traced.values(),
      notes: this.#notes,
    };
    const ordered = [...this.#traced.values()].sort((one, other) => arrivedAt(one) - arrivedAt(other));
    if (ordered.length > shownMax) this.#notes.push(`${ordered.length} events belong to it; the first ${shownMax} are told. --limit tells more.`);
    const lives: EventLife[] = [];
    for (const event of ordered.slice(0, shownMax)) lives.push(await tellEvent(event, { ...telling, traced: ordered }));
    return lives;
  }
}

function arrivedAt(event: TracedEvent): number {
  const [first] = event.results.values();
  return event.record?.timestamp ?? first?.result.receivedAt ?? event.deadLetter?.timestamp ?? 0;
}

/** `topic/partition/offset`, as redrives write it. */
function placeOfHeader(text: string | null): Place | null {
  const match = /^(.+)\/(\d{1,6})\/(\d{1,15})$/.exec(text ?? '');
  return match === null ? null : { topic: match[1]!, partition: Number(match[2]), offset: Number(match[3]) };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
