/**
 * Reads and sets the settings of topics that exist, and reads those of brokers: the Node client's admin API has neither
 * DescribeConfigs nor AlterConfigs (1.10). May go when it has.
 *
 * Source: kafka.apache.org/protocol, DescribeConfigs (key 32) version 1 and IncrementalAlterConfigs (key 44) version 0,
 * the oldest that Kafka 4 still speaks.
 */
import { OutageError } from '../../errors.ts';
import { request, Writer } from './protocol.ts';

const describeConfigs = { key: 32, version: 1 };
const incrementalAlterConfigs = { key: 44, version: 0 };
const topicResource = 2;
const brokerResource = 4;
const setOperation = 0;

/** Where an operator may be more generous than the fleet needs. */
const floors = new Set(['retention.ms', 'max.message.bytes', 'min.compaction.lag.ms']);

/**
 * Sets what differs from `wanted`; gives `name=value (was value)` for each change. Other settings stay as they are, and
 * so does a longer retention or a larger size.
 */
export async function alignTopicSettings(
  brokers: string,
  topic: string,
  wanted: Readonly<Record<string, string>>,
): Promise<string[]> {
  const names = Object.keys(wanted);
  const current = await readTopicSettings(brokers, topic, names);
  const wrong = names.filter((name) => !suffices(name, current.get(name), wanted[name]!));
  if (wrong.length === 0) return [];

  const body = new Writer().int32(1).int8(topicResource).string(topic).int32(wrong.length);
  for (const name of wrong) body.string(name).int8(setOperation).string(wanted[name]!);
  body.int8(0);
  const answer = await request(brokers, incrementalAlterConfigs, body);
  answer.int32();
  for (let left = answer.int32(); left > 0; left--) {
    const code = answer.int16();
    const message = answer.string();
    answer.int8();
    answer.string();
    if (code !== 0) throw new OutageError('kafka', `Kafka refuses to set ${wrong.join(', ')} of ${topic}: error ${code}, ${message}.`);
  }
  return wrong.map((name) => `${name}=${wanted[name]} (was ${current.get(name) ?? 'unknown'})`);
}

function suffices(name: string, current: string | null | undefined, wanted: string): boolean {
  if (current === wanted) return true;
  if (!floors.has(name) || wanted === '-1') return false;
  return current === '-1' || Number(current) >= Number(wanted);
}

/** The settings of a topic with these names, defaults included. */
export function readTopicSettings(brokers: string, topic: string, names: readonly string[]): Promise<Map<string, string | null>> {
  return readSettings(brokers, topicResource, topic, names);
}

/** The settings of a broker; only itself knows them, so it is asked at its own address. */
export function readBrokerSettings(address: string, brokerId: number, names: readonly string[]): Promise<Map<string, string | null>> {
  return readSettings(address, brokerResource, String(brokerId), names);
}

async function readSettings(
  brokers: string,
  resource: number,
  resourceName: string,
  names: readonly string[],
): Promise<Map<string, string | null>> {
  const body = new Writer().int32(1).int8(resource).string(resourceName).int32(names.length);
  for (const name of names) body.string(name);
  body.int8(0);
  const answer = await request(brokers, describeConfigs, body);
  const settings = new Map<string, string | null>();
  answer.int32();
  for (let resources = answer.int32(); resources > 0; resources--) {
    const code = answer.int16();
    const message = answer.string();
    answer.int8();
    answer.string();
    if (code !== 0) throw new OutageError('kafka', `Kafka does not tell the settings of ${resource === brokerResource ? 'broker ' : ''}${resourceName}: error ${code}, ${message}.`);
    for (let entries = answer.int32(); entries > 0; entries--) {
      settings.set(answer.string() ?? '', answer.string());
      answer.int8();
      answer.int8();
      answer.int8();
      for (let synonyms = answer.int32(); synonyms > 0; synonyms--) {
        answer.string();
        answer.string();
        answer.int8();
      }
    }
  }
  return settings;
}
