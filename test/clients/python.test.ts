import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY } from '../support/gateway.ts';
import { DATABASE, output, Pair, pythonFile, pythonProgram, SERVERS } from './support.ts';

const script =
  (name: string) =>
  async (port: number): Promise<string> =>
    await output(pythonProgram('python'), [pythonFile(name), String(port), DATABASE]);

describe.each(SERVERS)("Python's drivers with $name", (server) => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start(server);
  });
  afterAll(async () => await pair?.stop());

  it('psycopg 3 sees no difference', async () => {
    const said = await pair.same(script('psycopg_session.py'));
    expect(said).toContain("alive ('yes',)");
  });

  it('asyncpg sees no difference', async () => {
    const said = await pair.same(script('asyncpg_session.py'));
    expect(said).toContain('pool 9900');
  });

  it('SQLAlchemy sees no difference', async () => {
    const said = await pair.same(script('sqlalchemy_session.py'));
    expect(said).toContain('in the savepoint UniqueViolation');
  });

  it('Alembic migrates up and down', async () => {
    const stages = await pair.same(async (port) => {
      const url = `postgresql+psycopg://postgres@127.0.0.1:${port}/${DATABASE}`;
      const stages: unknown[] = [];
      for (const step of [
        ['upgrade', 'head'],
        ['downgrade', 'base'],
      ]) {
        await output(pythonProgram('alembic'), [
          '-c',
          pythonFile('alembic.ini'),
          '-x',
          `url=${url}`,
          ...step,
        ]);
        stages.push(
          await pair.postgres.sql(
            `select table_name, column_name, data_type, is_nullable, column_default
               from information_schema.columns where table_schema = 'public' order by 1, 2`,
            DATABASE,
          ),
          await pair.postgres.sql('select version_num from alembic_version', DATABASE),
        );
      }
      return stages;
    });
    expect(stages.filter((_, i) => i % 2 === 1)).toEqual([[['0002']], []]);
  });
});

describe.each(SERVERS)("Python's drivers with the default policy and $name", (server) => {
  it('work unhindered where nothing is destroyed', async () => {
    const pair = await Pair.start(server, DEFAULT_POLICY);
    try {
      const said = await pair.same(script('smoke.py'));
      expect(said).toBe("psycopg (1, 'uno')\nasyncpg 20\nSQLAlchemy 118\n");
    } finally {
      await pair.stop();
    }
  });
});

const WHAT_CHANGES = `
mode: protect
rules:
  - name: what changes
    match: { operation: [insert, update, delete, merge, truncate] }
    action: snapshot
    snapshot: best_effort
  - { name: the rest, action: allow }
`;

describe.each(SERVERS)("Python's drivers with snapshots of whatever they change and $name", (server) => {
  it.each(['psycopg_session.py', 'asyncpg_session.py', 'sqlalchemy_session.py'])(
    'see no difference in %s',
    async (name) => {
      const pair = await Pair.start(server, WHAT_CHANGES, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' });
      try {
        await pair.same(script(name));
      } finally {
        await pair.stop();
      }
    },
  );
});
