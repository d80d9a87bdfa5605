/** Whether the registry has our two schemas, and lets none be registered that would stop readers. */
import type { RegistryFacts } from '../adapters/registry/inspection.ts';
import { Findings } from './finding.ts';
import type { Finding } from './finding.ts';

export function judgeRegistry({ subjects }: Pick<RegistryFacts, 'subjects'>): Finding[] {
  const findings = new Findings('registry');
  for (const { subject, exists, hasOurSchema, compatibility } of subjects) {
    if (!exists) {
      findings.wrong(`subject ${subject} has no schema`, 'settlefleet schemas register');
      continue;
    }
    if (!hasOurSchema) findings.wrong(`subject ${subject} does not have the schema of this version of settlefleet`, 'settlefleet schemas register');
    else if (compatibility === null) findings.unknown(`subject ${subject} has our schema; the registry does not say which compatibility is in force`);
    else if (!/^(BACKWARD|FULL)/.test(compatibility)) {
      findings.warn(`subject ${subject} has compatibility ${compatibility}: somebody may register a schema that we cannot read`, 'settlefleet schemas register, which sets BACKWARD');
    } else findings.ok(`subject ${subject} has our schema, compatibility ${compatibility}`);
  }
  return findings.all;
}
