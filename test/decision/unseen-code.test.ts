import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

/** Code of which the gateway sees only that it runs, and what it may leave behind. */
const CODE = `
drop schema if exists evil cascade;
create schema evil;
create function evil.lower(text) returns text language plpgsql as
  $$ begin delete from public.precious; return 'gone'; end $$;
create or replace function harmless() returns int language sql volatile as 'select 1';
create or replace function quiet() returns int language plpgsql as
  $$ begin perform set_config('standard_conforming_strings', 'off', false); return 1; end $$;
create or replace function shelf() returns int language plpgsql as
  $$ begin perform set_config('search_path', 'evil, pg_catalog, public', false); return 1; end $$;
create or replace function unshelf() returns int language plpgsql as
  $$ begin perform set_config('search_path', 'public', false); return 1; end $$;
create or replace function hung() returns trigger language plpgsql as
  $$ begin perform set_config('search_path', 'evil, pg_catalog, public', false); return new; end $$;
drop table if exists trapped, defaulted, quietly cascade;
create table trapped (id int);
create trigger t before insert on trapped for each row execute function hung();
create table defaulted (id int, a int default shelf());
create table quietly (id int, a int default quiet());
`;
/** What is safe passes; what may be more is refused, so that a test need not wait. */
const POLICY = `mode: protect
rules:
  - { name: the code itself, match: { function: ["*harmless", "*quiet", "*shelf", "*unshelf"] }, action: allow }
  - { name: blocks, match: { operation: [do] }, action: allow }
  - { name: what makes it, match: { application: [maker], role: [postgres] }, action: allow }
  - { name: no more, match: { risk: [high, critical] }, action: block }
`;
const HIDDEN_DELETE = "select '\\''; delete from precious; --'";
const LOWER = "select lower('X')";
const REDEFINES = `do $$ begin execute 'deallocate s'; execute 'prepare s as delete from precious'; end $$`;

