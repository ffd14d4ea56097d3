import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

/** Everything above low is blocked: under it no way may lead to the rows of `precious`. */
const POLICY = `
mode: protect
defaults: { safe: allow, low: allow, high: block, critical: block, forbidden: block }
`;
const DELETE = 'delete from precious';

const extended = (sql: string, name = ''): Buffer =>
  Buffer.concat([fe.parse(name, sql), fe.bind({ statement: name }), fe.execute(), fe.sync()]);

/** Ways to delete without saying so, each a list of bursts; what comes back after each is read and ignored. */
const WAYS: Record<string, (oid: (name: string) => Promise<number>) => Promise<Buffer[]>> = {
  'plainly, in a Query': async () => [fe.query(DELETE)],
  'plainly, in the extended protocol': async () => [extended(DELETE)],
  'by FunctionCall': async (oid) => [fe.functionCall(await oid('wipe_precious'), [])],
  'by a function in a SELECT': async () => [fe.query('select wipe_precious()')],
  'by a function called immutable, at Bind': async () => [extended('select wipe_immutable()')],
  'by a function called immutable, in EXPLAIN': async () => [fe.query('explain select wipe_immutable()')],
  'behind a harmless statement': async () => [fe.query(`select 1; ${DELETE}; select 2`)],
  'in a read-only transaction that ends': async () => [fe.query(`begin read only; commit; ${DELETE}`)],
  'in a CTE': async () => [fe.query(`with d as (${DELETE} returning 1) select * from d`)],
  'in EXPLAIN ANALYZE': async () => [fe.query(`explain analyze ${DELETE}`)],
  'in COPY': async () => [fe.query(`copy (${DELETE} returning id) to stdout`)],
  'in MERGE': async () => [
    fe.query('merge into precious p using (select 1) v on true when matched then delete'),
  ],
  'by TRUNCATE': async () => [fe.query('truncate precious')],
  'by DO': async () => [fe.query(`do $$ begin ${DELETE}; end $$`)],
  'by PREPARE and EXECUTE': async () => [fe.query(`prepare d as ${DELETE}`), fe.query('execute d')],
  'by PREPARE and Bind': async () => [
    fe.query(`prepare D as ${DELETE}`),
    Buffer.concat([fe.bind({ statement: 'd' }), fe.execute(), fe.sync()]),
  ],
  'by Parse and EXECUTE': async () => [
    Buffer.concat([fe.parse('d', DELETE), fe.sync()]),
    fe.query('execute d'),
    fe.query('explain analyze execute d'),
  ],
  'by a name that meant something harmless before': async () => [
    extended('select 1', 's'),
    Buffer.concat([fe.close('S', 's'), fe.parse('s', DELETE), fe.sync()]),
    Buffer.concat([fe.bind({ statement: 's' }), fe.execute(), fe.sync()]),
  ],
  'by the unnamed statement parsed again': async () => [
    Buffer.concat([
      fe.parse('', 'select 1'),
      fe.parse('', DELETE),
      fe.bind(),
      fe.parse('', 'select 1'),
      fe.execute(),
      fe.sync(),
    ]),
  ],
  'by a portal of an EXECUTE whose name was given away': async () => [
    Buffer.concat([fe.parse('x', 'select 1'), fe.parse('y', 'execute x'), fe.sync()]),
    Buffer.concat([
      fe.bind({ portal: 'p', statement: 'y' }),
      fe.close('S', 'x'),
      fe.parse('x', DELETE),
      fe.execute('p'),
      fe.sync(),
    ]),
  ],
  'by EXECUTEs of DEALLOCATE and PREPARE': async () => [
    fe.query('prepare x as select 1'),
    Buffer.concat([fe.parse('d', 'deallocate x'), fe.parse('p', `prepare x as ${DELETE}`), fe.sync()]),
    ...['execute d', 'execute p', 'execute x'].map((text) => fe.query(text)),
  ],
  'by a portal that was replaced where the replies had not come': async () => [
    fe.query('begin'),
    Buffer.concat([
      fe.parse('a', 'prepare x as select 1'),
      fe.parse('b', `prepare x as ${DELETE}`),
      fe.bind({ portal: 'p', statement: 'a' }),
      fe.sync(),
    ]),
    Buffer.concat([
      ...[fe.close('P', 'p'), fe.bind({ portal: 'p', statement: 'b' }), fe.sync()],
      ...[fe.execute('p'), fe.sync(), fe.query('execute x'), fe.query('commit')],
    ]),
  ],
  'by a name that is the same in another encoding': async () => [
    Buffer.concat([fe.parse('é', 'select 1'), fe.sync()]),
    fe.query("set client_encoding = 'LATIN1'"),
    Buffer.concat([
      fe.message('C', Buffer.from('Sé\0', 'latin1')),
      fe.message('P', Buffer.from(`é\0${DELETE}\0\0\0`, 'latin1')),
      fe.sync(),
    ]),
    fe.query("set client_encoding = 'UTF8'"),
    Buffer.concat([fe.bind({ statement: 'é' }), fe.execute(), fe.sync()]),
  ],
  'by a duplicate Parse that fails': async () => [
    Buffer.concat([fe.parse('s', DELETE), fe.sync()]),
    Buffer.concat([fe.parse('s', 'select 1'), fe.sync()]),
    Buffer.concat([fe.bind({ statement: 's' }), fe.execute(), fe.sync()]),
  ],
  'by a Parse that an error rolled back from view': async () => [
    Buffer.concat([fe.parse('s', DELETE), fe.sync()]),
    Buffer.concat([fe.execute('nothing'), fe.close('S', 's'), fe.parse('s', 'select 1'), fe.sync()]),
    Buffer.concat([fe.bind({ statement: 's' }), fe.execute(), fe.sync()]),
  ],
  'by a statement that DO prepared': async () => [
    fe.query(`do $$ begin execute 'prepare hidden as ${DELETE}'; end $$`),
    Buffer.concat([fe.bind({ statement: 'hidden' }), fe.execute(), fe.sync()]),
    fe.query('execute hidden'),
  ],
  'by a name that is the same in its first 63 bytes': async () => {
    const name = 'n'.repeat(63);
    return [
      fe.query(`prepare ${name}b as ${DELETE}`),
      fe.query(`execute ${name}c`),
      Buffer.concat([fe.bind({ statement: name }), fe.execute(), fe.sync()]),
    ];
  },
  'with standard_conforming_strings off': async () => [
    fe.query('set standard_conforming_strings = off'),
    fe.query(`select '\\''; ${DELETE}; --'`),
  ],
  'with standard_conforming_strings off in the same Query': async () => [
    fe.query(`set standard_conforming_strings = off; select '\\'; ${DELETE}; --'`),
  ],
  'with standard_conforming_strings off in the same segment': async () => [
    Buffer.concat([
      fe.parse('', 'set standard_conforming_strings = off'),
      fe.bind(),
      fe.execute(),
      fe.parse('', `with a as (select '\\'' as x), d as (${DELETE} returning 1) select ' as x) select 1 --'`),
      fe.bind(),
      fe.execute(),
      fe.sync(),
    ]),
  ],
  'with standard_conforming_strings off by set_config': async () => [
    fe.query("select set_config('standard_conforming_strings', 'off', false)"),
    fe.query(`select '\\''; ${DELETE}; --'`),
  ],
  'with a backslash inside an SJIS character': async () => [
    fe.query("set client_encoding = 'SJIS'"),
    fe.query(
      Buffer.concat([Buffer.from("select e'"), Buffer.of(0x83, 0x5c), Buffer.from(`'; ${DELETE}; --'`)]),
    ),
  ],
  'behind a NUL': async () => [
    fe.query(`select 1\0; ${DELETE}`),
    Buffer.concat([fe.parse('', `select 1\0; ${DELETE}`), fe.sync()]),
  ],
  'before a NUL': async () => [fe.message('Q', Buffer.from(`${DELETE}\0select 1\0`))],
  'in upper case with comments': async () => [
    fe.query('DE/**/LETE FROM precious'),
    fe.query('DELETE/* x */FROM/**/precious'),
  ],
  'with a tautology': async () => [
    fe.query(`${DELETE} where true`),
    fe.query(`${DELETE} where 1 = 1 or id = 5`),
    fe.query(`${DELETE} where id = id`),
  ],
  'by a cursor and WHERE CURRENT OF': async () => [
    fe.query('begin; declare c cursor for select * from precious for update; fetch c'),
    fe.query(`${DELETE} where current of c; commit`),
  ],
  'by a view': async () => [fe.query('create view v as select * from precious; delete from v')],
  'by a rule': async () => [
    fe.query(`create rule r as on insert to other do also ${DELETE}`),
    fe.query('insert into other values (1)'),
  ],
  'by a trigger': async () => [
    fe.query(
      'create function t() returns trigger language plpgsql as $$ begin delete from precious; return new; end $$',
    ),
    fe.query('create trigger t before insert on other for each row execute function t()'),
    fe.query('insert into other values (1)'),
  ],
  'by search_path': async () => [
    fe.query('create schema evil'),
    fe.query(
      'create function evil.lower(text) returns text language sql as $$ delete from public.precious; select $1 $$',
    ),
    fe.query('set search_path = evil, pg_catalog, public'),
    fe.query("select lower('X'::text)"),
  ],
  'by dropping the table': async () => [
    fe.query('drop table precious'),
    fe.query('drop schema public cascade'),
  ],
  'by a SQL function in a default': async () => [
    fe.query('create table bait (x int default wipe_precious()); insert into bait default values'),
  ],
  'in a cast of a large text': async () => [fe.query(`select '${'x'.repeat(200_000)}'; ${DELETE}`)],
  'behind deep nesting': async () => [fe.query(`select ${'('.repeat(3000)}1${')'.repeat(3000)}; ${DELETE}`)],
  'behind deep nesting that the server takes': async () => [
    fe.query(`select ${'('.repeat(600)}1${')'.repeat(600)}; ${DELETE}`),
  ],
  'in a COPY that is not one': async () => [fe.query("copy other from program 'true'"), fe.query(DELETE)],
  'while the server reads COPY data': async () => [
    Buffer.concat([fe.query('copy other from stdin'), fe.query(DELETE), fe.copyDone(), fe.query(DELETE)]),
  ],
  'after a SET LOCAL of another role': async () => [
    fe.query(`begin; set local role postgres; ${DELETE}; commit`),
    fe.query('reset all'),
    fe.query(DELETE),
  ],
};

