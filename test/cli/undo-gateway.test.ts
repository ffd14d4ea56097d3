import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DecisionFixture } from '../decision/fixture.ts';
import { holdfast, type Ran } from './support.ts';

const POLICY = `
mode: protect
rules:
  - { name: what changes, match: { operation: [update, delete] }, action: snapshot }
  - { name: drops, match: { operation: ["drop table", "alter table"] }, action: snapshot }
  - { name: the rest, match: { role: ["*"] }, action: allow }
`;

let fixture: DecisionFixture;
let env: Record<string, string>;

beforeAll(async () => {
  fixture = await DecisionFixture.start(POLICY, (postgres) => ({
    HOLDFAST_SNAPSHOTS_TAKEN: 'on',
    HOLDFAST_UNDO_CONNECTION: postgres.url(''),
  }));
  // Where the snapshots lie is for the gateway to know.
  env = { HOLDFAST_TOKEN: fixture.gateway.token, HOLDFAST_ADMIN_URL: fixture.gateway.adminUrl };
});
afterAll(async () => {
  await fixture?.stop();
});

const run = (...args: readonly string[]): Promise<Ran> => holdfast(args, { env });
const rows = async (sql: string) => (await fixture.postgres.sql(sql)).map((row) => row.join('|'));

async function change(sql: string): Promise<void> {
  const client = await fixture.client();
  await client.query(sql);
  await client.terminate();
}

it('with a token, the gateway undoes and its audit has it', async () => {
  await change('delete from precious where id > 4');
  const tried = await run('undo', 'latest', '--dry-run');
  expect([tried.code, tried.err]).toEqual([0, '']);
  expect(tried.out).toMatch(/^snap_\w+: delete from precious where id > 4$/m);
  expect(tried.out).toMatch(/^ +6 +0 +0 +0 +0 +public\.precious$/m);
  expect(tried.out).toMatch(/^Tried: 6 rows put back\. All of it went well, and was taken back\.$/m);
  const declined = await holdfast(['undo', 'latest'], { env, answer: 'n' });
  expect([declined.code, await fixture.preciousRows()]).toEqual([1, 4]);
  const id = /^(snap_\w+):/.exec(tried.out)![1]!;
  const done = await run('undo', id.slice(5, 23), '--json');
  expect([done.code, JSON.parse(done.out)]).toMatchObject([
    0,
    {
      id,
      outcome: 'done',
      tables: [{ put_back: 6 }],
      undo_snapshot: expect.stringMatching(/^snap_/),
      audited: true,
    },
  ]);
  expect(await fixture.preciousRows()).toBe(10);
  const { body } = await fixture.gateway.http('/v1/audit?rule=admin');
  expect(body).toMatchObject({
    items: [{ sql: `holdfast undo ${id}`, end: 'completed', role: 'token:tests' }],
  });
  const again = await run('undo', id);
  expect([again.code, again.err]).toEqual([
    1,
    expect.stringMatching(
      /^holdfast: it was undone already, by token tests at .*\n {2}--force undoes it all the same\.\n$/,
    ),
  ]);
  const twice = await run('undo', 'latest');
  expect([twice.code, twice.err]).toEqual([
    1,
    expect.stringMatching(
      new RegExp(
        `that of an undo, of ${id}\\n  holdfast undo ${JSON.parse(done.out).undo_snapshot} takes that back`,
      ),
    ),
  ]);
  expect(await fixture.preciousRows()).toBe(10);
  expect((await run('undo', id, '--force')).out).toContain('Nothing to do: all rows are as they were');
});

it('says what triggers have put elsewhere, which stays', async () => {
  await fixture.postgres.sql(`
    create table noted (what text); create table counted (id int primary key); insert into counted values (1), (2), (3);
    create function note() returns trigger language plpgsql as
      $$ begin insert into noted values (tg_op); return null; end $$;
    create trigger note after delete on counted for each row execute function note()`);
  await change('delete from counted where id < 3');
  const shown = await run('undo', 'latest', '--dry-run');
  expect(shown.out).toMatch(/^Stays, which triggers or functions put there: 2 rows in public\.noted\.$/m);
  const done = await run('undo', 'latest', '--json');
  expect(JSON.parse(done.out)).toMatchObject({
    outcome: 'done',
    added: [{ table: 'public.noted', rows: 2 }],
  });
  expect(await rows('select count(*) from noted union all select count(*) from counted')).toEqual(['2', '3']);
});

