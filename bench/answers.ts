/**
 * Whether a subject answered every event of a workload, each once and rightly. A measurement whose answers are wrong is
 * discarded: a fast wrong run is no run.
 */
import { decodePaymentResult } from '../src/codec/payment-result.ts';
import { valueBytes } from '../src/codec/record-batch.ts';
import type { TopicReader } from '../src/ports.ts';
import type { TopicNames } from '../src/domain/topics.ts';
import { indexOfEventId } from './workload.ts';
import type { Workload } from './workload.ts';

export interface AnswersAsked {
  readonly reader: TopicReader;
  readonly topics: TopicNames;
  readonly partitions: number;
  readonly workload: Workload;
  readonly seed: number;
  /** Events 0 to this were sent. */
  readonly count: number;
  readonly transactions: number;
  /**
   * The contract's own answers are expected of every event. Of a peer only of plain payments and resends: it does not hold
   * messages against the XSD, and owes some answer to the others.
   */
  readonly isWhole: boolean;
}

const faultsToldMax = 20;

/** What is wrong, in sentences; none: everything was answered rightly. */
export async function findFaults(asked: AnswersAsked): Promise<string[]> {
  const { reader, topics, workload, count, transactions } = asked;
  const faults: string[] = [];
  let more = 0;
  const fault = (text: string): void => void (faults.length < faultsToldMax ? faults.push(text) : more++);
  const seen = new Uint8Array(count * transactions);
  const answeredEvents = new Uint8Array(count);
  let deadLetters = 0;

  for (let partition = 0; partition < asked.partitions; partition++) {
    await reader.readToEnd({ topic: topics.results, partition, from: null }, (batch) => {
      for (let row = 0; row < batch.count; row++) {
        const result = decodePaymentResult(valueBytes(batch, row)!);
        const index = indexOfEventId(asked.seed, result.eventId);
        if (index < 0 || index >= count) {
          fault(`${result.eventId} was never sent`);
          continue;
        }
        answeredEvents[index] = 1;
        const transaction = Math.max(0, result.transactionIndex);
        if (transaction >= transactions) fault(`event ${index} has a transaction ${transaction}`);
        else if (seen[index * transactions + transaction] !== 0) fault(`event ${index} has two answers to transaction ${transaction}`);
        else seen[index * transactions + transaction] = 1;
        if (!isExpected(asked, index, result)) {
          fault(`${workload.kind(index)} ${result.eventId}: ${result.status} ${result.reasonCode ?? ''} where ${JSON.stringify(workload.expected(index))} was expected`);
        }
      }
    });
    await reader.readToEnd({ topic: topics.deadLetter, partition, from: null }, (batch) => void (deadLetters += batch.count));
  }

  let expectedAnswers = 0;
  let expectedLetters = 0;
  for (let index = 0; index < count; index++) {
    const answers = workload.answers(index);
    expectedAnswers += answers;
    if (answers === 0) expectedLetters++;
  }
  const answers = seen.reduce((sum, one) => sum + one, 0);
  const events = answeredEvents.reduce((sum, one) => sum + one, 0);
  if (events + deadLetters !== count) fault(`${events} events with results and ${deadLetters} dead letters for ${count} events`);
  if (asked.isWhole && deadLetters !== expectedLetters) fault(`${deadLetters} dead letters, ${expectedLetters} expected`);
  if (asked.isWhole && answers !== expectedAnswers) fault(`${answers} answers, ${expectedAnswers} expected`);
  if (more > 0) faults.push(`and ${more} more`);
  return faults;
}

function isExpected({ workload, isWhole }: AnswersAsked, index: number, { status, reasonCode }: { readonly status: string; readonly reasonCode: string | null }): boolean {
  const expected = workload.expected(index);
  const kind = workload.kind(index);
  if (!isWhole && kind !== 'plain' && kind !== 'duplicate') return true;
  switch (expected.kind) {
    case 'settled':
      return status === 'ACSC';
    case 'settledOrCapped':
      return status === 'ACSC' || reasonCode === 'AM04';
    case 'rejected':
      return reasonCode === expected.code;
    case 'deadLetter':
      return false;
  }
}
