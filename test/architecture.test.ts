/**
 * Which way imports point. Think hard about layering before changing this file: what stands on the left may know what
 * stands on its right, never the other way round.
 *
 *     main -> cli -> worker, demo -> fleet -> lane -> pipeline -> stages -> book -> ports -> codec -> domain
 *                                                                 adapters, sink ----^
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Layers by path, the first that matches; `may` names the layers that it may import beside itself. */
const layers: readonly { readonly name: string; readonly path: RegExp; readonly may: readonly string[] }[] = [
  { name: 'domain', path: /^src\/domain\//, may: [] },
  { name: 'codec', path: /^src\/codec\//, may: ['domain', 'tables'] },
  // The compiled XSDs, and the door that reads them.
  { name: 'tables', path: /^schemas\/iso20022\//, may: [] },
  { name: 'errors', path: /^src\/errors\.ts$/, may: [] },
  { name: 'ports', path: /^src\/((sink\/)?ports|journey)\.ts$/, may: ['domain', 'codec'] },
  { name: 'book', path: /^src\/(epoch|lane-(account|book))\.ts$/, may: ['domain', 'codec', 'errors', 'ports'] },
  { name: 'stages', path: /^src\/stages\//, may: ['domain', 'codec', 'errors', 'ports', 'book'] },
  { name: 'pipeline', path: /^src\/pipeline\.ts$/, may: ['codec', 'ports', 'book', 'stages'] },
  { name: 'lane', path: /^src\/(lane|restore)\.ts$/, may: ['domain', 'codec', 'errors', 'ports', 'book', 'stages', 'pipeline'] },
  { name: 'fleet', path: /^src\/(fleet|kafka-audit|lag-watch)\.ts$/, may: ['domain', 'codec', 'errors', 'ports', 'book', 'pipeline', 'lane'] },
  { name: 'adapters', path: /^src\/adapters\//, may: ['domain', 'codec', 'errors', 'ports', 'config', 'workers'] },
  { name: 'sink', path: /^src\/sink\//, may: ['domain', 'codec', 'errors', 'ports', 'adapters', 'config'] },
  { name: 'config', path: /^src\/config(-telemetry)?\.ts$/, may: ['errors'] },
  { name: 'worker', path: /^src\/(worker|sink|exports)\.ts$/, may: ['domain', 'codec', 'errors', 'ports', 'config', 'adapters', 'stages', 'pipeline', 'fleet', 'sink'] },
  { name: 'verify', path: /^src\/verify\//, may: ['domain', 'codec', 'ports', 'lane', 'sink'] },
  { name: 'explain', path: /^src\/explain\//, may: ['domain', 'codec', 'ports', 'lane', 'sink', 'verify'] },
  { name: 'report', path: /^src\/report\//, may: ['domain', 'codec', 'ports', 'lane'] },
  { name: 'doctor', path: /^src\/doctor\//, may: ['domain', 'codec', 'errors', 'ports', 'config', 'adapters', 'lane'] },
  { name: 'cli', path: /^src\/cli\//, may: ['domain', 'codec', 'tables', 'errors', 'ports', 'config', 'adapters', 'sink', 'worker', 'verify', 'explain', 'report', 'doctor'] },
  { name: 'demo', path: /^src\/demo\//, may: ['domain', 'codec', 'errors', 'ports', 'config', 'adapters', 'cli'] },
  { name: 'main', path: /^src\/main\.ts$/, may: ['cli'] },
  { name: 'workers', path: /^workers\//, may: ['domain', 'codec'] },
];

/** One outside system, one folder, one owner of its client library. */
const owners: Readonly<Record<string, RegExp>> = {
  '@confluentinc/kafka-javascript': /^src\/adapters\/kafka\//,
  '@kafkajs/confluent-schema-registry': /^src\/adapters\/registry\//,
  ioredis: /^src\/adapters\/redis\//,
  '@clickhouse/client': /^src\/adapters\/clickhouse\//,
  chdb: /^src\/adapters\/clickhouse\//,
  piscina: /^(src\/adapters\/piscina\/|workers\/)/,
  'prom-client': /^src\/adapters\/prometheus\//,
  pino: /^src\/adapters\/log\//,
  '@opentelemetry': /^src\/adapters\/opentelemetry\//,
};

const files = globSync(['src/**/*.ts', 'workers/**/*.ts'], { cwd: root });

function importsOf(file: string): string[] {
  return ts.preProcessFile(readFileSync(join(root, file), 'utf8')).importedFiles.map((one) => one.fileName);
}

function layerOf(file: string) {
  return layers.find((layer) => layer.path.test(file));
}

const edges = files.flatMap((from) => importsOf(from).map((specifier) => ({ from, specifier })));

describe('the architecture', () => {
  it('is seen by this test', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(edges.some(({ from, specifier }) => from === 'src/fleet.ts' && specifier === './pipeline.ts')).toBe(true);
    expect(files.filter((file) => layerOf(file) === undefined)).toEqual([]);
  });

  it('lets imports point one way only', () => {
    const wrong = edges
      .filter(({ specifier }) => specifier.startsWith('.') && /\.ts$/.test(specifier))
      .map(({ from, specifier }) => ({ from, to: normalize(join(dirname(from), specifier)) }))
      .filter(({ from, to }) => {
        const [importer, imported] = [layerOf(from), layerOf(to)];
        return importer !== imported && !importer!.may.includes(imported?.name ?? 'outside');
      });
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([]);
  });

  it('keeps stages from knowing each other, but for the work that one hands to the next', () => {
    const handedOn = new Set(['./decode.ts', './route.ts']);
    const wrong = edges.filter(
      ({ from, specifier }) => from.startsWith('src/stages/') && specifier.startsWith('./') && !handedOn.has(specifier),
    );
    expect(wrong).toEqual([]);
  });

  it('gives each outside system to one folder', () => {
    const wrong = edges.filter(({ from, specifier }) => {
      const name = Object.keys(owners).find((owned) => specifier === owned || specifier.startsWith(`${owned}/`));
      return name !== undefined && !owners[name]!.test(from);
    });
    expect(wrong.map(({ from, specifier }) => `${from} -> ${specifier}`)).toEqual([]);
  });

  it('keeps the core free of Node, of the time of day and of chance', () => {
    const core = files.filter((file) => /^src\/(domain|codec)\//.test(file));
    const wrong = core.flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
      return ['Date.now', 'Math.random', 'performance.now', 'process.', 'setTimeout', 'randomUUID']
        .filter((word) => text.includes(word))
        .map((word) => `${file}: ${word}`);
    });
    expect(wrong).toEqual([]);
  });

  it('reads the environment in one place', () => {
    const readers = files.filter((file) => readFileSync(join(root, file), 'utf8').includes('process.env'));
    // main.ts sets the size of the thread pool before anything else is loaded.
    expect(readers.filter((file) => !file.startsWith('src/demo/')).sort()).toEqual(['src/config.ts', 'src/main.ts']);
  });
});
