/**
 * Positions of one partition, posted anew from the results and the credits that arrived. Where the beginning is not in the
 * topics any more, a position is unknown until a result says it.
 */
export interface Account {
  units: bigint;
  known: boolean;
  /** Credits that came with the commit that is being looked at and may be applied at any moment of it, in their order. */
  arrived: bigint[];
}

export class Accounts {
  readonly all = new Map<string, Account>();
  #knownFromBeginning: boolean;
  #touched: Account[] = [];

  constructor(knownFromBeginning: boolean) {
    this.#knownFromBeginning = knownFromBeginning;
  }

  /** A credit from another partition that this commit applies, some time. */
  arrive(name: string, units: bigint): void {
    const account = this.#of(name);
    if (account.arrived.length === 0) this.#touched.push(account);
    account.arrived.push(units);
  }

  credit(name: string, units: bigint): void {
    this.#of(name).units += units;
  }

  /** Posts a debit. Null, or what the position after it should have been. */
  debit(name: string, amount: bigint, positionAfter: bigint): bigint | null {
    const account = this.#of(name);
    if (!account.known) {
      // With a credit under way in this commit, it is not known whether it is in the position already.
      account.units -= amount;
      if (account.arrived.length > 0) return null;
      account.units = positionAfter;
      account.known = true;
      return null;
    }
    const before = positionAfter + amount;
    let units = account.units;
    let applied = 0;
    while (units !== before && applied < account.arrived.length) units += account.arrived[applied++]!;
    if (units === before) account.arrived.splice(0, applied);
    const expected = units === before ? null : account.units - amount;
    account.units = positionAfter;
    return expected;
  }

  endCommit(): void {
    for (const account of this.#touched) {
      for (const units of account.arrived) account.units += units;
      account.arrived = [];
    }
    this.#touched = [];
  }

  /** From here on nothing is known for certain: something is missing. */
  forget(): void {
    this.#knownFromBeginning = false;
    for (const account of this.all.values()) account.known = false;
  }

  #of(name: string): Account {
    let account = this.all.get(name);
    if (account === undefined) this.all.set(name, (account = { units: 0n, known: this.#knownFromBeginning, arrived: [] }));
    return account;
  }
}
