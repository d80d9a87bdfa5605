/**
 * Compiles ISO 20022 XSDs to the tables under schemas/iso20022: `npm run compile:schemas [-- --from FOLDER] [ID...]`.
 * The XSDs themselves are not ours to commit; anybody can download them from iso20022.org.
 */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compileSchema } from './schema-compiler/compile.ts';
import { parseXsd } from './schema-compiler/xsd-model.ts';

const root = join(import.meta.dirname, '..');
const { values, positionals } = parseArgs({
  options: {
    from: { type: 'string', default: join(root, '../shared/iso20022/xsd') },
    to: { type: 'string', default: join(root, 'schemas/iso20022') },
    all: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

if (values.help) {
  console.log(
    'compile-schemas [--from FOLDER] [--to FOLDER] [--all] [ID...]\n\n' +
      'Without ids: those whose table is there already. --all: every XSD in the folder.',
  );
} else {
  const ids = wantedIds();
  mkdirSync(values.to, { recursive: true });
  let size = 0;
  for (const id of ids) {
    const model = parseXsd(readFileSync(join(values.from, `${id}.xsd`), 'utf8'));
    if (model.definitionId !== id) throw new Error(`${id}.xsd declares ${model.definitionId}`);
    const bytes = compileSchema(model);
    size += bytes.length;
    writeFileSync(join(values.to, `${id}.table`), bytes);
    console.log(`${id}  ${bytes.length} bytes`);
  }
  console.log(`${ids.length} tables, ${size} bytes`);
}

function wantedIds(): string[] {
  if (positionals.length > 0) return positionals;
  const [folder, ending] = values.all ? [values.from, '.xsd'] : [values.to, '.table'];
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => name.slice(0, -ending.length))
    .sort();
}