it('shows conflicts, and says why it cannot be done', async () => {
  await change(`update precious set note = 'x' where id < 3`);
  await fixture.postgres.sql(`update precious set note = 'y' where id = 2`);
  const conflicts = await run('undo', 'latest', '--conflicts', '5');
  expect([conflicts.code, conflicts.err]).toEqual([4, expect.stringContaining('--on-conflict skip')]);
  expect(conflicts.out).toContain('  now      id=2  note=y');
  const into = await run('undo', 'latest', '--into', 'kept');
  expect([into.code, into.out]).toEqual([0, expect.stringContaining('2 rows put back into public.kept.')]);
  const taken = await run('undo', 'latest', '--into', 'kept');
  expect([taken.code, taken.err]).toEqual([1, expect.stringContaining('[42P07]\n  Nothing was done.')]);
  const odd = await run('undo', 'latest', '--into', '"public"."Käse, a.""b"');
  expect([odd.code, odd.out]).toEqual([0, expect.stringContaining('into public.Käse, a."b.')]);
  expect(await fixture.postgres.sql('select count(*) from "Käse, a.""b"')).toEqual([['2']]);
  expect(await run('undo', 'latest', '--into', 'a.b.c')).toMatchObject({
    ...{ code: 2, err: expect.stringContaining('expected a table or schema.table, not a.b.c') },
  });
  await fixture.postgres.sql('alter table precious drop note');
  const refused = await run('undo', 'latest');
  expect([refused.code, refused.err]).toEqual([
    1,
    expect.stringContaining('its column note was dropped since\n  --into'),
  ]);
});

it('shows the key of what has other names by now, and says what cannot be overwritten', async () => {
  await fixture.postgres.sql(
    `create table seats (id int primary key, seat int unique, who text);
     insert into seats values (1, 1, 'a'), (2, 2, 'b')`,
  );
  await change('update seats set seat = seat + 10 where id = 2');
  await fixture.postgres.sql(
    `insert into seats values (3, 2, 'thief');
     alter table seats rename id to place; alter table seats rename to chairs`,
  );
  const held = [
    'public.chairs: a row to set back, but another row has a unique value of it by now',
    '  before   place=2  seat=2',
    '  left as  place=2  seat=12',
    '  now      place=2  seat=12',
  ].join('\n');
  const overwriting = await run('undo', 'latest', '--on-conflict', 'overwrite');
  expect([overwriting.code, overwriting.out, overwriting.err]).toEqual([
    4,
    expect.stringContaining(held),
    expect.stringMatching(/^public\.chairs: a row[\s\S]+hold values that are unique/),
  ]);
  const skipping = await run('undo', 'latest', '--on-conflict', 'skip');
  const left =
    'Nothing to do: rows that have changed since stay as they are, and all others are as they were.';
  expect([skipping.code, skipping.out]).toEqual([0, expect.stringContaining(left)]);
  await fixture.postgres.sql('drop table chairs');
});

it('brings back what was dropped', async () => {
  await change('drop table other');
  const { code, out } = await run('undo', 'latest');
  expect([code, out]).toEqual([0, expect.stringMatching(/^Done: what was dropped is back\.\n$/m)]);
  expect(await rows('select count(*) from other')).toEqual(['0']);
});

it('past it, where that is said, and then says that no audit has it', async () => {
  await change('delete from precious where id = 1');
  const snapshots = join(fixture.gateway.directory, 'snapshots');
  const args = ['undo', 'latest', '--snapshots', snapshots, '--connection', fixture.postgres.url()];
  // Without the key of the gateway, and without that of another which has been started in this folder.
  const keyless = { ...env, HOLDFAST_AUDIT_SIGNING_KEY: join(fixture.gateway.directory, 'no-key.pem') };
  const { code, out } = await holdfast(args, { env: keyless });
  expect([code, out]).toEqual([
    0,
    expect.stringMatching(/^It went past the gateway, whose audit does not have it/m),
  ]);
  const { body } = await fixture.gateway.http('/v1/audit?rule=admin');
  expect(JSON.stringify(body)).not.toContain('"rows":1,');
});

