/** Writes grafana/dashboards/ anew from what stands in definitions.ts: `node scripts/dashboards/main.ts`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dashboards } from './definitions.ts';
import { renderDashboard } from './grafana.ts';

const folder = join(import.meta.dirname, '../../grafana/dashboards');
for (const dashboard of dashboards) writeFileSync(join(folder, `${dashboard.uid}.json`), renderDashboard(dashboard));
