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

/** The statements of a text that end with a semicolon, and what is left behind the last one. */
export function splitStatements(text: string): { readonly statements: readonly string[]; readonly rest: string } {
  const statements: string[] = [];
  let rest = text;
  for (;;) {
    // Semicolons in literals and comments are no ends. What is blanked out keeps its length, so places stay.
    const bare = rest.replace(opaque, (part) => ' '.repeat(part.length)).replace(unfinished, '');
    const end = bare.indexOf(';');
    if (end < 0) return { statements, rest };
    statements.push(rest.slice(0, end).trim());
    rest = rest.slice(end + 1);
  }
}

/** A literal, name or comment that is begun and goes on in the next line. */
const unfinished = /(?:'|"|`|\/\*)[\s\S]*$/;

/** As one line, with comments that would hide what follows them put between other marks. */
export function onOneLine(statement: string): string {
  return statement
    .replace(opaque, (part) => (/^(?:--|#)/.test(part) ? `/* ${part.replace(/^(?:--|#!?)\s*/, '').replaceAll('*/', '')} */` : part))
    .replace(/\s*\n\s*/g, ' ')
    .trim();
}

/** The format that a statement itself names at its end, before settings; null where it names none. */
export function formatNamed(statement: string): string | null {
  const bare = statement.replace(opaque, (part) => ' '.repeat(part.length));
  return /\bFORMAT\s+(\w+)\s*(?:\bSETTINGS\b[^;]*)?;?\s*$/i.exec(bare)?.[1] ?? null;
}
