/**
 * The shell of `settlefleet sql`: statements over several lines until a semicolon, a history that outlives it, and Ctrl-C
 * for the line or the query that runs. It only asks; where the data is, is the caller's business at each question.
 */
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { formatNamed, onOneLine, splitStatements } from '../adapters/clickhouse/statement.ts';
import { CommandError, ConfigurationError, OutageError } from '../errors.ts';
import { forTerminal, refuseBinary } from './sql.ts';

const historyLinesMax = 1000;
const prompt = 'payments> ';
const continued = '       -> ';
/** Two lines of a common terminal. */
const errorCharactersMax = 2 * 80;

const help = `A statement ends with a semicolon and may take several lines; only statements that read are answered.
  tables              the tables and views, and what they hold
  describe NAME       the columns of one, and what they mean
  \\format NAME        how answers are written from now on: PrettyCompact, Vertical, CSVWithNames, JSONEachRow ...
  ... FORMAT NAME;    the same for one statement
  help, exit          this, and the end (Ctrl-D too)
Ctrl-C ends the query that runs, or forgets what was typed. Tab completes names.
Formats such as Parquet go to a file: settlefleet sql --format Parquet "QUERY" > FILE
For example: SELECT status, reason_code, count() FROM results GROUP BY ALL ORDER BY 3 DESC;`;

const tablesQuery =
  "SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND NOT startsWith(name, '.') AND engine NOT IN ('Null', 'MaterializedView') ORDER BY name";
const columnsQuery = (name: string): string => {
  const [table, database] = name.split('.').reverse();
  const where = database === undefined ? 'currentDatabase()' : `'${database}'`;
  return `SELECT name, type, comment FROM system.columns WHERE database = ${where} AND table = '${table}' ORDER BY position`;
};
const namesQuery =
  'SELECT DISTINCT arrayJoin([table, name]) AS word FROM system.columns WHERE database = currentDatabase() ' +
  "AND table NOT IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine IN ('Null', 'MaterializedView')) ORDER BY word";
const keywords = 'SELECT FROM WHERE GROUP BY ORDER LIMIT HAVING DESC ASC FORMAT INTERVAL count() sum() avg() quantile() toDate() today() now()'.split(' ');

export interface ShellOptions {
  readonly ask: (query: string, format: string, signal: AbortSignal) => Promise<Buffer>;
  /** A terminal on both sides. */
  readonly input: Readable;
  readonly output: Writable;
  /** Characters in a line, at this moment. */
  readonly width: () => number;
  readonly format: string;
  readonly historyFile: string;
}

/** Returns when the user has ended it. */
export async function startShell(options: ShellOptions): Promise<void> {
  await new Shell(options, await readHistory(options.historyFile)).run();
}

class Shell {
  readonly #options: ShellOptions;
  readonly #terminal: Interface;
  readonly #lines: string[] = [];
  #history: string[];
  #format: string;
  #typed = '';
  #running: AbortController | undefined;
  #names: readonly string[] | undefined;
  #ended = false;
  #wake = (): void => {};

