/** From a dashboard in a few words (definitions.ts) to Grafana's own JSON. */

export type Kind = 'stat' | 'lines' | 'stacked' | 'states';

export interface PanelSpec {
  readonly kind: Kind;
  /** A question that somebody would ask at night. */
  readonly title: string;
  /** What is shown, for whoever wonders. */
  readonly about: string;
  /** Grafana's name for it. */
  readonly unit: 'none' | 's' | 'ops' | 'percentunit' | 'bytes' | 'short' | 'reqps';
  readonly queries: readonly (readonly [expression: string, legend: string])[];
  /** Stat: good below or from this value on. */
  readonly good?: { readonly below: number } | { readonly from: number };
  readonly words?: Readonly<Record<string, string>>;
  /** Of the 24 columns; equal shares when left out. */
  readonly width?: number;
}

export interface RowSpec {
  readonly name: string;
  readonly height?: number;
  readonly panels: readonly PanelSpec[];
}

export interface DashboardSpec {
  /** Also the name of its file. */
  readonly uid: string;
  readonly title: string;
  readonly about: string;
  readonly rows: readonly RowSpec[];
}

const columns = 24;
const heightDefault = 8;
const datasource = { type: 'prometheus', uid: '${datasource}' };

export function renderDashboard({ uid, title, about, rows }: DashboardSpec): string {
  const panels: object[] = [];
  let id = 0;
  let y = 0;
  for (const { name, height = heightDefault, panels: specs } of rows) {
    panels.push({ id: ++id, type: 'row', title: name, collapsed: false, gridPos: { x: 0, y, w: columns, h: 1 }, panels: [] });
    y += 1;
    let x = 0;
    for (const spec of specs) {
      const w = spec.width ?? Math.floor(columns / specs.length);
      panels.push(renderPanel(spec, ++id, { x, y, w, h: height }));
      x += w;
    }
    y += height;
  }
  const dashboard = {
    uid,
    title,
    description: about,
    tags: ['settlefleet'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '5s',
    time: { from: 'now-15m', to: 'now' },
    timezone: 'browser',
    annotations: { list: [] },
    links: [{ type: 'dashboards', title: 'settlefleet', tags: ['settlefleet'], asDropdown: false, includeVars: false, keepTime: true, icon: 'external link' }],
    templating: { list: [{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: { text: 'Prometheus', value: 'prometheus' }, hide: 0 }] },
    panels,
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

function renderPanel(spec: PanelSpec, id: number, gridPos: object): object {
  const { kind, title, about, unit, queries } = spec;
  const type = kind === 'stat' ? 'stat' : kind === 'states' ? 'state-timeline' : 'timeseries';
  return {
    id,
    type,
    title,
    description: about,
    datasource,
    gridPos,
    targets: queries.map(([expr, legendFormat], index) => ({
      datasource,
      editorMode: 'code',
      expr,
      legendFormat,
      range: true,
      refId: String.fromCharCode(65 + index),
    })),
    fieldConfig: { defaults: fieldsOf(spec, unit), overrides: [] },
    options: optionsOf(kind),
  };
}

function fieldsOf({ kind, good, words }: PanelSpec, unit: string): object {
  const mappings = words === undefined ? [] : [{ type: 'value', options: Object.fromEntries(Object.entries(words).map(([value, text], index) => [value, { text, index }])) }];
  const steps = good === undefined
    ? [{ color: 'blue', value: null }]
    : 'below' in good
      ? [{ color: 'green', value: null }, { color: 'red', value: good.below }]
      : [{ color: 'red', value: null }, { color: 'green', value: good.from }];
  if (kind === 'stat' || kind === 'states') {
    return { unit, mappings, color: { mode: 'thresholds' }, thresholds: { mode: 'absolute', steps } };
  }
  return {
    unit,
    min: 0,
    color: { mode: 'palette-classic' },
    custom: {
      drawStyle: 'line',
      lineWidth: 1,
      fillOpacity: kind === 'stacked' ? 60 : 0,
      showPoints: 'never',
      spanNulls: false,
      stacking: { mode: kind === 'stacked' ? 'normal' : 'none', group: 'A' },
    },
  };
}

function optionsOf(kind: Kind): object {
  switch (kind) {
    case 'stat':
      return {
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
        colorMode: 'background',
        graphMode: 'none',
        textMode: 'auto',
        orientation: 'auto',
        justifyMode: 'auto',
      };
    case 'states':
      return { showValue: 'never', rowHeight: 0.9, mergeValues: true, legend: { displayMode: 'list', placement: 'bottom', showLegend: true } };
    case 'lines':
    case 'stacked':
      return {
        legend: { displayMode: 'table', placement: 'right', showLegend: true, calcs: ['lastNotNull', 'max'] },
        tooltip: { mode: 'multi', sort: 'desc', hideZeros: true },
      };
  }
}
