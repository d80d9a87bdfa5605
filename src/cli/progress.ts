/** How far a long command is, on one line of a terminal that is written over; nothing where standard error is no terminal. */
const progressMs = 500;

export interface Progress {
  show(text: string): void;
  clear(): void;
}

export function createProgress(): Progress {
  if (!process.stderr.isTTY) return { show() {}, clear() {} };
  let shownAt = 0;
  let width = 0;
  return {
    show(text) {
      if (Date.now() - shownAt < progressMs) return;
      shownAt = Date.now();
      process.stderr.write(`\r${text.padEnd(width)}`);
      width = text.length;
    },
    clear() {
      if (width > 0) process.stderr.write(`\r${' '.repeat(width)}\r`);
    },
  };
}
