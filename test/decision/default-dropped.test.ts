import { afterAll, beforeAll, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

let fixture: DecisionFixture;
let client: RawClient;

beforeAll(async () => {
  fixture = await DecisionFixture.start('mode: protect\n', (postgres) => ({
    HOLDFAST_SNAPSHOTS_TAKEN: 'on',
    HOLDFAST_UNDO_CONNECTION: postgres.url(''),
  }));
  await fixture.postgres.sql(`create table priced (id int primary key, price int default 7 not null)`);
  client = await fixture.client();
});
afterAll(async () => {
  await client?.terminate();
  await fixture?.stop();
});

const DEFINITION = `select a.attnotnull, pg_get_expr(d.adbin, d.adrelid) from pg_attribute a
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = 'priced'::regclass and a.attname = 'price'`;
const asQuery = (sql: string) => fe.query(sql);
const asExecute = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()]);

it.each([
  ['alter table priced alter price drop default', asQuery, ['t', null]],
  ['alter table priced alter price drop not null', asQuery, ['f', '7']],
  ['alter table priced alter price drop default', asExecute, ['t', null]],
  ['alter table priced alter price drop not null, alter price drop default', asExecute, ['f', null]],
  ['alter table priced alter price set default 8', asQuery, ['t', '8']],
  ['alter table priced alter price set default 9', asExecute, ['t', '9']],
] as const)('%s is kept by the default policy, and comes back', async (sql, send, left) => {
  client.write(send(sql));
  expect(errorsOf(await client.untilReady())).toEqual([]);
  expect(await fixture.postgres.sql(DEFINITION)).toEqual([left]);
  const { body } = await fixture.gateway.http('/v1/snapshots?limit=1');
  const [snapshot] = (body as { items: { id: string; statement: string }[] }).items;
  expect(snapshot).toMatchObject({ statement: sql });
  const undone = await fixture.gateway.http(`/v1/snapshots/${snapshot!.id}/undo`, {
    method: 'POST',
    body: {},
  });
  expect(undone.status).toBe(200);
  expect(await fixture.postgres.sql(DEFINITION)).toEqual([['t', '7']]);
});

const NOTHING = 'none: it takes nothing away';

it('a default where there is none, or of a view, needs no snapshot', async () => {
  await fixture.postgres.sql(`alter table priced add column tax int, add column gross int default 5;
    create view priced_view as select * from priced;
    create table priced_more (id int) partition by list (id); create table priced_one partition of priced_more default`);
  for (const [sql, risk, kept = NOTHING] of [
    ['alter table priced add column rate int default 5 not null', 'low'],
    ['alter table priced alter tax set default 5', 'high'],
    ['alter table priced alter tax set default 5, alter gross set default 5', 'high'],
    ['alter table only priced alter tax set default 6, alter gross set default 5', 'high', 'snap_'],
    ['alter table priced alter tax drop default', 'high', 'snap_'],
    ['alter table priced_more alter id set default 5', 'high'],
    ['alter view priced_view alter price set default 1', 'low'],
    ['alter view priced_view alter price drop default', 'low'],
  ] as const) {
    expect(errorsOf(await client.query(sql))).toEqual([]);
    const [event] = await fixture.auditEvents((each) => JSON.stringify(each).includes(sql), 1);
    const snapshot = risk === 'low' ? { action: 'allow' } : { snapshot: expect.stringContaining(kept) };
    expect(event).toMatchObject({ risk, ...snapshot });
  }
});
