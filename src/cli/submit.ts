/**
 * `settlefleet submit FILE...`: ISO 20022 files become payment events on the inbound topic, as they are. Whether they
 * are any good the fleet says, not this command.
 */
import { randomUUID } from 'node:crypto';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { CommandError } from '../errors.ts';
import { print, tell } from './console.ts';
import { outlineMessage } from './message-outline.ts';
import type { DefineCommand } from './program.ts';
import { counted } from './topics.ts';

/** Files that are read and under way at a time. */
const chunkFiles = 200;
/** What `messageType` says of a file in which no Document with an ISO 20022 namespace is found. */
const unknownType = 'unknown';

export const defineSubmitCommand: DefineCommand = (program, settings) => {
  program
    .command('submit')
    .description('Produces ISO 20022 files as payment events; prints event id, partition, offset and file.')
    .argument('<file...>', 'XML files, or folders whose *.xml files are taken, in the order of their names')
    .option('--source <name>', 'the upstream system that the events name', 'settlefleet-submit')
    .action(async (paths: string[], options: { source: string }) => {
      await submitFiles(settings(), paths, options.source, print);
    });
};

/** Throws `CommandError` when any file was not read or not acknowledged; the others were submitted. */
export async function submitFiles(
  config: Config,
  paths: readonly string[],
  source: string,
  say: (line: string) => void,
): Promise<number> {
  let failed = 0;
  const fail = (path: string, error: unknown): undefined => {
    failed++;
    tell(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  };
  const files = await listFiles(paths, fail);
  const asked = files.length + failed;
  if (files.length > 0) {
    const { connectEventPublisher } = await import('./event-publisher.ts');
    const publisher = await connectEventPublisher(config, 'submit');
    const submit = async (file: string, document: Buffer): Promise<void> => {
      const { messageType, debitedParticipant } = outlineMessage(document);
      if (messageType === null) tell(`${file}: no ISO 20022 Document found, submitted as of type "${unknownType}"`);
      const eventId = randomUUID();
      const { partition, offset } = await publisher.publish(
        { eventId, messageType: messageType ?? unknownType, source, createdAt: Date.now(), document, attributes: {} },
        debitedParticipant,
      );
      say(`${eventId}  partition ${partition}  offset ${offset}  ${file}`);
    };
    try {
      for (let next = 0; next < files.length; next += chunkFiles) {
        const chunk = files.slice(next, next + chunkFiles);
        const read = await Promise.all(
          chunk.map((file) => readFile(file).catch((error: unknown) => fail(file, error))),
        );
        // Handed to the client in the order of the files, so that they stand in that order in each partition.
        const submitted = chunk.map(async (file, i) => {
          if (read[i] !== undefined) await submit(file, read[i]).catch((error: unknown) => fail(file, error));
        });
        await Promise.all(submitted);
      }
    } finally {
      await publisher.close();
    }
  }
  if (failed > 0) throw new CommandError(`${counted(failed, 'file')} of ${asked} not submitted.`);
  return files.length;
}

async function listFiles(paths: readonly string[], fail: (path: string, error: unknown) => void): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    try {
      if (!(await stat(path)).isDirectory()) {
        files.push(path);
        continue;
      }
      const names = await readdir(path, { recursive: true });
      const found = names.filter((name) => name.toLowerCase().endsWith('.xml')).sort();
      if (found.length === 0) throw new Error('the folder has no *.xml files');
      files.push(...found.map((name) => join(path, name)));
    } catch (error) {
      fail(path, error);
    }
  }
  return files;
}
