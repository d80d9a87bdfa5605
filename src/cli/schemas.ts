/**
 * `settlefleet schemas register`: puts the two schemas of the contract into the registry, with compatibility BACKWARD, and
 * prints their ids. Doing it again changes nothing.
 */
import type { Config } from '../config.ts';
import { commandLog, print } from './console.ts';
import type { DefineCommand } from './program.ts';

const registryWaitMs = 60_000;

export const defineSchemasCommand: DefineCommand = (program, settings) => {
  program
    .command('schemas')
    .description("The schemas of the fleet's topics.")
    .command('register')
    .description('Registers the schemas of events and results; can be repeated.')
    .action(() => registerBoth(settings(), print));
};

/** Waits up to a minute for the registry. */
export async function registerBoth(config: Pick<Config, 'schemaRegistryUrl' | 'topicPrefix'>, say: (line: string) => void): Promise<void> {
  const { registerSchemas } = await import('../adapters/registry/register.ts');
  const registered = await registerSchemas({
    url: config.schemaRegistryUrl,
    prefix: config.topicPrefix,
    log: commandLog,
    signal: AbortSignal.timeout(registryWaitMs),
  });
  for (const { subject, id } of registered) say(`${subject}: id ${id}`);
}