describe('under a policy that blocks what is high or worse', () => {
  let fixture: DecisionFixture;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY);
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.postgres.sql(
      'drop schema if exists evil cascade; drop view if exists v; drop table if exists bait',
    );
    await fixture.reset();
    await fixture.postgres.sql('drop function if exists t() cascade');
  });

  const oid = async (name: string): Promise<number> =>
    Number((await fixture.postgres.sql(`select '${name}'::regproc::oid`))[0]![0]);

  async function go(client: RawClient, burst: Buffer): Promise<void> {
    client.write(burst);
    await client.untilQuiet(60, 5_000);
    client.inbox.splice(0);
  }

  it.each(Object.keys(WAYS))('nothing is deleted %s', async (way) => {
    const client = await fixture.client();
    for (const burst of await WAYS[way]!(oid)) await go(client, burst);
    client.destroy();
    fixture.gateway.assertAlive();
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('FunctionCall of a harmless function is refused as well, and the session goes on', async () => {
    const client = await fixture.client();
    client.write(fe.functionCall(177, ['1', '2']));
    expect((await client.untilReady()).map((m) => m.type)).toEqual(['E', 'Z']);
    expect(await client.rows('select 1')).toEqual([['1']]);
    await client.terminate();
  });
});

describe('the ways themselves', () => {
  /** Ways that PostgreSQL refuses by itself, so that they prove nothing about a gateway when they delete nothing. */
  const REFUSED_BY_SERVER = new Set([
    'behind a NUL',
    'before a NUL',
    'while the server reads COPY data',
    'in a read-only transaction that ends',
  ]);

  it('do delete on a direct connection, most of them', { timeout: 60_000 }, async () => {
    const fixture = await DecisionFixture.start(POLICY);
    const harmless: string[] = [];
    try {
      for (const [name, way] of Object.entries(WAYS)) {
        await fixture.postgres.sql(
          'drop schema if exists evil cascade; create schema if not exists public; drop table if exists bait',
        );
        await fixture.reset();
        await fixture.postgres.sql('drop function if exists t() cascade');
        const client = await RawClient.open(fixture.postgres.port);
        const oid = async (of: string) =>
          Number((await fixture.postgres.sql(`select '${of}'::regproc::oid`))[0]![0]);
        // The server takes one after the other, whether it is waited for or not.
        for (const burst of await way(oid)) client.write(burst);
        if (!REFUSED_BY_SERVER.has(name)) {
          const deleted = eventually('precious', async () =>
            (await fixture.preciousRows().catch(() => 0)) === 10 ? 'whole' : null,
          );
          await deleted.catch(() => harmless.push(name));
        }
        client.destroy();
        // What it has sent may go on for a while, and is not to meet the next one's tables.
        const pid = client.processId;
        await eventually('the end of its session', async () => {
          const [gone] = await fixture.postgres.sql(
            `select count(pg_terminate_backend(pid)) from pg_stat_activity where pid = ${pid}`,
          );
          return gone![0] === '0' ? null : 'there';
        });
      }
    } finally {
      await fixture.stop();
    }
    expect(harmless).toEqual([]);
  });
});
