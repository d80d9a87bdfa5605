/**
 * `settlefleet explain` over real parts: one run of a fleet with everything in it that can become of a payment, and what is told
 * of each held against what the fleet itself told; and `settlefleet report day` over the same run. `DOCS=write` writes the page's example anew.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventLife, Explanation, TransactionLife } from '../../src/explain/life.ts';
import { formatAmount } from '../../src/domain/amount.ts';
import { runHere } from '../cli/command.ts';
import { Bench } from '../integration/harness/bench.ts';
import type { Sent, StoredResult } from '../integration/harness/bench.ts';
import { message, participant, transaction } from '../integration/harness/directory.ts';
import { HttpProxy } from '../integration/harness/http-proxy.ts';
import { buildMessage } from '../integration/harness/message.ts';
import { runCommand } from '../integration/harness/processes.ts';
import type { Service } from '../integration/harness/processes.ts';
import { stackEnvironment } from '../stack.ts';

const page = join(import.meta.dirname, '../../docs/operations.md');

// With two partitions Commerzbank and BNP are owned by partition 1, Deutsche Bank by partition 0.
const commerz = { bic: 'COBADEFFXXX' };
const deutsche = { bic: 'DEUTDEFFXXX' };
const bnp = { bic: 'BNPAFRPPXXX' };
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';

const payment = transaction({
  amount: '250.00', debtorAgent: commerz, creditorAgent: deutsche, debtorIban: 'DE89370400440532013000', creditorIban: 'FR1420041010050500013M02606',
});
const within = transaction({ amount: '30.00', debtorAgent: commerz, creditorAgent: bnp });
const tooMuch = transaction({ amount: '5000.00', debtorAgent: commerz, creditorAgent: bnp });
const misdirected = transaction({ amount: '1.00', debtorAgent: commerz, creditorAgent: bnp });
const broken = transaction({ amount: '7.00', debtorAgent: commerz, creditorAgent: deutsche });
const unreadable = transaction({ amount: '8.00', debtorAgent: commerz, creditorAgent: deutsche });

let bench: Bench;
let registry: HttpProxy;
let sink: Service;
const workers: Service[] = [];
const sent: Record<'payment' | 'again' | 'yetAgain' | 'within' | 'tooMuch' | 'misdirected' | 'broken' | 'letter', Sent> = {} as never;
const results: Record<Exclude<keyof typeof sent, 'letter'>, StoredResult> = {} as never;

function variables(changes: Record<string, string> = {}): Record<string, string> {
  return { ...(bench.environment as Record<string, string>), ...changes };
}

async function explained(id: string, args: readonly string[] = [], changes: Record<string, string> = {}): Promise<Explanation> {
  const { code, stdout, stderr } = await runHere(['explain', id, '--json', ...args], variables(changes));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Explanation;
}

/** The payment that settled and was sent again, asked for once. */
let asked: Promise<Explanation> | undefined;
const told = (): Promise<Explanation> => (asked ??= explained(payment.uetr!.toUpperCase()));

/** The only event that is told, with its only transaction. */
async function alone(id: string, args: readonly string[] = []): Promise<{ event: EventLife; one: TransactionLife }> {
  const { events } = await explained(id, args);
  expect(events.map(({ transactions }) => transactions.length)).toEqual([1]);
  return { event: events[0]!, one: events[0]!.transactions[0]! };
}

const inboundPlace = ({ partition, offset }: Sent) => ({ topic: bench.topic('inbound'), partition, offset });
const resultPlace = ({ partition, offset }: StoredResult) => ({ topic: bench.topic('results'), partition, offset });
const iso = (milliseconds: number): string => new Date(milliseconds).toISOString();
const stored = { state: 'same', detail: '' };

