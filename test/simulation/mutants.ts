/**
 * Bugs to plant, one at a time, in the code as it is loaded: each is a mistake that somebody could make in that line, and the
 * simulation must find every one. A text that is no longer in its file fails loudly, so that none of them goes stale.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Looked for among these faults only; all of them when left out. */
  readonly faults?: readonly string[];
  /** Where to begin to look, for one that only a seed far behind this finds; another history may find it sooner or later. */
  readonly from?: number;
}

const root = join(import.meta.dirname, '..', '..');

export const mutants: readonly Mutant[] = [
  {
    name: 'the committed offset is that of the last record',
    file: 'src/stages/settle.ts',
    find: 'book.advance(records.topic, records.offsets[records.count - 1]! + 1);',
    replace: 'book.advance(records.topic, records.offsets[records.count - 1]!);',
  },
  {
    name: 'the committed offset is one too far',
    file: 'src/stages/settle.ts',
    find: 'book.advance(records.topic, records.offsets[records.count - 1]! + 1);',
    replace: 'book.advance(records.topic, records.offsets[records.count - 1]! + 2);',
  },
  {
    name: 'a claim does not know its owner',
    file: 'src/adapters/memory/claims.ts',
    find: 'if (present.maker !== maker) return present.maker;',
    replace: 'if (present.maker !== "") return present.maker;',
  },
  {
    name: 'an emptied Redis is not noticed',
    file: 'src/adapters/memory/claims.ts',
    find: `const marker = this.#markers.get(partition);
    if (marker?.identity !== this.#identity) return { kind: 'windowIncomplete' };
    if (window !== null && window !== marker.window) return { kind: 'windowIncomplete' };`,
    replace: "const marker = this.#markers.get(partition) ?? { window: 'none' };",
  },
  {
    name: 'a window is rebuilt before what was settled is committed',
    file: 'src/fleet.ts',
    find: 'if (this.#committing === null && !this.#epoch.isEmpty) this.#beginCommit();\n    await this.#committing;\n    signal.throwIfAborted();',
    replace: '',
    faults: ['redis emptied', 'directory'],
  },
  {
    name: 'a window is rebuilt from too late a time',
    file: 'src/restore.ts',
    find: 'begun - options.windowSeconds * 1000',
    replace: 'begun - 2000',
  },
  {
    name: 'a window forgets the claims of payments that were refused for want of cover',
    file: 'src/restore.ts',
    find: 'result === null || result.identity === null',
    replace: "result === null || result.identity === null || result.status !== 'ACSC'",
  },
  {
    name: 'a credit leg replaces the one before it',
    file: 'src/lane-book.ts',
    find: 'else leg.units += units;',
    replace: 'else leg.units = units;',
  },
  {
    name: 'what is owed is sent again with the next commit',
    file: 'src/lane-book.ts',
    find: 'this.#owed.clear();',
    replace: '',
  },
  {
    name: 'a credit leg is not applied when it arrives',
    file: 'src/stages/settle.ts',
    find: 'for (const leg of step.legs) book.ledger.credit(',
    replace: 'for (const leg of step.legs.slice(1)) book.ledger.credit(',
  },
  {
    name: 'the changelog leaves out a position',
    file: 'src/lane-book.ts',
    find: 'of this.ledger.takeChanged()) {',
    replace: 'of this.ledger.takeChanged().slice(0, 3)) {',
  },
  {
    name: 'now and then no checkpoint is written',
    file: 'src/lane-book.ts',
    find: 'records.append(this.#topics.checkpoints,',
    replace: 'if (this.#results % 7 !== 3) records.append(this.#topics.checkpoints,',
  },
  {
    name: 'a result is written twice',
    file: 'src/stages/settle.ts',
    find: 'epoch.countResult(decision.status, decision.reasonCode, event.createdAt);',
    replace: 'epoch.countResult(decision.status, decision.reasonCode, event.createdAt); if (decision.sequence === 5) epoch.records.append(topics.results, book.partition, null, epoch.records.value(epoch.records.count - 1));',
  },
  {
    name: 'misdirected transactions beyond the first are forgotten',
    file: 'src/stages/settle.ts',
    find: 'of misdirected) book.oweTransfer',
    replace: 'of misdirected.slice(0, 1)) book.oweTransfer',
  },
  {
    name: 'the debit cap may be passed once',
    file: 'src/domain/settlement.ts',
    find: 'if (position - amount < -cap) {',
    replace: 'if (position < -cap) {',
  },
  {
    name: 'the sequence begins anew with each owner',
    file: 'src/restore.ts',
    find: 'new Ledger(checkpoint?.sequence ?? 0, positions.values())',
    replace: 'new Ledger(0, positions.values())',
  },
  {
    name: 'positions are restored only as far as no transaction is open',
    file: 'src/adapters/kafka/topic-reader.ts',
    find: 'const { uncommitted: client } = await readers();\n    const offsets',
    replace: 'const { committed: client } = await readers();\n    const offsets',
    from: 85,
  },
  {
    name: 'the result of a duplicate does not name the first event',
    file: 'src/domain/claim.ts',
    find: "eventId: eventId.join(':') || null,",
    replace: 'eventId: null,',
  },
  {
    name: 'an alias is taken for a participant',
    file: 'src/stages/route.ts',
    find: 'agent === null ? null : (directory.find(agent)?.id ?? agent)',
    replace: 'agent',
  },
  {
    name: 'a commit whose answer was lost is taken for aborted',
    file: 'src/adapters/kafka/transactions.ts',
    find: "if (places.every((place, i) => standing[i] === place.offset)) return 'committed';",
    replace: '',
    faults: ['silent commits'],
  },
  {
    name: 'a commit whose answer was lost is taken for done',
    file: 'src/adapters/kafka/transactions.ts',
    find: 'if (owner.lost() || (await renew(() => !owner.lost())) === null) return givenUp();',
    replace: "if (owner.lost() || (await renew(() => !owner.lost())) === null) return givenUp(); if (error.code !== -1) return 'committed';",
  },
  {
    name: 'nobody looks at the assignment after the offsets were sent',
    file: 'src/adapters/kafka/transactions.ts',
    find: 'if (movedOn || owner.lost()) {',
    replace: 'if (movedOn) {',
    faults: ['zombie', 'zombie at a step', 'no transaction coordinator', 'no group coordinator', 'lost answers'],
    from: 3420,
  },
  {
    name: 'a producer is kept after a hiccup',
    file: 'src/adapters/kafka/transactions.ts',
    find: 'producer === undefined || suspects.has(producer)',
    replace: 'producer === undefined',
  },
  {
    name: 'hiccups are not logged',
    file: 'src/adapters/kafka/transactions.ts',
    find: 'log_level: 6,',
    replace: '',
    from: 31,
  },
  {
    name: 'only the transaction coordinator is watched',
    file: 'src/adapters/kafka/transactions.ts',
    find: '/ in state UP\\b/.test(message ?? \'\')',
    replace: "(message ?? '').includes('TxnCoordinator')",
    faults: ['held frames', 'kill'],
    from: 156,
  },
  {
    name: 'an assignment that was lost while it waited is taken',
    file: 'src/adapters/kafka/fleet-log.ts',
    find: `} else if (asked.assignmentLost()) {
        // It went to somebody else while it waited for us. Taking it would remove the mark.
        asked.unassign();
        isWorn = true;
        forgetAssignment();
        tell('lost', partitions, asked);
      } else {`,
    replace: '} else {',
    faults: ['zombie from its assignment on', 'scale', 'stop'],
  },
  {
    name: 'what a dead owner left open is left to the coordinator',
    file: 'src/adapters/kafka/transactions.ts',
    find: 'void endWhatIsOpen(others, isWanted);',
    replace: '',
    from: 552,
  },
  {
    name: 'a member keeps the transactional id of its first assignment',
    file: 'src/adapters/kafka/transactions.ts',
    find: 'transactionalId = own!;',
    replace: 'transactionalId ||= own!;',
  },
  {
    name: 'the routed twin is not assigned',
    file: 'src/adapters/kafka/fleet-log.ts',
    find: 'const places = partitions.flatMap(both);',
    replace: 'const places = partitions.map((partition) => ({ topic: topics.inbound, partition }));',
  },
  {
    name: 'a lane goes on behind the next record',
    file: 'src/adapters/kafka/fleet-log.ts',
    find: 'offset: offset ?? oldest }, requestTimeoutMs',
    replace: 'offset: offset === null ? oldest : offset + 1 }, requestTimeoutMs',
  },
  {
    name: 'an assignment that was given back still counts as ours',
    file: 'src/adapters/kafka/fleet-log.ts',
    find: 'lost: () => !owns || generation !== begunUnder || failures.length > 0 || client().assignmentLost(),',
    replace: 'lost: () => false,',
    faults: ['zombie', 'no group coordinator', 'redis slow', 'scale'],
    from: 252,
  },
  {
    name: 'markers are skipped while records wait',
    file: 'src/fleet.ts',
    find: "lane.state !== 'running' || !lane.isIdle || lane.book === null",
    replace: "lane.state !== 'running' || lane.book === null",
  },
  {
    name: 'an abandoned lane writes into the next epoch',
    file: 'src/pipeline.ts',
    find: 'signal.throwIfAborted();',
    replace: '',
    faults: ['redis slow', 'no group coordinator', 'zombie'],
    from: 49,
  },
  {
    name: 'an abandoned lane is waited for',
    file: 'src/lane.ts',
    find: 'await this.#untilAbandoned(this.#ports.pipeline.settle(decoded, journey, this.#book!, this.#ports.epoch, this.signal));',
    replace: 'await this.#ports.pipeline.settle(decoded, journey, this.#book!, this.#ports.epoch, this.signal);',
    from: 27,
  },
  {
    name: 'batches of a lane overtake each other',
    file: 'src/lane.ts',
    find: 'this.#tail = this.#tail.then(() => this.#settle(records, decoded, journey));',
    replace: 'this.#tail = Promise.all([this.#tail, this.#settle(records, decoded, journey)]).then(() => undefined);',
  },
];

