import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, MONITOR_POLICY, SNAPSHOTS } from '../support/gateway.ts';
import { scratchFolder } from '../support/postgres.ts';
import { clientProgram, connectionArguments, DATABASE, output, Pair, SERVERS } from './support.ts';

const PIPELINE = String.raw`
\set aid random(1, 100000)
\set delta random(-5000, 5000)
\startpipeline
begin;
update pgbench_accounts set abalance = abalance + :delta where aid = :aid;
select abalance from pgbench_accounts where aid = :aid;
insert into pgbench_history (tid, bid, aid, delta, mtime) values (1, 1, :aid, :delta, current_timestamp);
end;
\endpipeline
\startpipeline
select 1;
select :aid + 1;
\endpipeline
`;

/** With snapshots eight clients take turns at one row, and each keeps it for three captures. */
const POLICIES = [
  ['monitor mode', MONITOR_POLICY, {}, 100],
  ['the default policy', DEFAULT_POLICY, SNAPSHOTS, 10],
] as const;

describe.each(SERVERS)('pgbench with $name', (server) => {
  describe.each(POLICIES)('and %s', (_name, policy, environment, transactions) => {
    let pair: Pair;
    let folder: string;
    let pipelineScript: string;

    beforeAll(async () => {
      folder = await scratchFolder('pgbench');
      pipelineScript = join(folder, 'pipeline.sql');
      writeFileSync(pipelineScript, PIPELINE);
      pair = await Pair.start(server, policy, environment);
      await pair.freshDatabase();
      const initialize = ['--initialize', '--quiet', ...connectionArguments(pair.postgres.port), DATABASE];
      await output(clientProgram('pgbench'), initialize);
    });
    afterAll(async () => {
      await pair?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    async function bench(clients: number, transactions: number, ...options: string[]): Promise<void> {
      const load = ['--no-vacuum', `--client=${clients}`, '--jobs=2', `--transactions=${transactions}`];
      const all = [...load, ...options, ...connectionArguments(pair.gateway.port), DATABASE];
      const said = await output(clientProgram('pgbench'), all);
      const done = clients * transactions;
      expect(said).toContain(`number of transactions actually processed: ${done}/${done}`);
      expect(said).toMatch(/number of failed transactions: 0 \(/);
      pair.gateway.assertAlive();
    }

    it.each(['simple', 'extended', 'prepared'])('runs TPC-B and reads, %s', async (protocol) => {
      await bench(8, transactions, `--protocol=${protocol}`, '--builtin=tpcb-like');
      await bench(8, 300, `--protocol=${protocol}`, '--builtin=select-only');
    });

    it.each(['extended', 'prepared'])('runs pipelines, %s', async (protocol) => {
      await bench(8, transactions, `--protocol=${protocol}`, `--file=${pipelineScript}`);
    });

    it('connects for every transaction', async () => {
      await bench(4, 50, '--connect', '--builtin=select-only');
    });
  });
});
