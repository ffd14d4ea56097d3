import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { DEFAULT_POLICY } from '../support/gateway.ts';
import { errorsOf } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';

const SETUP = `drop table if exists victim cascade; create table victim (id int primary key, v text);
  insert into victim select i, 'row ' || i from generate_series(1, 10) i`;

describe.each([18, 15] as const)(
  'a temporary table in front of a permanent one, on PostgreSQL %i',
  (version) => {
    const under = besideDirect(DEFAULT_POLICY, version, SETUP);
    const permanent = async () => (await under.direct.rows('select count(*) from victim'))[0]![0];

    /** The session has a schema of temporary tables before, so that nothing else in its search_path changes. */
    async function hide(): Promise<void> {
      await under.client.rows('create temp table victim (id int, v text)');
      await under.client.rows("insert into pg_temp.victim values (1, 'x'), (9, 'y')");
    }

    it.each([
      'delete from victim where id < 5',
      "update victim set v = 'gone' where id < 5",
      'merge into victim using (select 1 as id) s on victim.id = s.id when matched then delete',
    ])('is not taken for what was parsed before: %s', async (sql) => {
      const { client } = under;
      await client.rows('create temp table mine (a int)');
      client.write(fe.parse('d', sql), fe.sync());
      await client.untilReady();
      await hide();
      client.write(fe.bind({ statement: 'd' }), fe.execute(), fe.sync());
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: 'HF002' }]);
      expect(await permanent()).toBe('10');
      expect(await under.direct.rows("select count(*) from victim where v = 'gone'")).toEqual([['0']]);
      // What is read by now is of the temporary one.
      client.write(fe.parse('e', sql), fe.bind({ statement: 'e' }), fe.execute(), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      expect(await permanent()).toBe('10');
    });

    it('is not taken for what a PREPARE has found', async () => {
      const { client } = under;
      await client.rows('create temp table mine (a int)');
      await client.rows('prepare d as delete from victim where id < 5');
      await hide();
      expect(errorsOf(await client.query('execute d'))).toMatchObject([{ C: 'HF002' }]);
      expect(await permanent()).toBe('10');
      await client.rows('prepare e as delete from victim where id < 5');
      expect(errorsOf(await client.query('execute e'))).toEqual([]);
      expect([await permanent(), await client.rows('select id from pg_temp.victim')]).toEqual([
        '10',
        [['9']],
      ]);
    });
  },
);

const CODE = `drop table if exists victim cascade; create table victim (id int primary key, v text);
  insert into victim select i, 'row ' || i from generate_series(1, 10) i; drop domain if exists checked cascade;
  create or replace function wipes(a int) returns int language plpgsql as 'begin delete from victim; return a; end';
  create or replace function quietly(a int) returns int immutable language plpgsql as 'begin return wipes(a); end';
  create domain checked as int check (value is null or quietly(value) > 0);
  create or replace view wiping as select wipes(1) as id`;

describe.each([18, 15] as const)(
  'code that runs with a write to a temporary table, on PostgreSQL %i',
  (version) => {
    const under = besideDirect(DEFAULT_POLICY, version, CODE);

    it.each([
      ['the check of a domain', 'update staging set c = 1 where id = 1'],
      ['a view that it reads', 'update plain set id = wiping.id from wiping where plain.id = 1'],
      ['a view in its condition', 'delete from plain where id in (select id from wiping)'],
    ])('changes no other table unseen: %s', async (_, sql) => {
      const { client, direct } = under;
      await client.rows('create temp table staging (id int, c checked)');
      await client.rows('create temp table plain (id int, v text)');
      await client.rows('insert into staging values (1)');
      await client.rows("insert into plain values (1, 'x')");
      expect(errorsOf(await client.query(sql))).toMatchObject([{ C: 'HF002' }]);
      expect(await direct.rows('select count(*) from victim')).toEqual([['10']]);
    });

    it('leaves alone what reads others and changes none', async () => {
      const { client } = under;
      await client.rows('create temp table plain (id int, v text)');
      await client.rows("insert into plain values (1, 'x')");
      const sql = 'update plain set v = victim.v from victim where plain.id = victim.id';
      expect(errorsOf(await client.query(sql))).toEqual([]);
      client.write(fe.parse('', sql), fe.bind(), fe.execute(), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      expect(await client.rows('select v from plain')).toEqual([['row 1']]);
    });
  },
);