describe.each([15, 18] as const)('behind code that the gateway has not read, on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  let client: RawClient;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, {}, version);
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.postgres.sql('alter role postgres reset search_path');
    await fixture.reset();
    await fixture.postgres.sql(CODE);
    client = await fixture.client();
  });

  const sqlstates = async (): Promise<(string | undefined)[]> =>
    errorsOf(await client.untilReady()).map(({ C }) => C);
  const query = async (sql: string): Promise<(string | undefined)[]> => {
    client.write(fe.query(sql));
    return await sqlstates();
  };
  const extended = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()];

  it('a text that comes at once is read as the server reads it by then', async () => {
    client.write(fe.query('select quiet()'), fe.query(HIDDEN_DELETE));
    expect(await sqlstates()).toEqual([]);
    expect(await sqlstates()).toEqual(['42501']);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('so is one of the same segment', async () => {
    client.write(...extended('select quiet()'), ...extended("select '\\''"), fe.sync());
    expect(await sqlstates()).toEqual(['42501']);
    client.write(...extended('select harmless()'), ...extended("select '\\'"), ...extended(LOWER), fe.sync());
    expect(await sqlstates()).toEqual([]);
  });

  it.each(['pipelined', 'one after the other', 'in one segment'])(
    'functions are those of the search_path that it leaves: %s',
    async (way) => {
      if (way === 'in one segment') {
        client.write(...extended('select shelf()'), ...extended(LOWER), fe.sync());
      } else {
        client.write(fe.query('select shelf()'));
        if (way === 'pipelined') client.write(fe.query(LOWER));
        expect(await sqlstates()).toEqual([]);
        if (way !== 'pipelined') client.write(fe.query(LOWER));
      }
      expect(await sqlstates()).toEqual(['42501']);
      expect(await fixture.preciousRows()).toBe(10);
    },
  );

  describe('that runs as a table is written,', () => {
    it.each(['trapped', 'defaulted'])(
      'functions are those of the search_path that it leaves: %s',
      async (table) => {
        expect(await query(LOWER)).toEqual([]);
        expect(await query(`insert into ${table} (id) values (1)`)).toEqual([]);
        expect(await query(LOWER)).toEqual(['42501']);
        expect(await fixture.preciousRows()).toBe(10);
      },
    );

    it.each(['trapped', 'defaulted'])('also in one segment, and in a COPY: %s', async (table) => {
      client.write(...extended(`insert into ${table} (id) values (1)`), ...extended(LOWER), fe.sync());
      expect(await sqlstates()).toEqual(['42501']);
      client.write(fe.query(`copy ${table} (id) from stdin`));
      await client.until('G');
      client.write(fe.copyData('1\n'), fe.copyDone());
      expect(await sqlstates()).toEqual([]);
      expect(await query(LOWER)).toEqual(['42501']);
      expect(await fixture.preciousRows()).toBe(10);
    });

    it('a text that comes at once is read as the server reads it by then', async () => {
      client.write(fe.query('insert into quietly (id) values (1)'), fe.query(HIDDEN_DELETE));
      expect(await sqlstates()).toEqual([]);
      expect(await sqlstates()).toEqual(['42501']);
      expect(await fixture.preciousRows()).toBe(10);
    });

    it('or is given to a table by the session itself', async () => {
      expect(await query('insert into other values (1)')).toEqual([]);
      expect(await query(LOWER)).toEqual([]);
      await query('set application_name to maker');
      await query('create trigger t before insert on other for each row execute function hung()');
      await query('reset application_name');
      expect(await query('insert into other values (2)')).toEqual([]);
      expect(await query(LOWER)).toEqual(['42501']);
      client = await fixture.client();
      await query('begin');
      expect(await query('create temp table precious (id int)')).toEqual([]);
      expect(await query('insert into precious values (1)')).toEqual([]);
      expect(await query(LOWER)).toEqual([]);
      await query('rollback');
      expect(await fixture.preciousRows()).toBe(10);
    });
  });

  it('a prepared statement is understood anew', async () => {
    client.write(fe.parse('p', LOWER), fe.sync());
    await client.untilReady();
    for (const [code, expected] of [
      ['select shelf()', ['42501']],
      ['select unshelf()', []],
    ] as const) {
      await query(code);
      client.write(fe.bind({ statement: 'p' }), fe.execute(), fe.sync());
      expect(await sqlstates()).toEqual(expected);
    }
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('a search_path that a ROLLBACK brings back is not trusted for what was set in between', async () => {
    await query('select shelf()');
    await query('begin');
    await query('select unshelf()');
    expect(await query(LOWER)).toEqual([]);
    client.write(fe.query('rollback'), fe.query(LOWER));
    expect(await sqlstates()).toEqual([]);
    expect(await sqlstates()).toEqual(['42501']);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('a search_path of the role is known from the start, and where RESET leads', async () => {
    await fixture.postgres.sql('alter role postgres set search_path = evil, pg_catalog, public');
    client = await fixture.client();
    expect(await query(LOWER)).toEqual(['42501']);
    expect(await query('set search_path to public')).toEqual([]);
    expect(await query(LOWER)).toEqual([]);
    client.write(fe.query('reset search_path'), fe.query(LOWER));
    expect(await sqlstates()).toEqual([]);
    expect(await sqlstates()).toEqual(['42501']);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('a name that it has given away is not that of what a Parse has made', async () => {
    client.write(fe.parse('s', 'select 1'), fe.sync());
    await client.untilReady();
    expect(await query(REDEFINES)).toEqual([]);
    client.write(fe.bind({ statement: 's' }), fe.execute(), fe.sync());
    expect(await sqlstates()).toEqual(['42501']);
    expect(await query('execute s')).toEqual(['42501']);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('nor of what a PREPARE has made, though that it has left alone is still known', async () => {
    await query('prepare s as select 1');
    await query('prepare t(text) as select lower($1)');
    await query('select harmless()');
    expect(await query('execute s')).toEqual([]);
    expect(await query(REDEFINES)).toEqual([]);
    expect(await query("execute t('X')")).toEqual([]);
    client.write(fe.query('select harmless()'), fe.query('execute s'));
    expect(await sqlstates()).toEqual([]);
    expect(await sqlstates()).toEqual(['42501']);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('nor in the segment in which it runs', async () => {
    client.write(fe.parse('s', 'select 1'), ...extended(REDEFINES), fe.bind({ statement: 's' }));
    client.write(fe.execute(), fe.sync());
    expect(await sqlstates()).toEqual(['42501']);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('everything else goes on as ever', async () => {
    const rest = [
      LOWER,
      'select count(*) from other where id = 1',
      "select 'é' || '\\'",
      'begin',
      'set transaction isolation level serializable',
      'insert into other values (abs(1))',
      "select now()::text like '2%'",
      'commit',
      'vacuum other',
    ];
    for (const sql of ['select harmless()', ...rest]) expect([sql, await query(sql)]).toEqual([sql, []]);
    for (const sql of rest.filter((each) => !/^(begin|set|commit|vacuum)/.test(each))) {
      client.write(...extended('select harmless()'), fe.sync(), ...extended(sql), fe.sync());
      expect([sql, await sqlstates()]).toEqual([sql, []]);
      expect([sql, await sqlstates()]).toEqual([sql, []]);
    }
    expect(await client.rows('select 1')).toEqual([['1']]);
  });
});