it('goes by no manifest that somebody else has written, here or there, unless it is told to', async () => {
  await change('delete from precious where id = 2');
  const snapshots = join(fixture.gateway.directory, 'snapshots');
  const key = join(fixture.gateway.directory, 'audit-key.pem');
  const offline = { env: { HOLDFAST_SNAPSHOTS: `file:${snapshots}`, HOLDFAST_AUDIT_SIGNING_KEY: key } };
  const { id, folder } = JSON.parse((await holdfast(['snapshots', 'show', 'latest', '--json'], offline)).out);
  // That of the undo above, which did not know the key.
  expect((await holdfast(['snapshots', 'verify'], offline)).out).toContain(
    '; 1 not signed with a key that is known',
  );
  const file = join(fixture.gateway.directory, 'snapshots', folder, 'manifest.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace(/"xid": "\d+"/, '"xid": "1"'));
  const refused = await run('undo', id);
  expect([refused.code, refused.err]).toEqual([
    1,
    'holdfast: its manifest is not as the gateway has written it\n',
  ]);
  expect((await fixture.gateway.http(`/v1/snapshots/${id}/verify`, { method: 'POST' })).body).toMatchObject({
    ok: false,
    signature: 'wrong',
  });
  const verified = await holdfast(['snapshots', 'verify', id], offline);
  expect([verified.code, verified.out]).toEqual([
    1,
    expect.stringContaining('not as the gateway has signed it'),
  ]);
  const connection = ['--connection', fixture.postgres.url()];
  const past = await holdfast(['undo', id, ...connection], offline);
  expect([past.code, past.err]).toEqual([
    1,
    expect.stringContaining('--trust-manifest goes by it all the same'),
  ]);
  const trusting = await holdfast(['undo', id, ...connection, '--trust-manifest'], offline);
  expect(trusting.err).not.toContain('manifest');
});

it.each([
  ['an unknown snapshot', {}, ['snap_00000'], 'there is no snapshot snap_00000'],
  ['a token that is not known', { HOLDFAST_TOKEN: 'hf_other' }, ['latest'], 'does not know this token'],
  ['no gateway', { HOLDFAST_ADMIN_URL: 'http://127.0.0.1:9' }, ['latest'], '--offline undoes without one'],
])('fails with %s', async (_, more, args, message) => {
  const ran = await holdfast(['undo', ...args], { env: { ...env, ...more } });
  expect([ran.code, ran.err]).toEqual([1, expect.stringContaining(message)]);
});

it('undoes and redoes behind columns that were added, with what they have', async () => {
  await fixture.postgres.sql('create table wide (id int primary key, n int); insert into wide values (1, 1)');
  await change('insert into wide values (1, 2), (2, 2) on conflict (id) do update set n = 2');
  await fixture.postgres.sql('alter table wide add extra int default 5; update wide set extra = id');
  const { code, out } = await run('undo', 'latest');
  expect([code, out]).toEqual([0, expect.stringMatching(/^Done: 1 row set back, 1 row removed\.$/m)]);
  expect(await rows('select * from wide')).toEqual(['1|1|1']);
  const own = /holdfast undo (snap_\w+)/.exec(out)![1]!;
  expect(await run('undo', own)).toMatchObject({ code: 0 });
  expect(await rows('select * from wide order by id')).toEqual(['1|2|1', '2|2|2']);
});

it('says what to do where the undo could not be undone', async () => {
  await fixture.postgres.sql('create table narrow (id int primary key, a int, n int)');
  await change('alter table narrow drop column a');
  const { code, out } = await run('undo', 'latest');
  expect(code).toBe(0);
  await fixture.postgres.sql('create statistics on a, n from narrow');
  const refused = await run('undo', /holdfast undo (snap_\w+)/.exec(out)![1]!);
  expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/of it\n {2}--no-snapshot undoes/)]);
});