/** Which of them the account of each partition must find: `settlefleet_unaccounted_events`. */
export const lossMutants: readonly Mutant[] = [
  {
    name: 'a stage drops an item',
    file: 'src/stages/route.ts',
    find: 'directory, steps, misdirected };',
    replace: 'directory, steps: steps.length > 3 ? steps.slice(0, -1) : steps, misdirected };',
  },
  {
    name: 'a commit forgets a result',
    file: 'src/stages/settle.ts',
    find: 'epoch.records.appendWith(topics.results,',
    replace: 'if (decision.sequence !== 5) epoch.records.appendWith(topics.results,',
  },
  {
    name: 'a lane forgets a batch',
    file: 'src/lane.ts',
    find: "if (decoded === null || (this.#state as LaneState) !== 'running') return;",
    replace: "if (decoded === null || (this.#state as LaneState) !== 'running' || records.offsets[0] === 7) return;",
  },
  {
    name: 'a lane takes a batch and never begins it',
    file: 'src/lane.ts',
    find: "if (this.#state !== 'running') return;\n    this.#pendingBatches++;",
    replace: "if (this.#state !== 'running' || records.offsets[0] === 7) return;\n    this.#pendingBatches++;",
  },
  {
    name: 'a transfer that is handed over is left out',
    file: 'src/lane-book.ts',
    find: 'const transfers = owed.transfers.slice(sent, sent + transfersPerRecordMax);\n      sent += transfers.length;',
    replace: 'const transfers = owed.transfers.slice(sent, sent + transfersPerRecordMax);\n      sent += transfers.length;\n      transfers.splice(1);',
  },
  {
    name: 'a transfer that was handed over is passed over by its owner',
    file: 'src/stages/route.ts',
    find: 'for (const transfer of routed.transfers) place(',
    replace: 'for (const transfer of routed.transfers.slice(0, 1)) place(',
  },
  {
    name: 'a dead letter is not written',
    file: 'src/stages/settle.ts',
    find: "if (step.kind === 'deadLetter') letter(",
    replace: "if (step.kind === 'deadLetter' && step.row === 0) letter(",
  },
];

/** Plants a bug in every module that is loaded from now on. Throws when its place is not there, or not the only one. */
export function plant(name: string): Mutant {
  const mutant = [...mutants, ...lossMutants].find((one) => one.name === name);
  if (mutant === undefined) throw new Error(`There is no planted bug ${JSON.stringify(name)}.`);
  const url = pathToFileURL(join(root, mutant.file)).href;
  const text = mutated(mutant);
  registerHooks({
    load(target, context, nextLoad) {
      const loaded = nextLoad(target, context);
      return target === url ? { ...loaded, source: text } : loaded;
    },
  });
  return mutant;
}

export function mutated({ name, file, find, replace }: Mutant): string {
  const text = readFileSync(join(root, file), 'utf8');
  const places = text.split(find).length - 1;
  if (places !== 1) throw new Error(`The planted bug "${name}" fits ${places} places of ${file}, expected 1.`);
  return text.replace(find, () => replace);
}