beforeAll(async () => {
  registry = await HttpProxy.start(stackEnvironment().schemaRegistryUrl);
  bench = await Bench.create('explain', {
    partitions: 2,
    participants: [participant(commerz.bic, { EUR: '1000.00' }), participant(deutsche.bic), participant(bnp.bic)],
    environment: { SCHEMA_REGISTRY_URL: registry.url },
  });
  [sink] = await Promise.all([bench.startSink(), bench.startWorker().then((worker) => workers.push(worker))]);
  await workers[0]!.ready();
  // To a worker that has not read an event yet the registry says that there is no such schema; then it is itself again.
  registry.set({ status: 404, body: '{"error_code":40403,"message":"Schema not found"}' });
  sent.letter = await bench.send(message(unreadable), { headers: [{ key: 'X-Amzn-Trace-Id', value: Buffer.from('Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1') }] });
  await bench.deadLetter(sent.letter);
  registry.set('pass');
  // Until another worker has come up, the first one has long stopped to believe it.
  workers.push(await bench.startWorker());
  await Promise.all(workers.map((worker) => worker.ready()));

  await bench.command('dlq', 'redrive', '--all', '--yes');
  await bench.waitFor('the redriven letter is settled', () => bench.resultsOf(sent.letter.eventId).length === 1);
  const first = message(payment);
  sent.payment = await bench.send(first, { source: 'swift', headers: [{ key: 'traceparent', value: Buffer.from(`00-${traceId}-00f067aa0ba902b7-01`) }] });
  results.payment = await bench.only(sent.payment);
  sent.again = await bench.send(first, { source: 'portal' });
  sent.yetAgain = await bench.send(first, { source: 'portal' });
  sent.within = await bench.send(message(within));
  sent.tooMuch = await bench.send(message(tooMuch));
  sent.misdirected = await bench.send(message(misdirected), { partition: 0, key: null });
  sent.broken = await bench.sendDocument(buildMessage(message(broken)).replace('<ChrgBr>SLEV', '<ChrgBr>NOBODY'));
  for (const name of ['again', 'yetAgain', 'within', 'tooMuch', 'misdirected', 'broken'] as const) results[name] = await bench.only(sent[name]);
  await bench.atRest();
  await everyRowIsStored();
});
afterAll(async () => {
  await bench?.close();
  await registry?.stop();
});

async function everyRowIsStored(): Promise<void> {
  const count = 'SELECT (SELECT count() FROM results) + (SELECT count() FROM dead_letters)';
  await bench.waitFor('every row is stored', async () => (await runHere(['sql', count], variables())).stdout.trim() === String(bench.results.length + bench.deadLetters.length));
}

describe('a payment that settled and was sent again twice', () => {
  it('is told by its UETR, from the record that it came in by to the row in ClickHouse, with both duplicates', async () => {
    const explanation = await told();
    expect(explanation.notes).toEqual([]);
    expect(explanation.events.map(({ eventId }) => eventId)).toEqual([sent.payment.eventId, sent.again.eventId, sent.yetAgain.eventId]);
    const [original, again] = explanation.events;
    expect(original).toMatchObject({
      inbound: inboundPlace(sent.payment), messageType: 'pacs.008.001.08', source: 'swift', createdAt: iso(sent.payment.createdAt),
      receivedAt: iso(results.payment.receivedAt), redrivenFrom: null, deadLetter: null, transactionsTotal: 1,
      record: { key: commerz.bic, valueBytes: sent.payment.value!.length, schemaId: bench.eventSchemaId, headers: ['traceparent'], trace: { id: traceId, header: 'traceparent' }, findings: [] },
    });
    const { partition, positionAfter, settledAt, sequence, identity, amount } = results.payment;
    const debited = original!.transactions[0]!;
    expect(debited).toMatchObject({
      index: 0, uetr: payment.uetr, endToEndId: payment.endToEndId, amount: '250.00', currency: 'EUR', debitedParticipant: commerz.bic, creditedParticipant: deutsche.bic,
      debtorAccount: 'DE89**************3000', creditorAccount: 'FR14*******************2606', handedOver: null, waiting: null,
    });
    expect(debited.decision).toMatchObject({
      status: 'ACSC', reasonCode: null, rule: 'every check passed', settledAt: iso(settledAt), result: resultPlace(results.payment), inKafka: true, clickhouse: stored,
      debit: { participant: commerz.bic, before: formatAmount(positionAfter! + amount!), after: formatAmount(positionAfter!), partition, sequence },
      claim: { state: 'self', identity, holdsUntil: iso(settledAt + 86_400_000) },
    });
    expect(debited.decision!.claim.duplicates.map(({ eventId, status }) => [eventId, status])).toEqual([[sent.again.eventId, 'RJCT AM05'], [sent.yetAgain.eventId, 'RJCT AM05']]);
    expect(again!.transactions[0]!.decision).toMatchObject({
      status: 'RJCT', reasonCode: 'AM05', debit: null, credit: null, result: resultPlace(results.again),
      claim: { state: 'other', identity, by: { eventId: sent.payment.eventId, inbound: { partition: sent.payment.partition, offset: sent.payment.offset }, result: resultPlace(results.payment) } },
    });
  });

  it('has its credit with the partition that owns the credited participant, by the commit that moved its position', async () => {
    const one = (await told()).events[0]!.transactions[0]!;
    const credit = one.decision!.credit!;
    expect(credit).toMatchObject({ state: 'applied', participant: deutsche.bic, amount: '250.00', partition: 0, routed: { topic: `${bench.prefix}routed`, partition: 0 } });
    // The changelog says which commit wrote a position, and everything that anybody moved to or from it before is in these.
    const changes = bench.positionRecords.filter(({ key }) => key?.toString() === `${deutsche.bic}|EUR`).map(({ value }) => JSON.parse(value!.toString()) as { position: string; commit: number });
    expect(changes).toContainEqual({ position: credit.after, commit: credit.appliedIn!.commit });
    expect([credit.before, credit.after]).toEqual(['8.00', '258.00']);
    expect(credit.appliedIn).toMatchObject({ partition: 0, exact: true });
    expect(one.decision!.commit).toMatchObject({ partition: 1, exact: true });
    expect(one.decision!.commit!.worker).toMatch(new RegExp(`^${bench.group}-worker-\\d$`));
  });

  it('is told by a duplicate, too, and by any other identifier that it has', async () => {
    for (const id of [sent.yetAgain.eventId, payment.instructionId!]) expect((await explained(id)).events, id).toEqual((await told()).events);
  });

  it('has its accounts in clear where that is asked for', async () => {
    const clear = await runHere(['explain', payment.uetr!, '--accounts'], variables());
    expect(clear.stdout).toContain(`from ${payment.debtorIban} to ${payment.creditorIban}`);
  });

  it('is told from Kafka alone where ClickHouse is left out or does not answer, and says so', async () => {
    const all = await told();
    const withoutRows = (explanation: Explanation) => explanation.events.map((event) => ({ ...event, transactions: event.transactions.map((one) => ({ ...one, decision: { ...one.decision, clickhouse: null } })) }));
    const without = await explained(payment.uetr!, ['--no-clickhouse']);
    expect(withoutRows(without)).toEqual(withoutRows(all));
    const away = await explained(payment.uetr!, [], { CLICKHOUSE_URL: 'http://127.0.0.1:1' });
    expect(withoutRows(away)).toEqual(withoutRows(all));
    expect(away.notes[0]).toMatch(/^ClickHouse was not asked: .+ Everything was read from Kafka/);
    expect(away.events[0]!.transactions[0]!.decision!.clickhouse.state).toBe('unknown');
  });
});

