/** How far a long command is, on one line of a terminal that is written over; nothing where standard error is no terminal. */
const erasedLine = '\r\u001b[2K';

export interface Progress {
  show(text: string): void;
  clear(): void;
}

/** `everyMs`: what is shown sooner after what was shown before is left out. */
export function createProgress({ everyMs = 500 }: { everyMs?: number } = {}): Progress {
  if (!process.stderr.isTTY) return { show() {}, clear() {} };
  let shownAt = 0;
  return {
    show(text) {
      if (Date.now() - shownAt < everyMs) return;
      shownAt = Date.now();
      process.stderr.write(`${erasedLine}${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
    },
    clear() {
      if (shownAt > 0) process.stderr.write(erasedLine);
    },
  };
}
