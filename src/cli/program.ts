/**
 * The command line: which commands there are, and how each way of ending becomes an exit code (0 done, 1 failed, 2 wrong
 * usage or configuration), as contract section 6 says.
 *
 * A command is a function that defines itself on the program and finds the checked settings when its action runs. What
 * is heavy (the Kafka client, ClickHouse) it imports inside the action, so that `--help` and a wrong setting answer at once.
 */
import { Command, CommanderError } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { chooseBridge } from '../adapters/kafka/bridge/bridge.ts';
import { loadConfig } from '../config.ts';
import type { Config } from '../config.ts';
import { CommandError, ConfigurationError, FatalError, OutageError } from '../errors.ts';
import { defineConfigCommand } from './config.ts';
import { defineDlqCommand } from './dlq.ts';
import { defineDoctorCommand } from './doctor.ts';
import { defineExplainCommand } from './explain.ts';
import { defineOperatorCommands } from './operator.ts';
import { defineParticipantsCommand } from './participants.ts';
import { defineReportCommand } from './report.ts';
import { defineSinkCommand } from './sink.ts';
import { defineSqlCommand } from './sql.ts';
import { defineSchemasCommand } from './schemas.ts';
import { defineSubmitCommand } from './submit.ts';
import { defineTopicsCommand } from './topics.ts';
import { defineValidateCommand } from './validate.ts';
import { defineVerifyCommand } from './verify.ts';
import { defineWorkerCommand } from './worker.ts';

/**
 * Adds one command, or a group of them. `settings` gives the checked configuration and may be called in actions only.
 * An action that returns is exit code 0; it throws `CommandError` for exit code 1, `ConfigurationError` for 2.
 */
export type DefineCommand = (program: Command, settings: () => Config) => void;

/** In the order of the help. A new command adds its line here. */
const commands: readonly DefineCommand[] = [
  defineWorkerCommand,
  defineTopicsCommand,
  defineSchemasCommand,
  defineParticipantsCommand,
  defineSubmitCommand,
  defineSinkCommand,
  defineDlqCommand,
  defineSqlCommand,
  defineReportCommand,
  defineValidateCommand,
  defineExplainCommand,
  defineVerifyCommand,
  defineDoctorCommand,
  defineConfigCommand,
  defineOperatorCommands,
];

/** Runs one command to its end; gives the exit code. What went wrong is on standard error, in one line. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  let complaint = '';
  try {
    await createProgram(commands, (text) => (complaint += text)).parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return usageExitCode(error, complaint);
    return failureExitCode(error);
  }
}

/** The program with these commands; `complain` takes what commander would say on standard error. */
export function createProgram(definitions: readonly DefineCommand[], complain: (text: string) => void): Command {
  let config: Config | undefined;
  const settings = (): Config => {
    if (config === undefined) throw new Error('The settings were asked for before a command ran.');
    return config;
  };
  const program = new Command('settlefleet')
    .description(packageJson.description)
    .version(packageJson.version)
    .exitOverride()
    .configureOutput({ writeErr: complain })
    .addHelpText('after', '\nSettings are environment variables; see README.md.')
    .hook('preAction', () => {
      config = loadConfig();
      chooseBridge(config.kafkaBridge);
    });
  for (const define of definitions) define(program, settings);
  inheritSettings(program);
  return program;
}

/** Subcommands made with `addCommand` or in groups end and complain like the program itself. */
function inheritSettings(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inheritSettings(child);
  }
}

function usageExitCode(error: CommanderError, complaint: string): number {
  if (error.exitCode === 0) return 0;
  // Called without a command, commander gives the whole help on standard error; one line says it better.
  const line = error.code === 'commander.help' ? 'error: missing command, see --help' : complaint.trim();
  process.stderr.write(`${line.replace(/\s*\n\s*/g, ' ')}\n`);
  return 2;
}

function failureExitCode(error: unknown): number {
  if (error instanceof ConfigurationError) {
    process.stderr.write(`${oneLine(error.message)}\n`);
    return 2;
  }
  if (error instanceof CommandError || error instanceof OutageError || error instanceof FatalError) {
    process.stderr.write(`${oneLine(withCause(error))}\n`);
    return 1;
  }
  if (isKafkaError(error)) {
    process.stderr.write(`Kafka: ${oneLine(error.message)}\n`);
    return 1;
  }
  // Not one of ours: whoever looks for the cause needs the stack.
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}

/** What the Kafka client throws carries librdkafka's number and where it arose. */
function isKafkaError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'origin' in error;
}

/** The cause says what the message may only summarize. */
function withCause({ message, cause }: Error): string {
  if (!(cause instanceof Error) || message.includes(cause.message)) return message;
  return `${message} (${withCause(cause)})`;
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ');
}