describe('every other fate', () => {
  it('a credit within the partition is applied at once', async () => {
    const { one } = await alone(within.uetr!);
    const { before, after, ...credit } = one.decision!.credit!;
    expect(credit).toMatchObject({ state: 'atOnce', routed: null, partition: 1, appliedIn: one.decision!.commit });
    expect([before, after]).not.toContain(null);
  });

  it('a rejection by the cap names the rule, the reason and its claim', async () => {
    const { one } = await alone(tooMuch.uetr!);
    expect(one.decision).toMatchObject({
      status: 'RJCT', reasonCode: 'AM04', rule: 'the debit would take the position below minus the debit cap', reason: results.tooMuch.reason, debit: null, credit: null,
      claim: { state: 'self', identity: results.tooMuch.identity }, commit: { partition: 1, exact: true }, clickhouse: stored,
    });
  });

  it('an event in another partition is handed over to the one that decides', async () => {
    const { event, one } = await alone(misdirected.uetr!);
    expect(event.inbound).toEqual(inboundPlace(sent.misdirected));
    expect(one.handedOver).toMatchObject({ toPartition: 1, routed: { topic: `${bench.prefix}routed`, partition: 1 } });
    expect(one.decision).toMatchObject({ status: 'ACSC', result: resultPlace(results.misdirected), commit: { partition: 1, exact: true } });
  });

  it('a message that was rejected as a whole is found by a UETR that its result does not carry, with what is wrong and where', async () => {
    const { event, one } = await alone(broken.uetr!);
    expect(event.inbound).toEqual(inboundPlace(sent.broken));
    expect(event.record!.findings).toMatchObject([{ xpath: '/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/ChrgBr', rule: 'enumeration' }]);
    expect(one).toMatchObject({ index: -1, decision: { reasonCode: 'FF01', result: resultPlace(results.broken), claim: { state: 'none' }, clickhouse: stored } });
    expect((await alone(sent.broken.eventId, ['--no-clickhouse'])).one).toEqual({ ...one, decision: { ...one.decision, clickhouse: expect.objectContaining({ state: 'unknown' }) as object } });
  });

  it('a dead letter and what it became when it was sent again', async () => {
    const { events } = await explained(unreadable.uetr!);
    const [letter] = bench.deadLetters;
    const letterPlace = { topic: bench.topic('dead-letter'), partition: letter!.partition, offset: letter!.offset };
    expect(events).toHaveLength(2);
    expect(events[0]).toMatchObject({
      inbound: inboundPlace(sent.letter), eventId: sent.letter.eventId, transactions: [],
      record: { trace: { id: '1-5759e988-bd862e3fe1be46a994272793', header: 'X-Amzn-Trace-Id' } },
      deadLetter: { place: letterPlace, code: 'UNKNOWN_SCHEMA', clickhouse: stored },
    });
    // The line in the ledger and the event are two records of one Kafka transaction.
    expect(Math.abs(Date.parse(events[0]!.deadLetter!.redrivenAt!) - Date.parse(events[1]!.receivedAt!))).toBeLessThan(1000);
    const [result] = bench.resultsOf(sent.letter.eventId);
    expect(events[1]).toMatchObject({ redrivenFrom: letterPlace, transactions: [{ decision: { status: 'ACSC', result: resultPlace(result!) } }] });
    expect((await explained(sent.letter.eventId)).events).toEqual(events);
  });

  it('an identifier that nobody knows ends with exit code 1 and says where it was looked for', async () => {
    const { code, stdout, stderr } = await runCommand(['explain', "nobody's"], bench.environment);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'Nothing is known of "nobody\'s": --since 7d looks further back in the inbound topic, --no-clickhouse through all results that Kafka has.\n' });
    for (const where of ['ClickHouse', bench.topic('results'), bench.topic('dead-letter'), bench.topic('inbound')]) expect(stdout).toContain(`  ${where}: `);
  });
});

