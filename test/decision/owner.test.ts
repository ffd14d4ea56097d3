import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const POLICY = 'mode: protect\nhold: { mode: live }\n';

const SETUP = `drop schema if exists app cascade;
  select lo_unlink(oid) from pg_largeobject_metadata; drop role if exists owner_a, owner_b; create role owner_a; create role owner_b login in role owner_a;
  create schema app; grant all on schema app to owner_a, owner_b; create table app.t (id int not null, v text); create sequence app.s;
  create view app.w as select * from app.t; create type app.mood as enum ('a'); create domain app.d as int;
  create function app.f(int, text[]) returns int language sql as 'select 1'; create procedure app.p() language sql as 'select 1';
  create aggregate app.g(int) (sfunc = int4pl, stype = int);
  select lo_create(4711), lo_create(4000000000)`;

const OBJECTS = [
  'table app.t',
  'table app.w',
  'view app.w',
  'sequence app.s',
  'type app.mood',
  'domain app.d',
  'function app.f(int, text[])',
  'function app.f',
  'procedure app.p()',
  'aggregate app.g(int)',
  'schema app',
  'large object 4711',
  'large object 4000000000',
];

const run = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()]);

describe.each([18, 15] as const)('OWNER TO, on PostgreSQL %i', (version) => {
  const under = besideDirect(POLICY, version, SETUP, 'drop schema app cascade');

  it.each(OBJECTS)(
    'gives what is its own, and says again whose it is, but takes nothing: %s',
    async (object) => {
      for (const to of [
        `alter ${object} owner to current_user`,
        `alter ${object} owner to owner_a`,
        `alter ${object} owner to owner_a`,
      ]) {
        under.client.write(fe.query(to));
        expect([to, errorsOf(await under.client.untilReady())]).toEqual([to, []]);
      }
      const back = `alter ${object} owner to postgres`;
      for (const message of [fe.query(back), run(back)]) {
        under.client.write(message);
        const id = await heldId(under.client);
        expect((await under.fixture.approval(id))['reason']).toContain(
          'it takes the rights of the owner, owner_a',
        );
        await under.fixture.resolve(id, 'deny');
        expect(errorsOf(await under.client.untilReady())).toMatchObject([{ C: '42501' }]);
      }
      await under.direct.rows(back);
      under.client.write(run(`alter ${object} owner to owner_b`));
      expect(errorsOf(await under.client.untilReady())).toEqual([]);
      await under.direct.rows(back);
    },
  );

  it('nobody is asked twice about a role that is dropped, since none is kept', async () => {
    await under.direct.rows('drop role if exists leaving; create role leaving');
    under.client.write(fe.query('drop role leaving'));
    const id = await heldId(under.client);
    expect((await under.fixture.approval(id))['reason']).toMatch(
      /it will have no snapshot, because only tables/,
    );
    await under.fixture.resolve(id, 'approve');
    expect(errorsOf(await under.client.untilReady())).toEqual([]);
    expect(await under.direct.rows("select from pg_roles where rolname = 'leaving'")).toEqual([]);
  });

  it('is recorded with what it takes', async () => {
    await under.client.query('alter table app.t owner to owner_b');
    const [event] = await under.fixture.auditEvents(
      (each) => JSON.stringify(each).includes('app.t owner to owner_b') && 'end' in each,
      1,
    );
    expect(event).toMatchObject({
      action: 'snapshot',
      snapshot: 'none: it takes rights from nobody but the role that gives them',
    });
  });

  it('is held where the role acts for another that owns it', async () => {
    await under.direct.rows('alter table app.t owner to owner_a');
    const member = await under.fixture.client({ user: 'owner_b' });
    member.write(fe.query('alter table app.t owner to owner_b'));
    await under.fixture.resolve(await heldId(member), 'deny');
    await member.untilReady();
    await member.query('set role owner_a');
    member.write(fe.query('alter table app.t owner to owner_a'));
    expect(errorsOf(await member.untilReady())).toEqual([]);
    await member.terminate();
  });

  it('goes on in one text with what makes the object', async () => {
    const text =
      'create table app.made (id int); alter table app.made owner to owner_a; insert into app.made values (1)';
    expect(errorsOf(await under.client.query(text))).toEqual([]);
  });

  it('is refused as by the server', async () => {
    for (const sql of [
      'alter table app.nope owner to owner_a',
      'alter function app.f(text) owner to nobody_at_all',
    ]) {
      const [said] = errorsOf(await under.direct.query(sql));
      expect(errorsOf(await under.client.query(sql))).toMatchObject([{ C: said!['C'], M: said!['M'] }]);
    }
  });

  it('lets a column be numbered, which takes nothing away', async () => {
    const sql =
      'alter table app.t alter column id add generated by default as identity (sequence name app.n)';
    expect(errorsOf(await under.client.query(sql))).toEqual([]);
    expect(await under.direct.rows('insert into app.t (v) values (1) returning id')).toEqual([['1']]);
  });
});
