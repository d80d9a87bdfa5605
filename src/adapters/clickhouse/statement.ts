/**
 * What `settlefleet sql` and the endpoint of the embedded engine answer: one statement that reads.
 *
 * ClickHouse's own read-only mode refuses writes, but not everything: in the embedded engine `INTO OUTFILE` writes files,
 * KILL QUERY ends the sink's inserts, and USE stays in force for whoever asks next. So the kind of statement is checked
 * before, and the mode stands behind it.
 */
const readingKinds = new Set(['SELECT', 'WITH', 'SHOW', 'DESCRIBE', 'DESC', 'EXPLAIN', 'EXISTS', 'VALUES', 'FROM']);

/** Literals, quoted names and comments: what looks like SQL in them is none. */
const opaque =
  /'(?:[^'\\]|\\[\s\S]|'')*'|"(?:[^"\\]|\\[\s\S]|"")*"|`(?:[^`\\]|\\[\s\S]|``)*`|\$(\w*)\$[\s\S]*?\$\1\$|--[^\n]*|#[! ][^\n]*|\/\*[\s\S]*?\*\//g;

/** Why a statement is not answered, in one line; null when it is. */
export function refusalOf(statement: string): string | null {
  const bare = statement.replace(opaque, ' ').replace(/[\s;]+$/, '').trim();
  if (bare === '') return 'The query is empty.';
  if (bare.includes(';')) return 'One query at a time, please: there is a semicolon between two.';
  const kind = /^[\s(]*([A-Za-z]+)/.exec(bare)?.[1]?.toUpperCase() ?? '';
  if (!readingKinds.has(kind)) {
    return `This is read-only: ${kind === '' ? 'the query' : kind} is refused; expected SELECT, WITH, SHOW, DESCRIBE, EXPLAIN or EXISTS.`;
  }
  if (/\bINTO\s+OUTFILE\b/i.test(bare)) return 'This is read-only: INTO OUTFILE is refused; redirect the output instead.';
  return null;
}
