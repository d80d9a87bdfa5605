/**
 * The consumer group as others see it: who is in it, whether two call themselves the same, how far it is behind, and
 * whether a lane would halt, because the group's offsets and the checkpoint of a partition say different things.
 */
import type { GroupFacts } from '../adapters/kafka/inspection.ts';
import type { Checkpoint } from '../codec/checkpoint.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { GroupOffsets, TopicReader } from '../ports.ts';
import { lastCheckpoint } from '../restore.ts';
import { Findings } from './finding.ts';
import type { Finding } from './finding.ts';

/** A lane that halts stands still; one that settles has moved both by then. */
const secondLookMs = 1500;

export function judgeMembers(groupId: string, group: GroupFacts, partitions: number): Finding[] {
  const findings = new Findings('group');
  if (!group.mayRead) {
    findings.wrong(`Read on group ${groupId} is not allowed`, `kafka-acls.sh --bootstrap-server ... --add --allow-principal User:... --operation Read --group ${groupId}`);
    return findings.all;
  }
  const { members } = group;
  if (members.length === 0) {
    findings.warn(`no worker is in group ${groupId}: nothing settles at this moment`, 'start a worker');
    return findings.all;
  }
  const named = Map.groupBy(members, ({ clientId }) => clientId);
  const shared = [...named].filter(([, those]) => those.length > 1);
  for (const [clientId, those] of shared) {
    findings.wrong(`${those.length} members call themselves ${clientId} (${those.map(({ host }) => host).join(', ')}): they fence each other`, 'give each worker a WORKER_ID of its own');
  }
  const owned = members.reduce((sum, member) => sum + member.partitions.length, 0);
  if (owned < partitions) findings.warn(`${partitions - owned} partitions belong to nobody at this moment`, 'ask again: the group may be in the middle of a rebalance');
  const idle = members.filter((member) => member.partitions.length === 0).length;
  if (idle > 0 && owned === partitions) findings.ok(`${members.length} workers are in group ${groupId}; ${idle} stand by without a partition`);
  else if (shared.length === 0) findings.ok(`${members.length} worker${members.length === 1 ? ' is' : 's are'} in group ${groupId}`);
  return findings.all;
}

interface Standing {
  readonly inbound: number | null;
  readonly routed: number | null;
  readonly checkpoint: Checkpoint | null;
}

export interface ProgressPorts {
  readonly reader: TopicReader;
  readonly offsets: GroupOffsets;
  readonly topics: TopicNames;
  readonly partitions: number;
  readonly hasMembers: boolean;
  readonly sleep: (ms: number) => Promise<unknown>;
}

export async function examineProgress(ports: ProgressPorts): Promise<Finding[]> {
  const findings = new Findings('group');
  const { topics, partitions, reader } = ports;
  const standings = await readStandings(ports);
  let lag = 0;
  for (const [partition, standing] of standings.entries()) {
    for (const [topic, committed] of [[topics.inbound, standing.inbound], [topics.routed, standing.routed]] as const) {
      const { low, high } = await reader.watermarks(topic, partition);
      lag += Math.max(0, high - (committed ?? low));
    }
  }
  if (lag > 0 && !ports.hasMembers) findings.warn(`${lag} records wait and no worker is there`, 'start a worker');
  else findings.ok(`${lag} records wait`);

  let halted = standings.flatMap((standing, partition) => (contradicts(standing) ? [partition] : []));
  if (halted.length > 0) {
    await ports.sleep(secondLookMs);
    const again = await readStandings(ports);
    halted = halted.filter((partition) => contradicts(again[partition]!) && isSame(standings[partition]!, again[partition]!));
    for (const partition of halted) {
      const { inbound, routed, checkpoint } = again[partition]!;
      findings.wrong(
        `partition ${partition} is halted, or would be: the group stands at inbound ${inbound}, routed ${routed}, its checkpoint ${checkpoint === null ? 'is missing' : `at inbound ${checkpoint.inbound}, routed ${checkpoint.routed}`}`,
        'docs/operations.md, "A partition is halted"; settlefleet verify says more',
      );
    }
  }
  if (halted.length === 0) findings.ok(`committed offsets and checkpoints agree in all ${partitions} partitions`);
  const forgotten = standings.filter(({ inbound, checkpoint }) => inbound === null && checkpoint !== null).length;
  if (forgotten > 0) findings.warn(`the group has forgotten its offsets in ${forgotten} partitions (offsets.retention.minutes)`, 'nothing: workers go on from the checkpoints');
  return findings.all;
}

async function readStandings({ reader, offsets, topics, partitions }: ProgressPorts): Promise<Standing[]> {
  const standings: Standing[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    const checkpoint = await lastCheckpoint(reader, topics.checkpoints, partition);
    const [inbound = null, routed = null] = await offsets.committed([{ topic: topics.inbound, partition }, { topic: topics.routed, partition }]);
    standings.push({ inbound, routed, checkpoint });
  }
  return standings;
}

/** As `restore.ts` sees it: what was forgotten contradicts nothing. */
function contradicts({ inbound, routed, checkpoint }: Standing): boolean {
  if (checkpoint === null) return inbound !== null || routed !== null;
  return (inbound !== null && inbound !== checkpoint.inbound) || (routed !== null && routed !== checkpoint.routed);
}

function isSame(a: Standing, b: Standing): boolean {
  return a.inbound === b.inbound && a.routed === b.routed && a.checkpoint?.commit === b.checkpoint?.commit;
}