describe('docs/operations.md', () => {
  /** What differs from run to run: identifiers, times, names of this run; how wide they are, too. */
  const shape = (text: string): string => text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/\d+(\.\d+)? (ms|s) after/g, 'N after')
    .replace(/\/\d+\/\d+|\d+/g, 'N');

  it('shows what is told of such a payment', async () => {
    const { stdout } = await runHere(['explain', payment.uetr!], variables());
    for (const account of [payment.debtorIban!, payment.creditorIban!]) expect(stdout).not.toContain(account);
    const shown = stdout.replaceAll(bench.prefix, 'payments.').replaceAll(`${bench.group}-worker`, 'worker').replaceAll(/[METI]-\d+-(\d+)/g, (name) => name.replace(/-\d+-/, '-'));
    // The third event is told as the second is.
    const block = `${shown.slice(0, shown.indexOf('\n3. Event'))}\n...\n`.trimEnd().replace(/^(?=.)/gm, '    ');
    const text = await readFile(page, 'utf8');
    const example = /(?<=settlefleet explain [0-9a-f-]{36}\n\n)(?:(?: {4}.*)?\n)+?(?=\n?\S)/;
    if (process.env['DOCS'] === 'write') {
      const written = text.replace(/(?<=settlefleet explain )[0-9a-f-]{36}(?=\n\n    )/, payment.uetr!).replace(example, () => `${block}\n\n`);
      expect(written).not.toBe(text);
      await writeFile(page, written);
    } else expect(shape(example.exec(text)?.[0].trimEnd() ?? '')).toBe(shape(block));
  });
});

/** What `report day --format json` prints, as far as it is looked at here. */
interface Report {
  readonly day: string;
  readonly state: string;
  readonly reasons: readonly string[];
  readonly statements: readonly {
    readonly participant: string;
    readonly opening: { readonly amount: string };
    readonly debits: { readonly count: number; readonly sum: string };
    readonly credits: { readonly count: number; readonly sum: string };
    readonly closing: { readonly code: string; readonly amount: string };
    readonly entries: readonly { readonly indicator: string; readonly amount: string; readonly eventId: string; readonly positionAfter: string | null }[];
  }[];
}

