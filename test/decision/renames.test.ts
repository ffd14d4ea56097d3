import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: live }
`;

const NAMES = `${POLICY}
rules:
  - { name: payroll, match: { application: [watched], table: [app.payroll], operation: [delete] }, action: hold }
`;

const SETUP = `drop schema if exists app, elsewhere, named cascade; create schema app; create schema elsewhere;
  create table app.t (id int primary key, v text); create sequence app.s; create type app.mood as enum ('a');
  create view app.w as select * from app.t; create domain app.d as int constraint whole check (value > 0);
  create function app.f() returns trigger language plpgsql as 'begin return new; end';
  create trigger g before insert on app.t for each row execute function app.f()`;

const run = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()]);

describe.each([18, 15] as const)('other names and schemas, on PostgreSQL %i', (version) => {
  const under = besideDirect(POLICY, version, SETUP);

  it.each([
    ['alter table app.t rename to u', 'alter table app.u rename to t'],
    ['alter table app.t rename column v to w', 'alter table app.t rename w to v'],
    ['alter table app.t rename constraint t_pkey to k', 'alter index app.k rename to t_pkey'],
    ['alter table app.t set schema elsewhere', 'alter table elsewhere.t set schema app'],
    ['alter sequence app.s rename to q', 'alter sequence app.q rename to s'],
    ['alter type app.mood rename to temper', 'alter type app.temper rename to mood'],
    ['alter view app.w rename to x', 'alter view app.x rename to w'],
    ['alter domain app.d rename constraint whole to c', 'alter domain app.d rename constraint c to whole'],
    ['alter trigger g on app.t rename to h', 'alter trigger h on app.t rename to g'],
    ['alter schema app rename to named', 'alter schema named rename to app'],
  ])('go on, and back, as nothing is lost by them: %s', async (there, back) => {
    for (const message of [fe.query(there), fe.query(back), run(there), run(back)]) {
      under.client.write(message);
      expect(errorsOf(await under.client.untilReady())).toEqual([]);
    }
    const text = `${there}; ${back}`;
    expect(errorsOf(await under.client.query(text))).toEqual([]);
    const [event] = await under.fixture.auditEvents((each) => JSON.stringify(each).includes(there), 1);
    expect(event).toMatchObject({ action: 'snapshot', snapshot: 'none: it takes nothing away' });
  });

  it.each([
    'alter function app.f() rename to lower',
    'alter function app.f() set schema elsewhere',
    'alter table app.t rename to u; revoke all on app.u from public',
  ])('are held where more is done: %s', async (sql) => {
    under.client.write(fe.query(sql));
    await under.fixture.resolve(await heldId(under.client), 'deny');
    expect(errorsOf(await under.client.untilReady())).toMatchObject([{ C: '42501' }]);
  });

  it('leave the undo of what was captured before them as it is', async () => {
    await under.direct.rows("insert into app.t values (1, 'one')");
    await under.client.query("update app.t set v = 'two' where id = 1");
    await under.client.query('alter table app.t rename to u');
    await under.client.query("update app.u set v = 'three' where id = 1");
    const { body } = await under.fixture.gateway.http('/v1/snapshots?limit=2');
    const { items } = body as { items: { readonly tables: unknown }[] };
    expect(items.map(({ tables }) => JSON.stringify(tables))).toMatchObject([
      expect.stringContaining('app.u'),
      expect.stringContaining('app.t'),
    ]);
  });
});

describe('where a rule names tables, which would escape it', () => {
  const under = besideDirect(NAMES, 18, SETUP);

  it.each([
    ['alter table app.t rename to u', 'the session'],
    ['alter table app.t set schema elsewhere', 'the session'],
    ['alter table app.t rename column v to w', 'the session'],
    ['alter table app.t rename to u', 'others'],
  ])('they are held: %s, for %s', async (sql, whose) => {
    const application_name = whose === 'others' ? 'migrations' : 'watched';
    const client = await under.fixture.client({ application_name });
    for (const message of [fe.query(sql), run(sql)]) {
      client.write(message);
      await under.fixture.resolve(await heldId(client), 'deny');
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    }
    await client.terminate();
  });
});
