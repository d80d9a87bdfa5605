// The helper that other tests lean on keeps its word: what it starts answers, dies when told, and leaves nothing.
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { kafkaAnswers, redisAnswers } from '../../scripts/dev/stack/conditions.ts';
import { portIsFree } from '../../scripts/dev/stack/ports.ts';
import { stackEnvironment, startKafka, startRedis } from '../stack.ts';

function tell(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.setTimeout(2_000, () => { socket.destroy(new Error('no answer within 2 s')); });
    socket.once('error', reject);
    socket.once('data', (answer) => {
      socket.destroy();
      resolve(answer.toString('latin1').trim());
    });
    socket.write(`${command}\r\n`);
  });
}

describe('the stack of the tests', () => {
  it('answers at the addresses in the environment', async () => {
    const { kafkaBrokers, redisUrl, schemaRegistryUrl, prometheusUrl } = stackEnvironment();
    expect(await kafkaAnswers(Number(kafkaBrokers.split(':')[1]))).toBe(true);
    expect(await redisAnswers(Number(new URL(redisUrl).port))).toBe(true);
    expect((await fetch(`${schemaRegistryUrl}/subjects`)).status).toBe(200);
    expect((await fetch(`${prometheusUrl}/-/ready`)).status).toBe(200);
  });

  it('gives a test a Redis that comes back empty on the same port after a kill', async () => {
    const redis = await startRedis();
    try {
      expect(await tell(redis.port, 'SET claim held')).toBe('+OK');
      await redis.kill();
      expect(await redisAnswers(redis.port)).toBe(false);
      await redis.start();
      expect(await tell(redis.port, 'EXISTS claim')).toBe(':0');
    } finally {
      await redis.remove();
    }
    expect(await portIsFree(redis.port)).toBe(true);
  });

  it('gives a test a Kafka node that answers again on the same port after a kill', { timeout: 120_000 }, async () => {
    const kafka = await startKafka();
    try {
      await kafka.kill();
      expect(await kafkaAnswers(kafka.port)).toBe(false);
      await kafka.start();
      expect(await kafkaAnswers(kafka.port)).toBe(true);
    } finally {
      await kafka.remove();
    }
    expect(await portIsFree(kafka.port)).toBe(true);
  });
});
