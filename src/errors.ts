/**
 * The fates of an error that is not an answer (STYLE: "Errors have four fates"). What a payment is rejected for, and what
 * a dead letter is for, are values; these are thrown.
 */

/** The world is unwell: try the same again later. Never a reason to reject or dead-letter anything. */
export class OutageError extends Error {
  override readonly name = 'OutageError';
  /** Who is unwell: `redis`, `registry`, `kafka`, `clickhouse`. */
  readonly dependency: string;

  constructor(dependency: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.dependency = dependency;
  }
}

/** This process cannot go on: it ends with a non-zero code, and a supervisor starts a fresh one. */
export class FatalError extends Error {
  override readonly name = 'FatalError';
}

/** A wrong setting, in one line that names the variable. The process ends with exit code 2. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

/** A command could not do what it was asked, in one line for a person. The process ends with exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** We are wrong: an invariant does not hold. Nothing catches it. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new FatalError(`Broken invariant: ${message}`);
}
