import { appendFileSync, closeSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';
import { SmallDisk } from '../support/small-disk.ts';

describe('a gateway whose log nobody can write', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => await postgres?.stop());

  /** Each reload is a line of the log, and each that fails another one. */
  async function reloads(gateway: TestGateway, times: number): Promise<void> {
    for (let i = 0; i < times; i++)
      expect((await gateway.http('/v1/policy/reload', { method: 'POST' })).status).toBe(200);
  }

  async function withLog(path: string, work: (gateway: TestGateway) => Promise<void>): Promise<void> {
    const output = openSync(path, 'a');
    const gateway = await startGateway({ upstreamPort: postgres.port, output });
    closeSync(output);
    try {
      await work(gateway);
      expect(await gateway.terminate()).toBe(0);
    } finally {
      await gateway.stop();
    }
  }

  it('starts, serves, and stops', async () => {
    await withLog('/dev/full', async (gateway) => {
      const client = await RawClient.open(gateway.port);
      await reloads(gateway, 3);
      expect(await client.rows('SELECT 1')).toEqual([['1']]);
      client.destroy();
    });
  });

  it('keeps nobody waiting for a reader that has stopped to read, and goes on with it', async () => {
    const gateway = await startGateway({ upstreamPort: postgres.port });
    try {
      const { stderr } = gateway.child;
      stderr!.pause();
      const client = await RawClient.open(gateway.port);
      // A line of some 20 KB, several times what a pipe and whoever reads it have room for.
      const wrong = Array.from({ length: 200 }, (_, i) => `  - { name: r${i}, action: wrong }`).join('\n');
      writeFileSync(gateway.policyPath, `rules:\n${wrong}\n`);
      for (let i = 0; i < 15; i++) {
        gateway.child.kill('SIGHUP');
        expect(await client.rows('SELECT pg_sleep(0.05)')).toHaveLength(1);
      }
      writeFileSync(gateway.policyPath, 'mode: monitor\n');
      await reloads(gateway, 1);
      expect(gateway.log()).not.toContain('policy reloaded');
      stderr!.resume();
      await eventually('the log', async () => (gateway.log().includes('policy reloaded') ? null : 'not yet'));
      client.destroy();
      expect(await gateway.terminate()).toBe(0);
    } finally {
      await gateway.stop();
    }
  });

  it('has its log again when there is room', async ({ skip }) => {
    const folder = await scratchFolder('log');
    const disk = SmallDisk.mount(join(folder, 'disk'), 1);
    if (disk === null) return skip();
    const log = join(disk.path, 'log');
    try {
      await withLog(log, async (gateway) => {
        // A page that is begun has room yet.
        appendFileSync(log, `${' '.repeat(4095 - (statSync(log).size % 4096))}\n`);
        disk.fill();
        const client = await RawClient.open(gateway.port);
        writeFileSync(gateway.policyPath, 'mode: wrong\n');
        gateway.child.kill('SIGHUP');
        await eventually('the policy', async () => {
          const { status } = await gateway.http('/v1/policy/reload', { method: 'POST' });
          return status === 422 ? null : `answered ${status}`;
        });
        expect(await client.rows('SELECT 1')).toEqual([['1']]);
        client.destroy();
        expect(readFileSync(log, 'utf8')).not.toContain('not reloaded');
        disk.empty();
        writeFileSync(gateway.policyPath, 'mode: monitor\n');
        await reloads(gateway, 1);
        expect(readFileSync(log, 'utf8')).toMatch(/policy not reloaded.*policy reloaded/s);
      });
    } finally {
      disk.unmount();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
