import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, SNAPSHOTS } from '../support/gateway.ts';
import { DATABASE, output, Pair, pythonFile, pythonProgram, SERVERS } from './support.ts';

const script =
  (name: string) =>
  async (port: number): Promise<string> =>
    await output(pythonProgram('python'), [pythonFile(name), String(port), DATABASE]);

function alembic(port: number, ...step: readonly string[]): string[] {
  const url = `postgresql+psycopg://postgres@127.0.0.1:${port}/${DATABASE}`;
  return ['-c', pythonFile('alembic.ini'), '-x', `url=${url}`, ...step];
}

const columns = async ({ postgres }: Pair) =>
  await postgres.sql(
    `select table_name, column_name, data_type, is_nullable, column_default
       from information_schema.columns where table_schema = 'public' order by 1, 2`,
    DATABASE,
  );

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
      const stages: unknown[] = [];
      for (const step of [
        ['upgrade', 'head'],
        ['downgrade', 'base'],
      ]) {
        await output(pythonProgram('alembic'), alembic(port, ...step));
        stages.push(
          await columns(pair),
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
    const pair = await Pair.start(server, DEFAULT_POLICY, SNAPSHOTS);
    try {
      const said = await pair.same(script('smoke.py'));
      expect(said).toBe("psycopg (1, 'uno')\nasyncpg 20\nSQLAlchemy 118\n");
    } finally {
      await pair.stop();
    }
  });
});

/**
 * As the default policy with snapshots, but that what it holds whether or not it could be kept is let through, since nobody
 * is there to approve it: DROP, UPDATE without WHERE, a typing error. Of the rest nothing may go without its snapshot but a
 * block of code, which only raises notices.
 */
const CAPTURED = `
mode: protect
defaults: { critical: allow }
without_plan: block
rules:
  - { name: blocks that raise notices, match: { operation: [do] }, action: allow }
`;

describe.each(SERVERS)("Python's drivers with snapshots of whatever they change and $name", (server) => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start(server, CAPTURED, SNAPSHOTS);
  });
  afterAll(async () => await pair?.stop());

  it.each(['psycopg_session.py', 'asyncpg_session.py', 'sqlalchemy_session.py'])(
    'see no difference in %s',
    async (name) => {
      await pair.same(script(name));
    },
  );

  it('Alembic migrates up', async () => {
    await pair.same(async (port) => {
      await output(pythonProgram('alembic'), alembic(port, 'upgrade', 'head'));
      return await columns(pair);
    });
  });
});

/** Nothing is let through that has no snapshot, and nobody is asked. */
const ALL_KEPT = `
mode: protect
defaults: { critical: snapshot }
without_plan: block
`;

describe.each(SERVERS)('Alembic with a snapshot of all that it takes away, and $name', (server) => {
  it('migrates up and down, twice', { timeout: 120_000 }, async () => {
    const pair = await Pair.start(server, ALL_KEPT, SNAPSHOTS);
    try {
      await pair.freshDatabase();
      for (const step of [
        ['upgrade', 'head'],
        ['downgrade', 'base'],
        ['upgrade', 'head'],
        ['downgrade', '0001'],
      ]) {
        await output(pythonProgram('alembic'), alembic(pair.gateway.port, ...step));
      }
      const left = (await columns(pair)).map(([table, column]) => `${table}.${column}`);
      expect(left).toEqual([
        ...['account.id', 'account.name', 'alembic_version.version_num'],
        ...['booking.account_id', 'booking.amount', 'booking.id'],
      ]);
    } finally {
      await pair.stop();
    }
  });
});