  constructor(options: ShellOptions, history: readonly string[]) {
    this.#options = options;
    this.#format = options.format;
    this.#history = [...history];
    this.#terminal = createInterface({
      input: options.input,
      output: options.output,
      terminal: true,
      prompt,
      history: [...history],
      historySize: historyLinesMax,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: Error | null, result: [string[], string]) => void) => {
        this.#complete(line).then(
          (result) => done(null, result),
          () => done(null, [[], line]),
        );
      },
    });
  }

  async run(): Promise<void> {
    const terminal = this.#terminal;
    // A statement is remembered whole, by us: not its lines, by readline.
    terminal.on('history', (lines) => lines.splice(0, lines.length, ...this.#history));
    terminal.on('line', (line) => {
      this.#lines.push(line);
      this.#wake();
    });
    terminal.on('SIGINT', () => this.#interrupt());
    terminal.on('close', () => {
      this.#ended = true;
      this.#running?.abort();
      this.#wake();
    });
    this.#say('Ask ClickHouse; a statement ends with a semicolon. "help" says more, Ctrl-D ends.');
    this.#prompt();
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) {
        await this.#take(line);
        if (!this.#ended) this.#prompt();
      } else if (this.#ended) {
        this.#options.output.write('\n');
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }

  async #take(line: string): Promise<void> {
    if (this.#typed.trim() === '') {
      const word = line.trim().replace(/;+$/, '').trim();
      if (word === '') return;
      if (/^(?:exit|quit|\\q)$/i.test(word)) return this.#terminal.close();
      if (/^(?:help|\\h|\\\?|\?)$/i.test(word)) return this.#say(help);
      const format = /^\\format(?:\s+(\w{1,64}))?$/i.exec(word);
      if (format !== null) return this.#setFormat(format[1]);
      if (/^(?:tables|show\s+tables)$/i.test(word)) return this.#list(word, tablesQuery, 'There are no tables yet: the sink makes them.');
      const described = /^desc(?:ribe)?\s+(?:table\s+)?([\w.]+)$/i.exec(word)?.[1];
      if (described !== undefined) return this.#list(word, columnsQuery(described), `There is no table ${described}; "tables" lists them.`);
      if (word.startsWith('\\')) return this.#say(`${word}: no such command; "help" lists them.`);
    }
    const { statements, rest } = splitStatements(`${this.#typed}${line}\n`);
    this.#typed = rest.trim() === '' ? '' : rest;
    for (const statement of statements) if (statement !== '') await this.#answer(`${onOneLine(statement)};`, statement);
  }

  async #answer(typed: string, query: string, format = this.#format, show = (answer: string): string => answer): Promise<void> {
    await this.#remember(typed);
    const { output } = this.#options;
    const running = (this.#running = new AbortController());
    const begunAt = performance.now();
    try {
      await refuseBinary(query, format);
      const answer = show(forTerminal(await this.#options.ask(query, format, running.signal)));
      output.write(answer);
      if (answer !== '' && !answer.endsWith('\n')) output.write('\n');
      if (/^(?:Pretty|Vertical)/.test(formatNamed(query) ?? format)) this.#say(`${((performance.now() - begunAt) / 1000).toFixed(2)} s\n`);
    } catch (error) {
      this.#say(running.signal.aborted ? 'Cancelled.' : complaint(error));
    } finally {
      this.#running = undefined;
    }
  }

  /** Names and what they mean, fitted to the terminal. */
  async #list(typed: string, query: string, nothing: string): Promise<void> {
    await this.#answer(typed, query, 'JSONCompactEachRow', (answer) => {
      const rows = answer.split('\n').filter(Boolean).map((row) => JSON.parse(row) as string[]);
      return rows.length === 0 ? nothing : fitted(rows, this.#options.width()).join('\n');
    });
  }

  #setFormat(name: string | undefined): void {
    if (name !== undefined) this.#format = name;
    this.#say(`Answers are written as ${this.#format}.`);
  }

  /** The query that runs, else what was typed. */
  #interrupt(): void {
    if (this.#running !== undefined) return this.#running.abort();
    if (this.#typed === '' && this.#terminal.line === '') {
      this.#say('\nCtrl-D ends.');
    } else {
      this.#typed = '';
      this.#options.output.write('\n');
    }
    this.#terminal.write(null, { ctrl: true, name: 'e' });
    this.#terminal.write(null, { ctrl: true, name: 'u' });
    this.#prompt();
  }

  #prompt(): void {
    this.#terminal.setPrompt(this.#typed === '' ? prompt : continued);
    this.#terminal.prompt();
  }

  #say(text: string): void {
    this.#options.output.write(`${text}\n`);
  }

  async #remember(statement: string): Promise<void> {
    this.#history = [statement, ...this.#history.filter((other) => other !== statement)].slice(0, historyLinesMax);
    const lines = (this.#terminal as unknown as { history: string[] }).history;
    lines.splice(0, lines.length, ...this.#history);
    await appendHistory(this.#options.historyFile, statement).catch((error: unknown) => {
      this.#say(`The history cannot be kept in ${this.#options.historyFile}: ${(error as Error).message}`);
    });
  }

  async #complete(line: string): Promise<[string[], string]> {
    const begun = /[\w\\]*$/.exec(line)?.[0] ?? '';
    if (begun === '') return [[], begun];
    this.#names ??= await this.#askNames();
    const small = begun.toLowerCase();
    return [[...this.#names, ...keywords, '\\format', 'tables', 'describe', 'help'].filter((name) => name.toLowerCase().startsWith(small)), begun];
  }

  async #askNames(): Promise<readonly string[]> {
    const answer = await this.#options.ask(namesQuery, 'TabSeparated', AbortSignal.timeout(5_000));
    return answer.toString().split('\n').filter(Boolean);
  }
}

/** Columns side by side; the last one is broken between words where the terminal ends. */
function fitted(rows: readonly (readonly string[])[], width: number): string[] {
  const last = rows[0]!.length - 1;
  const widths = Array.from({ length: last }, (_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const begin = widths.reduce((sum, one) => sum + one + 2, 0);
  const room = Math.max(20, width - begin);
  return rows.flatMap((row) => {
    const lines = row[last]!.match(new RegExp(`\\S.{0,${room - 1}}(?=\\s|$)`, 'g')) ?? [''];
    return lines.map((line, i) => `${i === 0 ? widths.map((one, column) => row[column]!.padEnd(one + 2)).join('') : ' '.repeat(begin)}${line}`);
  });
}

/** In two lines at most; anything but an answer of ClickHouse or of ours is a fault and ends the shell. */
function complaint(error: unknown): string {
  if (!(error instanceof OutageError || error instanceof CommandError || error instanceof ConfigurationError)) throw error;
  const line = forTerminal(Buffer.from(error.message.replace(/\s*\n\s*/g, ' ')));
  return line.length > errorCharactersMax ? `${line.slice(0, errorCharactersMax - 3)}...` : line;
}

/** The newest first, as readline has it; the file has the oldest first, and each statement once it was read. */
async function readHistory(file: string): Promise<string[]> {
  const content = await readFile(file, 'utf8').catch(() => '');
  const oldestFirst = content.split('\n').filter(Boolean);
  const newestFirst = [...new Set(oldestFirst.reverse())].slice(0, historyLinesMax);
  if (oldestFirst.length > 2 * historyLinesMax) await writeFile(file, `${[...newestFirst].reverse().join('\n')}\n`).catch(() => undefined);
  return newestFirst;
}

/** Behind what other shells have put there meanwhile. */
async function appendHistory(file: string, statement: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await appendFile(file, `${statement}\n`, { mode: 0o600 });
}
