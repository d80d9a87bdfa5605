/** The report as one HTML file: nothing is loaded from anywhere, and nothing runs in it. */
import { escapeText } from '../../scripts/dashboards/svg.ts';
import type { BenchRecord } from '../record.ts';
import { sectionOf } from './sections.ts';

export function reportPage(records: readonly BenchRecord[]): string {
  const [first] = records;
  const sections = records.map((record) => {
    const { title, about, charts } = sectionOf(record);
    const discarded = record.rounds.filter((round) => round.discarded.length > 0);
    const skipped = Object.entries(record.skipped).map(([name, reason]) => `${name} was skipped: ${reason}.`);
    const notes = [...skipped, ...(discarded.length > 0 ? [`${discarded.length} of ${record.rounds.length} rounds were discarded: ${[...new Set(discarded.flatMap((round) => round.discarded))].slice(0, 3).join('; ')}.`] : [])];
    return `<section id="${record.name}">
<h2>${escapeText(title)}</h2>
<p>${escapeText(about)}</p>
${charts.filter((chart) => chart !== '').join('\n')}
${notes.map((note) => `<p class="note">${escapeText(note)}</p>`).join('\n')}
<dl class="subjects">${Object.entries(record.subjects).map(([name, what]) => `<dt>${escapeText(name)}</dt><dd>${escapeText(what)}</dd>`).join('')}</dl>
<details><summary>The table, and how it was measured</summary>
<pre tabindex="0">${escapeText(record.summary.join('\n'))}</pre>
<p><code>${escapeText(record.command)}</code></p>
${facts([
  ['measured', `${record.startedAt.slice(0, 16).replace('T', ' ')} UTC, ${minutes(record)}`],
  ['commit', `${record.git.commit.slice(0, 12)}${record.git.hasChanges ? ', with changes' : ''}`],
  ['load before, after', `${loads(record.machine.loadBefore)}; ${loads(record.machine.loadAfter)}`],
  ['settings', JSON.stringify(record.settings)],
  ['versions', Object.entries(record.versions).map(([name, version]) => `${name} ${version}`).join(', ')],
])}
</details>
</section>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>settlefleet: measurements</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>settlefleet: measurements</h1>
${first === undefined ? '<p>Nothing has been measured yet.</p>' : `<p>${escapeText(`${first.machine.cores} × ${first.machine.cpu}, ${Math.round(first.machine.memoryBytes / 2 ** 30)} GiB, ${first.machine.system}; everything on one machine, brokers included. Absolute figures move with the machine; compare within one chart.`)}</p>`}
<nav>${records.map((record) => `<a href="#${record.name}">${escapeText(sectionOf(record).title)}</a>`).join('')}</nav>
</header>
<main>
${sections.join('\n')}
</main>
</body>
</html>
`;
}

function facts(rows: readonly (readonly [string, string])[]): string {
  return `<dl>${rows.map(([name, value]) => `<dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd>`).join('')}</dl>`;
}

function minutes({ startedAt, endedAt }: BenchRecord): string {
  const seconds = (Date.parse(endedAt) - Date.parse(startedAt)) / 1000;
  return seconds < 90 ? `${Math.round(seconds)} s` : `${(seconds / 60).toFixed(0)} minutes`;
}

function loads(values: readonly number[]): string {
  return values.map((value) => value.toFixed(1)).join(' ');
}

/** Light and dark differ in these colours alone. */
const light = {
  paper: '#ffffff', card: '#f6f7f9', text: '#1c2128', faint: '#57606a', rule: '#d8dee4',
  c0: '#2f6db3', c1: '#d1495b', c2: '#8a6d00', c3: '#2a8c6a', c4: '#7a4fb5', c5: '#b5548f', c6: '#3d8fa8', c7: '#7d858f', inside: '#ffffff',
};
const dark: typeof light = {
  paper: '#14181d', card: '#1c2229', text: '#e6e9ed', faint: '#9aa5b1', rule: '#333c46',
  c0: '#6ea8ea', c1: '#f28594', c2: '#d9bd4b', c3: '#62c79f', c4: '#b394ea', c5: '#e597c4', c6: '#74c5da', c7: '#98a2ad', inside: '#14181d',
};

function variables(colours: typeof light): string {
  return Object.entries(colours).map(([name, colour]) => `--${name}:${colour}`).join(';');
}

const style = `
:root{${variables(light)};color-scheme:light}
@media (prefers-color-scheme:dark){:root{${variables(dark)};color-scheme:dark}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main{max-width:860px;margin:0 auto;padding:0 20px}
header{padding-top:32px}
h1{font-size:28px;line-height:1.2;margin:0 0 8px}
h2{font-size:21px;margin:0 0 4px}
p{margin:0 0 12px;max-width:70ch}
header p,.note{color:var(--faint)}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin:16px 0 0;padding-bottom:16px;border-bottom:1px solid var(--rule)}
a{color:var(--c0)}
section{margin:36px 0 56px}
figure{margin:18px 0 0;padding:14px 16px 10px;background:var(--card);border:1px solid var(--rule);border-radius:8px}
figcaption{display:flex;flex-wrap:wrap;gap:2px 12px;align-items:baseline;margin-bottom:8px}
figcaption span{color:var(--faint);font-size:14px}
svg{display:block;width:100%;height:auto;font-size:12.5px}
.note{margin-top:12px}
svg text{fill:var(--text)}
.small{font-size:11.5px}
svg .small{fill:var(--faint)}
.number{font-weight:600}
.ink{stroke:var(--text);fill:none}
.thin{stroke-width:1.2}
.dot{fill:var(--paper);stroke:var(--text);stroke-width:1.2}
.grid{stroke:var(--rule);fill:none;stroke-width:1}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}
.dashed{stroke-dasharray:5 4}
${Object.keys(light).filter((name) => /^c\d$/.test(name)).map((name) => `.fill.${name}{fill:var(--${name})}.line.${name}{stroke:var(--${name})}svg .name.${name}{fill:var(--${name});font-weight:600}`).join('\n')}
svg .inside{fill:var(--inside);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:12px 0;font-size:14px}
dt{color:var(--faint)}
dd{margin:0;overflow-wrap:anywhere}
details{margin-top:8px;font-size:14px}
summary{cursor:pointer;color:var(--faint)}
pre{overflow-x:auto;padding:10px 12px;background:var(--card);border:1px solid var(--rule);border-radius:6px;font-size:12.5px;line-height:1.45}
@media (max-width:560px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}}
`;
