/**
 * Schemas as they were last seen, on disk, so that a worker that starts while the registry is away can read what it has
 * read before. A help, never an authority: a registry that answers is right, whatever lies here.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WriterSchema } from '../../codec/avro/writer-schema.ts';
import type { Log } from '../../ports.ts';

export class SchemaFiles {
  readonly #directory: string;
  readonly #log: Log;
  #failed = false;

  /** One registry's ids mean nothing to another: each address has a directory of its own. */
  constructor(options: { readonly directory: string; readonly registryUrl: string; readonly log: Log }) {
    const name = createHash('sha256').update(options.registryUrl).digest('hex').slice(0, 16);
    this.#directory = join(options.directory, name);
    this.#log = options.log;
  }

  /** Undefined when it is not there or cannot be understood. */
  async read(id: number): Promise<WriterSchema | undefined> {
    try {
      const text = await readFile(this.#path(id), 'utf8');
      const known: unknown = JSON.parse(text);
      return isKept(known, id) ? known : undefined;
    } catch {
      // Missing, unreadable or half of something else: the registry is asked, as if there were no file.
      return undefined;
    }
  }

  /** Never throws: without the file, only a start during an outage is worse off. */
  async write(schema: WriterSchema): Promise<void> {
    const path = this.#path(schema.id);
    try {
      await mkdir(this.#directory, { recursive: true });
      // Several workers may share the directory: a reader sees the old file or the new one, never a part.
      const partial = `${path}.${process.pid}`;
      await writeFile(partial, JSON.stringify(schema));
      await rename(partial, path);
    } catch (error) {
      if (!this.#failed) this.#log.warn({ error: String(error) }, 'schemas cannot be kept on disk');
      this.#failed = true;
    }
  }

  #path(id: number): string {
    return join(this.#directory, `${id}.json`);
  }
}

function isKept(value: unknown, id: number): value is WriterSchema {
  if (typeof value !== 'object' || value === null) return false;
  const { id: keptId, kind, texts, language } = value as Record<string, unknown>;
  if (keptId !== id) return false;
  if (kind === 'notAvro') return typeof language === 'string';
  return kind === 'avro' && Array.isArray(texts) && texts.every((text) => typeof text === 'string');
}
