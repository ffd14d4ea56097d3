import { execFile, spawn } from 'node:child_process';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { alerts, panels, RULES } from '../monitoring/queries.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { reapAtExit } from '../support/reap.ts';

const run = promisify(execFile);

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data: {
    readonly result: readonly unknown[];
    readonly groups: readonly { rules: readonly Rule[] }[];
  };
}

interface Rule {
  readonly name: string;
  readonly health: string;
  readonly lastError?: string;
}

describe('Prometheus', () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  let folder: string;
  let url: string;
  let stop: () => Promise<void>;

  beforeAll(async () => {
    postgres = await startPostgres();
    gateway = await startGateway({ upstreamPort: postgres.port, policy: 'mode: protect\n' });
    const client = new pg.Client({ host: '127.0.0.1', port: gateway.port, user: 'postgres' });
    await client.connect();
    await client.query('create table t (a int)');
    await client.query('alter system set work_mem = 64').catch(() => {});
    folder = await scratchFolder('prometheus');
    cpSync(RULES, join(folder, 'prometheus-alerts.yaml'));
    writeFileSync(join(folder, 'token'), gateway.token);
    writeFileSync(
      join(folder, 'prometheus.yml'),
      `global: { scrape_interval: 1s, evaluation_interval: 1s }
scrape_configs:
  - job_name: holdfast
    authorization: { credentials_file: ${join(folder, 'token')} }
    static_configs: [{ targets: ["127.0.0.1:${gateway.adminPort}"] }]
rule_files: [prometheus-alerts.yaml]
`,
    );
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const server = spawn(
      'prometheus',
      [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    );
    reapAtExit(server, 'SIGKILL');
    stop = async () => {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGTERM');
      await ended;
    };
    // A rate needs two samples.
    const deadline = performance.now() + 60_000;
    while ((await asked('count_over_time(holdfast_sessions_open[1m]) >= 3')).length === 0) {
      if (performance.now() > deadline) throw new Error('Prometheus has scraped nothing');
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    await client.query('insert into t values (1)');
    await client.end();
  });
  afterAll(async () => {
    await stop?.();
    await gateway?.stop();
    await postgres?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  async function get(path: string): Promise<Answer> {
    const response = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(10_000) });
    return (await response.json()) as Answer;
  }

  async function asked(query: string): Promise<readonly unknown[]> {
    const answer = await get(`/api/v1/query?query=${encodeURIComponent(query)}`).catch(() => null);
    if (answer?.status === 'error') throw new Error(`${answer.error}: ${query}`);
    return answer?.data.result ?? [];
  }

  it('finds no fault with the rules, with their cases, or with what the gateway shows', async () => {
    await run('promtool', ['check', 'rules', RULES]);
    await run('promtool', ['check', 'config', join(folder, 'prometheus.yml')]);
    await run('promtool', ['test', 'rules', 'test/monitoring/alerts.promtool.yaml']);
    const { text } = await gateway.http('/metrics');
    const checked = run('promtool', ['check', 'metrics']);
    checked.child.stdin!.end(text);
    // What it finds is printed; that of Node's own metrics is not ours to mend.
    const { stdout, stderr } = await checked.catch((error: { stdout: string; stderr: string }) => error);
    const found = `${stdout}\n${stderr}`.split('\n').filter((line) => line.startsWith('holdfast_'));
    expect(found).toEqual([]);
  });

  it('evaluates every rule over the gateway’s real metrics', async () => {
    const { data } = await get('/api/v1/rules');
    const rules = data.groups.flatMap((group) => group.rules);
    expect(rules.map(({ name }) => name).sort()).toEqual(
      alerts()
        .map(({ name }) => name)
        .sort(),
    );
    await expect
      .poll(
        async () => {
          const { data: now } = await get('/api/v1/rules');
          return now.groups.flatMap((group) => group.rules).filter(({ health }) => health !== 'ok');
        },
        { timeout: 20_000 },
      )
      .toEqual([]);
  });

  it('answers every query of the dashboard, and all with data that always have some', async () => {
    const empty: string[] = [];
    for (const { name, expr } of panels()) {
      if ((await asked(expr)).length === 0 && !expr.endsWith('> 0')) empty.push(`${name}: ${expr}`);
    }
    expect(empty).toEqual([]);
  });
});
