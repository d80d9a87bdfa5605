/**
 * Fuzzes the reader of messages: `npm run fuzz -- [--seconds 60] [--seed 1]`. For as long as asked, messages are spoilt byte
 * by byte, cut, glued together and mutated, and three things must hold: nothing is thrown, a reader that has seen much says
 * what a fresh one says (and the first finding what all findings say), and neither time nor memory leaves its bounds.
 * Needs no corpus. A failure names the file that shows it.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readSchemaTable } from '../schemas/iso20022/tables.ts';
import { createMessageReporter } from '../src/codec/iso20022/message-report.ts';
import { createMessageReader } from '../src/codec/iso20022/payment-reader.ts';
import { hostileBytes, hostileMessages } from '../test/codec/iso20022/hostile.ts';
import { creditTransfer, olderPacs008, pacs004, pacs008, pacs009, pain001 } from '../test/codec/iso20022/messages.ts';
import { readMessage } from '../test/codec/iso20022/reading.ts';
import { mutate } from '../test/differential/mutations.ts';
import { SeededRandom } from '../test/differential/seeded-random.ts';

/** Issue of the engine: "no input of 1 MiB takes more than 20 ms", on a core of its own. */
const hostileMillisecondsMax = 20;
/** What a run may add to the heap, its own texts included, after a collection (`node --expose-gc`) or before. */
const heapGrowthMax = 256 << 20;

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } } });
process.exitCode = fuzz(Number(values.seconds) * 1000, Number(values.seed)) ? 0 : 1;

function fuzz(milliseconds: number, seed: number): boolean {
  const random = new SeededRandom(seed);
  const folder = mkdtempSync(join(tmpdir(), 'settlefleet-fuzz-'));
  const sources = [
    pacs008(),
    pacs008({ transactions: [creditTransfer(), creditTransfer({ currency: 'JPY', amount: '5' })], totals: '<CtrlSum>105</CtrlSum>' }),
    olderPacs008('pacs.008.001.02', 'BIC'),
    pacs009('pacs.009.001.08'),
    pacs004('pacs.004.001.11'),
    pain001('pain.001.001.09'),
    `<Box><AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><Fr/></AppHdr>${pacs008().replace(/^<\?xml.*?\?>/, '')}</Box>`,
  ].map((text) => Buffer.from(text).toString('latin1'));
  const experienced = createMessageReader(readSchemaTable);
  const report = createMessageReporter(readSchemaTable);
  const heapBefore = process.memoryUsage().heapUsed;
  const verdicts = new Map<string, number>();
  const until = performance.now() + milliseconds;
  let count = 0;
  for (; performance.now() < until; count++) {
    const bytes = Uint8Array.from(Buffer.from(spoil(random.pick(sources), sources, random), 'latin1'));
    try {
      const { type, valid } = report(bytes, { rules: false });
      const answer = readMessage(bytes, type ?? 'none', experienced);
      const reader = count % 50 === 0 ? createMessageReader(readSchemaTable) : experienced;
      same(readMessage(bytes, type ?? 'none', reader), answer);
      const isReadable = answer.deadLetter === null && answer.rejection !== 'FF01';
      // The report looks at the header, too, and the reader does not.
      if (valid && answer.deadLetter !== 'TYPE_UNSUPPORTED') same(isReadable, true);
      const verdict = answer.deadLetter ?? answer.rejection ?? 'read';
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    } catch (error) {
      const file = join(folder, `${count}.xml`);
      writeFileSync(file, bytes);
      console.log(`${file}: ${String(error)}`);
      return false;
    }
  }
  console.log(`seed ${seed}: ${count} messages; ${[...verdicts].map(([name, times]) => `${name} ${times}`).join(', ')}`);
  const growth = process.memoryUsage().heapUsed - heapBefore;
  console.log(`heap: ${(growth / (1 << 20)).toFixed(0)} MiB more (bound ${heapGrowthMax >> 20})`);
  return timeIsLinear() && growth <= heapGrowthMax;
}

function spoil(source: string, sources: readonly string[], random: SeededRandom): string {
  let text = mutate(source, random).text;
  for (let times = random.next(3); times > 0; times--) {
    const at = random.next(text.length + 1);
    const length = random.next(8);
    switch (random.next(5)) {
      case 0:
        text = text.slice(0, at) + String.fromCharCode(random.next(256)) + text.slice(at + 1);
        break;
      case 1:
        text = text.slice(0, at) + Array.from({ length }, () => String.fromCharCode(random.next(256))).join('') + text.slice(at);
        break;
      case 2:
        text = text.slice(0, at) + text.slice(at + length);
        break;
      case 3: {
        const other = random.pick(sources);
        text = text.slice(0, at) + other.slice(random.next(other.length));
        break;
      }
      default:
        text = text.slice(0, at) + text.slice(random.next(text.length + 1), random.next(text.length + 1)) + text.slice(at);
    }
  }
  return text;
}

function same(left: unknown, right: unknown): void {
  const write = (value: unknown): string => JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part));
  if (write(left) !== write(right)) throw new Error(`two readers disagree: ${write(left)} and ${write(right)}`);
}

function timeIsLinear(): boolean {
  const reader = createMessageReader(readSchemaTable);
  let worst = { name: '', took: 0 };
  for (const [name, text] of hostileMessages()) {
    const bytes = Buffer.from(text);
    let best = Infinity;
    // On a busy machine CPU time is lengthened by the neighbours: the best of many rounds is what the message needs.
    for (let round = 0; round < 60 && (round < 5 || best > hostileMillisecondsMax / 2); round++) {
      const before = process.cpuUsage();
      readMessage(bytes, 'pacs.008.001.08', reader);
      const { user, system } = process.cpuUsage(before);
      best = Math.min(best, (user + system) / 1000);
    }
    if (best > worst.took) worst = { name, took: best };
  }
  console.log(`slowest of ${hostileBytes} bytes: ${worst.name}, ${worst.took.toFixed(1)} ms (bound ${hostileMillisecondsMax})`);
  return worst.took <= hostileMillisecondsMax;
}
