/** The alert rules, by Prometheus' own tools: that they parse, and that each fires when it should and not beside it. */
import { expect, it } from 'vitest';

import { promtool } from './promtool.ts';

it('are accepted by Prometheus', () => {
  expect(promtool(['check', 'rules', 'grafana/rules/settlefleet.yml'])).toEqual({
    status: 0,
    said: expect.stringContaining('SUCCESS') as unknown,
  });
});

it('fire when they should, and are quiet beside a fleet that keeps up or has no work', () => {
  const { status, said } = promtool(['test', 'rules', 'test/dashboards/rules.promtool.yml']);
  expect(status, said).toBe(0);
});
