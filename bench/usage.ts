/** CPU time and memory of processes, from Linux's /proc. */
import { readFileSync } from 'node:fs';

/** Linux counts CPU time in hundredths of a second, whatever the kernel's own tick is (USER_HZ). */
const tickSeconds = 0.01;

/** User and system time of all threads, in seconds; 0 for a process that is gone. */
export function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold anything; fields are counted from behind it. utime and stime are the 14th and 15th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * tickSeconds;
  } catch {
    return 0;
  }
}

/** The memory that a process holds now (VmRSS), in MB. */
export function memoryMegabytes(pid: number): number {
  return fromStatus(pid, 'VmRSS');
}

/** The most that it has held so far (VmHWM), in MB. */
export function memoryPeakMegabytes(pid: number): number {
  return fromStatus(pid, 'VmHWM');
}

function fromStatus(pid: number, name: string): number {
  try {
    const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Math.round((Number(kibibytes) * 1024) / 1e6);
  } catch {
    return 0;
  }
}
