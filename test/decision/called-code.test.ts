import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { BASE, HARMFUL, HARMLESS } from './called-code-examples.ts';
import type { DecisionFixture } from './fixture.ts';
import { ownDatabases } from './own-databases.ts';

/** What may change something by what it calls, and has no snapshot, is refused here, where a user's would be held. */
const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: functions come and go, match: { operation: [create function] }, action: allow }
  - { name: tables are renamed, match: { operation: [alter table], table: [mine] }, action: allow }
`;

const bound = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()] as const;
const REFUSED = 'There is no exact plan, because';

describe.each([18, 15] as const)('what a statement calls, on PostgreSQL %i', (version) => {
  const own = ownDatabases(POLICY, version, BASE);
  const { sql, left, database } = own;
  let fixture: DecisionFixture;
  beforeAll(() => {
    ({ fixture } = own);
  });

  const why = (messages: Awaited<ReturnType<RawClient['query']>>) =>
    errorsOf(messages).map(({ D, M }) => D ?? M ?? '');

  describe('and only reads', () => {
    let client: RawClient;
    let name: string;
    beforeAll(async () => {
      name = await database('');
    });
    beforeEach(async () => {
      client = await fixture.client({ database: name });
      return () => client.terminate();
    });

    it.each(HARMLESS)('passes: %s', async (text) => {
      const said = why(await client.query(text));
      expect(said).toEqual(text.includes('no_such') ? [expect.stringContaining('does not exist')] : []);
    });

    it.each(HARMLESS.filter((text) => !/;|create/.test(text)))('passes in a portal: %s', async (text) => {
      client.write(...bound(`${text} `));
      expect(why(await client.untilReady()).filter((said) => !said.includes('no_such'))).toEqual([]);
    });
  });

  // What is refused is a matter of reading, which is the same in all versions.
  it.each(version === 18 ? HARMFUL : HARMFUL.slice(0, 12))(
    'is refused where it %s',
    async (_, setup, text) => {
      const name = await database(setup);
      const client = await fixture.client({ database: name });
      expect(why(await client.query(text))).toEqual([expect.stringContaining(REFUSED)]);
      expect(await left(name)).toBe(10);
      await client.terminate();
    },
  );

  describe('however it comes', () => {
    let client: RawClient;
    let name: string;
    beforeEach(async () => {
      name = await database(`create function app.x() returns int language sql as 'select 1'`);
      client = await fixture.client({ database: name });
      return () => client.terminate();
    });
    const wipes = `create or replace function app.x() returns int language sql as 'select app.wipe()'`;
    const says = async (text: string) => why(await client.query(text));
    const refused = [expect.stringContaining(REFUSED)];

    it('as a temporary function', async () => {
      await client.query(`create function pg_temp.x() returns int language sql as 'select app.wipe()'`);
      expect(await says('select pg_temp.x()')).toEqual(refused);
      expect(await left(name)).toBe(10);
      await client.query(`create or replace function pg_temp.x() returns int language sql as 'select 1'`);
      expect(await says('select pg_temp.x()')).toEqual([]);
    });

    it('where a temporary table hides the settings', async () => {
      const text = `select set_config(name, '1s', false) from pg_settings where name = 'lock_timeout'`;
      expect(await says(text)).toEqual([]);
      expect(await says('create temp table mine (name text)')).toEqual([]);
      expect(await says('alter table mine rename to pg_settings')).toEqual([]);
      expect(await says(text)).toEqual(refused);
    });

    it('in a transaction, and not where that has failed', async () => {
      await client.query('begin');
      expect(await says('select app.x()')).toEqual([]);
      expect(await says('select app.wipe()')).toEqual(refused);
      expect(await says('select app.x()')).toEqual([expect.stringContaining('aborted')]);
      await client.query('rollback');
      expect(await left(name)).toBe(10);
    });

    it('as what EXECUTE runs', async () => {
      await client.query('prepare good as select app.x(); prepare bad as select app.wipe()');
      expect(await says('execute good')).toEqual([]);
      expect(await says('execute bad')).toEqual(refused);
    });

    const WRITES = [
      'update precious set note = app.does()::text where id = 1',
      'delete from precious where id = 1 returning app.does()',
      `insert into precious values (1, app.does()::text) on conflict (id) do update set note = 'x'`,
      'merge into precious p using (values (1)) v(id) on p.id = v.id when matched then update set note = app.does()::text',
      'with w as (update precious set note = $$x$$ where id = 1 returning id) select app.does() from w',
    ];
    const does = (body: string) =>
      client.query(
        `create or replace function app.does() returns bigint language plpgsql as $f$ begin ${body} return 1; end $f$`,
      );

    it.each([
      `perform setval('app.numbers', 1);`,
      `perform setval('app.numbers', 1); insert into other values (1);`,
      `insert into other values (setval('app.numbers', 1));`,
      `execute 'insert into other values (1)';`,
      `perform query_to_xml('select app.wipe()', true, true, '');`,
      `copy other to program 'true';`,
      'perform pg_terminate_backend(1);',
    ])('in a statement that is captured, where no count of rows shows it: %s', async (body) => {
      await does(body);
      for (const text of WRITES) {
        expect(await says(text), text).toEqual(refused);
        client.write(...bound(text));
        expect(why(await client.untilReady()), text).toEqual(refused);
        expect(await says(`select 1; ${text}`), text).toEqual(refused);
      }
      expect(await left(name)).toBe(10);
    });

    it('in a statement that is captured, where it writes rows, which are counted', async () => {
      await does('insert into other values (1);');
      for (const text of WRITES.slice(0, 1)) {
        expect(await says(text)).toEqual([]);
        client.write(...bound(text));
        expect(why(await client.untilReady())).toEqual([]);
      }
      await does(`perform setval('app.numbers', 1);`);
      expect(await says(WRITES[0]!)).toEqual(refused);
    });

    it.each([
      'alter table other add n int default app.wipe()',
      'alter table other add n int check (wipe_immutable() > 0)',
      'alter table other add check (wipe_immutable() > 0)',
      `alter table other add n text default query_to_xml('select app.wipe()', true, true, '')::text`,
      `alter table other add n bigint default setval('app.numbers', 1)`,
      'alter table other alter id set default app.wipe()',
    ])('as what an ALTER TABLE has computed, at once or later: %s', async (text) => {
      await sql('insert into other values (1)', name);
      expect(await says(text)).toEqual(refused);
      client.write(...bound(text));
      expect(why(await client.untilReady())).toEqual(refused);
      expect(await says(`select 1; ${text}`)).toEqual(refused);
      expect(await left(name)).toBe(10);
      expect(
        await says('alter table other add u uuid default uuid_generate_v4(), add d date default now()'),
      ).toEqual([]);
      expect(await says('alter table other alter u set default app.uuid_generate_v4()')).toEqual([
        expect.stringContaining('does not exist'),
      ]);
    });

    it('among several statements, one of which is captured', async () => {
      expect(await says('update precious set note = 1 where id = 1; select app.x()')).toEqual([]);
      expect(await says('update precious set note = 2 where id = 1; select app.wipe()')).toEqual(refused);
      expect(await sql('select note from precious where id = 1', name)).toEqual([['1']]);
    });

    it('in a pipeline, behind what replaces it', async () => {
      client.write(
        ...bound('select app.x()').slice(0, 3),
        ...bound(wipes).slice(0, 3),
        ...bound('select app.x()'),
      );
      expect(why(await client.untilReady())).toEqual(refused);
      expect(await left(name)).toBe(10);
    });

    it('again, after it was replaced on the same session', async () => {
      expect(await says('select app.x()')).toEqual([]);
      expect(await says(wipes)).toEqual([]);
      expect(await says('select app.x()')).toEqual(refused);
    });

    it('again, after another session has replaced it', async () => {
      const other = await fixture.client({ database: name });
      expect(await says('select app.x()')).toEqual([]);
      await other.query('begin');
      await other.query(wipes);
      expect(await says('select app.x()')).toEqual([]);
      await other.query('commit');
      expect(await says('select app.x()')).toEqual(refused);
      await other.terminate();
    });

    it.each(['repeatable read', 'serializable'])(
      'in a transaction that is %s, and sees it as it was',
      async (level) => {
        const other = await fixture.client({ database: name });
        await client.query(`begin isolation level ${level}`);
        expect(await says('select app.x()')).toEqual([]);
        await other.query(wipes);
        expect(await says('select app.x()')).toEqual(refused);
        await client.query('rollback');
        await client.query(`begin isolation level ${level}`);
        await client.query('select 1 from other');
        await other.query(`create function app.new() returns int language sql as 'select app.wipe()'`);
        expect(await says('select app.new()')).toEqual(refused);
        await client.query('rollback');
        await other.terminate();
        expect(await left(name)).toBe(10);
      },
    );

    it('by a portal that was bound before it was replaced', async () => {
      client.write(fe.query('begin'));
      await client.untilReady();
      client.write(fe.parse('', 'select app.x()'), fe.bind({ portal: 'p' }), fe.sync());
      expect(why(await client.untilReady())).toEqual([]);
      expect(await says(wipes)).toEqual([]);
      client.write(fe.execute('p'), fe.sync());
      expect(why(await client.untilReady())).toEqual(refused);
      await client.query('rollback');
      expect(await left(name)).toBe(10);
    });

    it('is recorded with why there is no snapshot', async () => {
      await client.query('select app.x()');
      await client.query('select app.x()');
      const events = await fixture.auditEvents(
        (event) => event['database'] === name && event['sql'] === 'select app.x()',
        2,
      );
      expect(events.map(({ action, snapshot, end }) => [action, snapshot, end])).toEqual(
        Array(2).fill(['snapshot', 'none: nothing to capture: what it calls only reads', 'completed']),
      );
    });
  });
});
