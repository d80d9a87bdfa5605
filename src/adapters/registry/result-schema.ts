/** The id under which the fleet writes its results. */
import { register } from './register.ts';
import type { RegisterOptions } from './register.ts';

/** Registers the schema if it is not yet there; waits for the registry until `signal` aborts. */
export async function resultSchemaId(options: RegisterOptions): Promise<number> {
  const { id } = await register(options, `${options.prefix}results-value`, 'payment-result');
  return id;
}
