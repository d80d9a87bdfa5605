/**
 * Claims in memory: what Redis does, for tests and the simulation, with its ways to forget as methods. It passes the same
 * suite as the real adapter (test/contract/claims.test.ts).
 */
import { OutageError } from '../../errors.ts';
import type { ClaimAnswer, ClaimRequest, Claims, Clock, KnownClaim, WindowRestore } from '../../ports.ts';

interface Claim {
  readonly maker: string;
  readonly expiresAt: number;
}

/** What the server holds, as a snapshot or a replica would. */
export interface MemoryClaimsState {
  readonly claims: ReadonlyMap<string, Claim>;
  readonly markers: ReadonlyMap<number, Marker>;
}

interface Marker {
  readonly identity: number;
  /** Which restore set it. */
  readonly window: string;
}

export class MemoryClaims implements Claims {
  readonly #clock: Clock;
  readonly #windowMs: number;
  /** Changes when the server is restarted or replaced, as Redis' run id does. */
  #identity = 0;
  #claims = new Map<string, Claim>();
  /** Partition to the identity for which its window was found whole. */
  #markers = new Map<number, Marker>();
  #restores = 0;
  /** Attempts at rebuilding, with the identity for which they began. */
  #attempts = new Map<symbol, number>();
  #away = false;

  constructor(options: { readonly clock: Clock; readonly windowSeconds: number }) {
    this.#clock = options.clock;
    this.#windowMs = options.windowSeconds * 1_000;
  }

  // The work is done at once, as in Redis between two commands; only the answer comes later.
  async claim({ partition, keys, makers, window }: ClaimRequest): Promise<ClaimAnswer> {
    this.#requireAnswer();
    const marker = this.#markers.get(partition);
    if (marker?.identity !== this.#identity) return { kind: 'windowIncomplete' };
    if (window !== null && window !== marker.window) return { kind: 'windowIncomplete' };
    let redelivered = 0;
    const owners = keys.map((key, index) => {
      const maker = makers[index]!;
      const present = this.#get(key);
      if (present === undefined) {
        this.#claims.set(key, { maker, expiresAt: this.#clock() + this.#windowMs });
        return null;
      }
      if (present.maker !== maker) return present.maker;
      redelivered += 1;
      return null;
    });
    return { kind: 'claimed', owners, redelivered, window: marker.window };
  }

  async beginRestore(partition: number): Promise<WindowRestore> {
    this.#requireAnswer();
    const attempt = Symbol(`restore of partition ${partition}`);
    this.#attempts.set(attempt, this.#identity);
    return {
      add: async (claims) => {
        this.#requireAnswer();
        if (this.#attempts.get(attempt) !== this.#identity) return false;
        for (const claim of claims) this.#restore(claim);
        return true;
      },
      complete: async () => {
        this.#requireAnswer();
        if (this.#attempts.get(attempt) !== this.#identity) return false;
        this.#attempts.delete(attempt);
        this.#markers.set(partition, { identity: this.#identity, window: String(++this.#restores) });
        return true;
      },
    };
  }

  /** FLUSHALL. */
  flush(): void {
    this.#claims.clear();
    this.#markers.clear();
    this.#attempts.clear();
  }

  /** What a snapshot on disk, or a replica that receives nothing more, would hold. */
  snapshot(): MemoryClaimsState {
    return { claims: new Map(this.#claims), markers: new Map(this.#markers) };
  }

  /** A restart from this state, or a failover to a replica that holds it. */
  replaceBy(state: MemoryClaimsState): void {
    this.#identity += 1;
    this.#claims = new Map(state.claims);
    this.#markers = new Map(state.markers);
    this.#attempts.clear();
  }

  /** While away every call throws `OutageError`. */
  setAway(away: boolean): void {
    this.#away = away;
  }

  #requireAnswer(): void {
    if (this.#away) throw new OutageError('redis', 'Redis cannot be reached: it was set away');
  }

  #get(key: string): Claim | undefined {
    const claim = this.#claims.get(key);
    return claim !== undefined && claim.expiresAt > this.#clock() ? claim : undefined;
  }

  #restore({ key, maker, claimedAt }: KnownClaim): void {
    const expiresAt = claimedAt + this.#windowMs;
    if (expiresAt <= this.#clock()) return;
    const present = this.#get(key);
    if (present === undefined) this.#claims.set(key, { maker, expiresAt });
    else if (present.expiresAt < expiresAt) this.#claims.set(key, { maker: present.maker, expiresAt });
  }
}
