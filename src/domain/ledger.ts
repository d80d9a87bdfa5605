/**
 * The positions that one settlement partition owns, and the count of the debits posted there. It is told what to post; it
 * does not ask whether.
 */
export interface Position {
  readonly participant: string;
  readonly currency: string;
  /** In 10^-5 of the currency's unit; negative when more went out than came in. */
  readonly units: bigint;
}

interface Account {
  readonly participant: string;
  readonly currency: string;
  units: bigint;
  changed: boolean;
}

export class Ledger {
  readonly #accounts = new Map<string, Map<string, Account>>();
  #changed: Account[] = [];
  #sequence: number;

  /** `sequence`: of the last debit that was posted. */
  constructor(sequence = 0, positions: Iterable<Position> = []) {
    this.#sequence = sequence;
    for (const { participant, currency, units } of positions) this.#account(participant, currency).units = units;
  }

  get sequence(): number {
    return this.#sequence;
  }

  position(participant: string, currency: string): bigint {
    return this.#accounts.get(participant)?.get(currency)?.units ?? 0n;
  }

  *positions(): Iterable<Position> {
    for (const currencies of this.#accounts.values()) yield* currencies.values();
  }

  /** Takes a debit; gives the position after it. */
  debit(participant: string, currency: string, units: bigint): bigint {
    this.#sequence++;
    return this.#post(participant, currency, -units);
  }

  /** Takes a credit; gives the position after it. */
  credit(participant: string, currency: string, units: bigint): bigint {
    return this.#post(participant, currency, units);
  }

  /** The positions that changed since the last call, each once. */
  takeChanged(): readonly Position[] {
    const changed = this.#changed;
    this.#changed = [];
    for (const account of changed) account.changed = false;
    return changed;
  }

  #post(participant: string, currency: string, units: bigint): bigint {
    const account = this.#account(participant, currency);
    account.units += units;
    if (!account.changed) {
      account.changed = true;
      this.#changed.push(account);
    }
    return account.units;
  }

  #account(participant: string, currency: string): Account {
    let held = this.#accounts.get(participant);
    if (held === undefined) this.#accounts.set(participant, (held = new Map()));
    let account = held.get(currency);
    if (account === undefined) held.set(currency, (account = { participant, currency, units: 0n, changed: false }));
    return account;
  }
}
