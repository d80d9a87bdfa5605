/** Small things that a drawing needs: colours, numbers for people, a round top of an axis. */

/** Told apart by those who see few colours, too. Source: Paul Tol's "bright" and "muted", without the palest. */
const colours = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377', '#332288', '#999933', '#882255', '#44aa99', '#cc6677', '#777777'];

export function colourOf(index: number): string {
  return colours[index % colours.length]!;
}

export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** The next of 1, 2, 2.5, 4, 5, 8 times a power of ten. */
export function niceCeiling(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 2.5, 4, 5, 8, 10].find((step) => value <= step * power * (1 + 1e-9)) ?? 10);
}

/** By Grafana's names of units. */
export function formatValue(value: number, unit: string): string {
  if (!Number.isFinite(value)) return 'no data';
  switch (unit) {
    case 's':
      return value === 0 ? '0 s' : value < 0.001 ? `${digits(value * 1e6)} µs` : value < 1 ? `${digits(value * 1000)} ms` : value < 120 ? `${digits(value)} s` : `${digits(value / 60)} min`;
    case 'percentunit':
      return `${digits(value * 100)} %`;
    case 'bytes':
      return value < 1024 ? `${digits(value)} B` : value < 1 << 20 ? `${digits(value / 1024)} KiB` : `${digits(value / (1 << 20))} MiB`;
    case 'ops':
      return `${short(value)}/s`;
    default:
      return short(value);
  }
}

/** `3:05`. */
export function formatSeconds(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, '0')}`;
}

function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${digits(value / 1e6)} M`;
  return size >= 10_000 ? `${digits(value / 1000)} k` : digits(value);
}

function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}