// The same run, asked for the other way round: not for one payment but for a day of them.
describe('the statements of the day', () => {
  it('hold what the fleet told of each participant, as of now, with every entry', async () => {
    const { code, stdout } = await runHere(['report', 'day', 'today', '--entries', '--format', 'json'], variables());
    const report = JSON.parse(stdout) as Report;
    expect({ code, state: report.state, reasons: report.reasons }).toEqual({ code: 0, state: 'interim', reasons: [] });
    const settled = bench.results.filter(({ status, settledAt }) => status === 'ACSC' && iso(settledAt).startsWith(report.day));
    expect(settled.length).toBeGreaterThan(3);
    const total = (results: readonly StoredResult[]): bigint => results.reduce((sum, { amount }) => sum + amount!, 0n);
    for (const { participant: id, opening, debits, credits, closing, entries } of report.statements) {
      const [out, into] = [settled.filter((one) => one.debitedParticipant === id), settled.filter((one) => one.creditedParticipant === id)];
      expect(debits).toEqual({ count: out.length, sum: formatAmount(total(out)) });
      expect(credits).toEqual({ count: into.length, sum: formatAmount(total(into)) });
      expect([opening.amount, closing]).toEqual(['0.00', { code: 'ITBD', amount: formatAmount(bench.positions().get(`${id}|EUR`)!) }]);
      expect(entries.filter(({ indicator }) => indicator === 'DBIT').map(({ eventId, amount, positionAfter }) => [eventId, amount, positionAfter])).toEqual(
        out.toSorted((one, other) => one.sequence! - other.sequence!).map(({ eventId, amount, positionAfter }) => [eventId, formatAmount(amount!), formatAmount(positionAfter!)]),
      );
    }
    expect(report.statements.map(({ participant: id }) => id)).toEqual([bnp.bic, commerz.bic, deutsche.bic]);
  });

  it('of a day that is over are final, and empty where nothing had moved by then', async () => {
    const { code, stdout } = await runHere(['report', 'day', 'yesterday', '--format', 'json'], variables());
    expect({ code, report: JSON.parse(stdout) as Report }).toMatchObject({ code: 0, report: { state: 'final', statements: [] } });
  });
});

// Last, because from here on the fleet is held.
describe('a payment that is under way', () => {
  it('is told with where it waits: in the inbound topic, handed over, or as a credit; and without a row while the sink is behind', async () => {
    // Nothing was rebalanced since: who took this payment's credit in has partition 0.
    const { worker } = (await told()).events[0]!.transactions[0]!.decision!.credit!.appliedIn!;
    const owner = workers.find(({ name }) => worker === `${bench.group}-${name}`)!;
    expect((await owner.post('/admin/pause'))).toBe(200);
    await sink.terminate();
    const waiting = transaction({ amount: '3.00', debtorAgent: deutsche, creditorAgent: commerz });
    const handed = transaction({ amount: '4.00', debtorAgent: deutsche, creditorAgent: commerz });
    const credit = transaction({ amount: '5.00', debtorAgent: commerz, creditorAgent: deutsche });
    const [atInbound, atOther, decided] = await Promise.all([
      bench.send(message(waiting)), bench.send(message(handed), { partition: 1, key: null }), bench.send(message(credit)),
    ]);
    const result = await bench.only(decided);
    await bench.waitFor('the other partition has taken everything in', async () => ((await bench.offsets.committed(bench.topic('inbound'), 1)) ?? 0) > atOther.offset);

    expect((await alone(waiting.uetr!, ['--no-clickhouse'])).one).toMatchObject({
      uetr: waiting.uetr, amount: '3.00', decision: null, waiting: { at: 'inbound', place: inboundPlace(atInbound) },
    });
    expect((await alone(handed.endToEndId, ['--no-clickhouse'])).one).toMatchObject({ uetr: handed.uetr, decision: null, waiting: { at: 'routed', place: { topic: `${bench.prefix}routed`, partition: 0 } } });
    const { one } = await alone(credit.uetr!);
    const statements = await runHere(['report', 'day', 'today', '--wait', '0'], variables());
    expect(statements.code).toBe(1);
    expect(statements.stdout).toMatch(/^INCOMPLETE, as of .+\n  partition 1: ClickHouse counts \d+ debits, \d+ are posted/m);
    expect(statements.stderr).toMatch(/^The statements of .+ are incomplete: partition 1: /);
    expect(one.decision).toMatchObject({
      status: 'ACSC', result: resultPlace(result), debit: { amount: '5.00' }, credit: { state: 'underWay', routed: { partition: 0 }, appliedIn: null, after: null }, clickhouse: { state: 'behind' },
    });
    expect((await owner.post('/admin/resume'))).toBe(200);
    await bench.only(atInbound);
    await bench.only(atOther);
    await bench.atRest();
    expect((await alone(credit.uetr!, ['--no-clickhouse'])).one.decision!.credit).toMatchObject({ state: 'applied', after: expect.any(String) as string });
  });
});
