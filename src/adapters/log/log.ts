/**
 * Log lines of every process: JSON for machines, coloured lines on a terminal. They go to standard error, so that what a
 * command answers on standard output stays clean; workers and commands alike. Nothing is filtered here: callers choose the fields, and
 * none of them is an account number or the name of a person.
 */
import { pino } from 'pino';
import type { LevelWithSilent } from 'pino';
import pretty from 'pino-pretty';

import { logLevels } from '../../config.ts';
import type { Log } from '../../ports.ts';

export interface LogOptions {
  /** LOG_LEVEL. */
  readonly level: LevelWithSilent;
  /** In every line, e.g. `{ process: 'worker', worker: 'w-1' }`. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A log whose level an operator may change while the process runs. */
export interface AdjustableLog extends Log {
  level: LevelWithSilent;
}

/** Writes synchronously, so that the last words of a process that ends are not lost. */
export function createLog({ level, fields = {} }: LogOptions): AdjustableLog {
  const settings = { level, base: fields, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: levelWord } };
  const logger = process.stderr.isTTY ? pino(settings, terminal(fields)) : pino(settings, pino.destination({ dest: 2, sync: true }));
  return {
    get level() {
      return logger.level as LevelWithSilent;
    },
    set level(next) {
      logger.level = next;
    },
    debug: (more, message) => logger.debug(more, message),
    info: (more, message) => logger.info(more, message),
    warn: (more, message) => logger.warn(more, message),
    error: (more, message) => logger.error(more, message),
  };
}

/** An operator's word that changes the level, among those of LOG_LEVEL. */
export function logLevelAction(log: AdjustableLog): (level: string) => { readonly done: { readonly logLevel: string } } | { readonly refused: string } {
  return (given) => {
    const level = logLevels.find((one) => one === given);
    if (level === undefined) return { refused: `expected one of ${logLevels.join(', ')}` };
    log.level = level;
    return { done: { logLevel: level } };
  };
}

/** One coloured line for an event, without what is the same in every line. */
function terminal(fields: Readonly<Record<string, unknown>>): pretty.PrettyStream {
  return pretty({
    destination: 2,
    sync: true,
    colorize: true,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: Object.keys(fields).join(','),
  });
}

/** `"level":"warn"` instead of `"level":40`. */
function levelWord(label: string): { level: string } {
  return { level: label };
}
