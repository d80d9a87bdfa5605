/** Clocks against ours: end-to-end times and the window of claims are measured across machines. */
import { Findings } from './finding.ts';
import type { Finding } from './finding.ts';

const offsetWarnMs = 1_000;
const offsetWrongMs = 60_000;

export interface ClockFacts {
  readonly of: string;
  readonly offsetMs: number;
  /** How exactly it could be told. */
  readonly precisionMs: number;
}

export function judgeClocks(clocks: readonly ClockFacts[]): Finding[] {
  const findings = new Findings('clock');
  for (const { of, offsetMs, precisionMs } of clocks) {
    const apart = Math.abs(offsetMs);
    const says = `the clock of ${of} is ${written(apart)} ${offsetMs < 0 ? 'behind' : 'ahead of'} this one`;
    if (apart > offsetWrongMs + precisionMs) findings.wrong(says, 'run NTP (chrony, systemd-timesyncd) on both');
    else if (apart > offsetWarnMs + precisionMs) findings.warn(says, 'run NTP (chrony, systemd-timesyncd) on both');
    else findings.ok(`the clock of ${of} agrees with this one to ${written(Math.max(apart, precisionMs))}`);
  }
  return findings.all;
}

function written(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
