import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGateway, type TestGateway, TOKEN } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import {
  clientProgram,
  connectionArguments,
  DATABASE,
  output,
  pythonFile,
  pythonProgram,
  run,
  SERVERS,
} from './support.ts';

const POLICY = `
mode: protect
hold: { notice_every: 1s }
rules:
  - { name: agents ask, match: { application: [agent], operation: [delete, copy from] }, action: hold, hold: { mode: ticket } }
  - { name: people wait, match: { application: [psql], operation: [delete] }, action: hold }
  - { name: the rest, action: allow }
`;

describe.each(SERVERS)('approvals with $name', (server) => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres({ version: server.version, source: server.source });
    await postgres.sql(`create database ${DATABASE}`);
    await postgres.sql('create role robot login superuser');
    gateway = await startGateway({ upstreamPort: postgres.port, policy: POLICY });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it('psycopg comes again with its ticket, and runs what was approved once', async () => {
    const said = await output(pythonProgram('python'), [
      pythonFile('agent.py'),
      String(gateway.port),
      DATABASE,
      TOKEN,
    ]);
    expect(said.trim().split('\n')).toEqual([
      'in a transaction 1 left 91',
      'again HF001',
      'by itself 1 left 90',
      'again HF001',
      'prepared 1 left 89',
      'another value HF001',
      'another literal HF001',
      'of several 1 left 87',
      'in a pipeline 1 left 87',
      'copied, left 88',
      'another role HF001',
      'another role HF001',
    ]);
  });

  it('psql waits, is told so now and then, and goes on', async () => {
    const args = [...connectionArguments(gateway.port), '-X', '-d', DATABASE];
    const waiting = run(clientProgram('psql'), args, {
      input:
        'create table held (id int);\ninsert into held values (1);\ndelete from held;\nselect count(*) from held;\n',
    });
    let id: string | undefined;
    while (id === undefined) {
      const { body } = await gateway.http('/v1/approvals?state=pending');
      id = (body as { items: { id: string; mode: string; statement: string }[] }).items.find(
        ({ mode, statement }) => mode === 'live' && statement.includes('held'),
      )?.id;
      await new Promise((resolve) => setTimeout(resolve, 1200));
    }
    await gateway.http(`/v1/approvals/${id}/approve`, { method: 'POST', body: {} });
    const { code, stdout, stderr } = await waiting;
    expect(code).toBe(0);
    expect(stdout).toContain('DELETE 1');
    expect(
      stderr.match(new RegExp(`NOTICE:  statement held for approval\\nDETAIL:  Approval ${id}`, 'g'))!.length,
    ).toBeGreaterThan(1);
  });
});
