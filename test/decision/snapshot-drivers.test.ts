import pg from 'pg';
import postgresJs from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SnapshotsTaken } from './snapshots-taken.ts';

/** What pg and postgres.js send of themselves: P B D E S, named statements executed again, pipelines, cursors. */
describe.each([18, 15] as const)("Node's drivers with snapshots on PostgreSQL %i", (version) => {
  let taken: SnapshotsTaken;
  beforeAll(async () => {
    taken = await SnapshotsTaken.start(version);
  });
  afterAll(async () => {
    await taken?.fixture.stop();
  });
  beforeEach(async () => {
    await taken.reset();
  });

  /** Runs the same directly and through the gateway, and gives what the gateway's run said. */
  async function same<T>(session: (port: number) => Promise<T>): Promise<T> {
    const direct = await session(taken.fixture.postgres.port);
    await taken.reset();
    const through = await session(taken.fixture.gateway.port);
    expect(through).toEqual(direct);
    return through;
  }

  it('pg sees no difference, and each of its statements is captured', async () => {
    await same(async (port) => {
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
      await client.connect();
      const said: unknown[] = [];
      const run = async (query: string | pg.QueryConfig, values?: unknown[]) => {
        try {
          const { rows, rowCount, command } = await client.query(query as string, values);
          said.push([command, rowCount, rows]);
        } catch (error) {
          const { code, message } = error as pg.DatabaseError;
          said.push([code, message]);
        }
      };
      await run('delete from precious where id = 1 returning *');
      await run('delete from precious where id = $1 returning note', [2]);
      for (const id of [3, 4]) {
        await run({
          name: 'named',
          text: 'update precious set note = $2 where id = $1',
          values: [id, 'née'],
        });
      }
      await run('begin');
      await run('update precious set note = null where id between $1 and $2', [5, 6]);
      await run('update precious set id = 7 where id = $1', [8]);
      await run('rollback');
      await run('select * from precious order by id');
      await client.end();
      return said;
    });
    const rows = (await taken.all()).map(({ tables }) => tables[0]!.before!.rows);
    expect(rows).toEqual([1, 1, 1, 1, 2]);
  });

  it('postgres.js sees no difference, pipelining and in transactions', async () => {
    const wanted = await same(async (port) => {
      const sql = postgresJs({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max: 1 });
      const said: unknown[] = [];
      said.push(...(await sql`delete from precious where id = ${1} returning *`));
      const many = [2, 3, 4].map((id) => sql`delete from precious where id = ${id} returning id`);
      for (const each of await Promise.all(many)) said.push(...each);
      await sql.begin(async (tx) => {
        said.push((await tx`update precious set note = ${'x'} where id = any(${[5, 6]})`).count);
        await tx
          .savepoint(async (inner) => {
            said.push((await inner`delete from precious where id = ${7}`).count);
            throw new Error('back');
          })
          .catch((error: unknown) => said.push(String(error)));
      });
      for await (const rows of sql`delete from precious where id > ${7} returning id`.cursor(1))
        said.push(...rows);
      said.push(...(await sql`select * from precious order by id`));
      await sql.end();
      return said;
    });
    expect(wanted.length).toBeGreaterThan(8);
    expect((await taken.all()).map(({ tables }) => tables[0]!.before!.rows)).toEqual([1, 1, 1, 1, 2, 1, 3]);
  });
});
