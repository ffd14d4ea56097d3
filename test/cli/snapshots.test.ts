import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DecisionFixture } from '../decision/fixture.ts';
import { eventually } from '../support/process-facts.ts';
import { holdfast, type Ran } from './support.ts';

const POLICY = `
mode: protect
rules:
  - { name: what changes, match: { operation: [update, delete] }, action: snapshot }
  - { name: the rest, match: { role: ["*"] }, action: allow }
`;

const SCHEMA = `
create table item (id int primary key, name text, price numeric(8, 2));
insert into item select i, 'item ' || i, i from generate_series(1, 30) i;
create table line (item_id int references item on delete cascade, no int, primary key (item_id, no));
insert into line select i % 30 + 1, i from generate_series(1, 60) i;
`;

let fixture: DecisionFixture;
let env: Record<string, string>;
let connection: readonly string[];
/** Of the statements below, in their order. */
let ids: string[];

const STATEMENTS = [
  'update item set price = price * 10 where id <= 3',
  'delete from item where id > 20',
  `update item set name = e'\\x1b[2J' || name where id = 5`,
] as const;

const run = (...args: readonly string[]): Promise<Ran> => holdfast(args, { env });

async function start(): Promise<void> {
  fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' });
  await fixture.postgres.sql(SCHEMA);
  const client = await fixture.client();
  for (const statement of STATEMENTS) await client.query(statement);
  await client.terminate();
  env = {
    HOLDFAST_SNAPSHOTS: `file:${join(fixture.gateway.directory, 'snapshots')}`,
    HOLDFAST_AUDIT_SIGNING_KEY: join(fixture.gateway.directory, 'audit-key.pem'),
  };
  connection = ['--connection', fixture.postgres.url()];
  const { items } = JSON.parse((await run('snapshots', '--json')).out);
  ids = items.map(({ id }: { id: string }) => id).reverse();
}

async function stop(): Promise<void> {
  await fixture?.stop();
}

describe('holdfast snapshots', () => {
  beforeAll(start);
  afterAll(stop);

  it('lists them, the newest first, fit for a terminal', async () => {
    const { code, out, err } = await run('snapshots', 'list');
    expect([code, err]).toEqual([0, '']);
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^ID +TAKEN \(UTC\) +ROLE +DATABASE +ROWS +TABLES +STATEMENT$/);
    expect(lines[2]).toMatch(
      /^snap_\w{20} .* postgres +postgres +30 → 0 +public\.item \+1 +delete from item where id > 20$/,
    );
    expect(lines).toHaveLength(4);
    expect(out).not.toContain('\u001b');
  });

  it('lists those of a table, a role, a kind, a mark', async () => {
    const listed = async (...args: readonly string[]) =>
      JSON.parse((await run('snapshots', 'list', '--json', ...args)).out).items.map(
        ({ id }: { id: string }) => id,
      );
    expect(await listed('--table', 'line')).toEqual([ids[1]]);
    expect(await listed('--operation', 'update', '--mark', 'none')).toEqual([ids[2], ids[0]]);
    expect(await listed('--role', 'nobody')).toEqual([]);
    const { out } = await run('snapshots', 'list', '--database', 'postgres', '-n', '2');
    expect(out).toMatch(new RegExp(`^… and older ones: --before ${ids[1]} goes on`, 'm'));
    expect((await run('snapshots', 'list', '--mark', 'undone')).out).toMatch(/^There is no such snapshot in/);
  });

  it('lists page by page, and says how many are left', async () => {
    const { out } = await run('snapshots', 'list', '-n', '1');
    expect(out.split('\n').slice(1)).toEqual([
      expect.stringContaining(ids[2]!),
      `… and 2 older: --before ${ids[2]} goes on, --limit shows more at once`,
      '',
    ]);
    const older = JSON.parse((await run('snapshots', 'list', '--before', ids[2]!, '-n', '1', '--json')).out);
    expect(older).toMatchObject({
      items: [
        {
          id: ids[1],
          operation: 'delete',
          tables: ['public.item', 'public.line'],
          table_count: 2,
          rows_before: 30,
          rows_after: 0,
        },
      ],
      next: ids[1],
    });
    expect((await run('snapshots', 'list', '--until', '2020-01-01')).out).toMatch(
      /^There is no such snapshot in file:/,
    );
  });

  it('shows one by its id, the beginning of it, or as the latest', async () => {
    const { code, out } = await run('snapshots', 'show', ids[1]!);
    expect(code).toBe(0);
    expect(out).toMatch(/^statement +delete from item where id > 20$/m);
    expect(out).toMatch(/^decision +risk high, rule what changes$/m);
    expect(out).toMatch(/^stored +[\d.]+ K?i?B in its manifest: /m);
    expect(out).toMatch(/^public\.item +10 +0 .* id +by the statement$/m);
    expect(out).toMatch(/^public\.line +20 +0 .* item_id, no +by the foreign key line_item_id_fkey$/m);
    expect((await run('snapshots', 'show', ids[1]!.slice('snap_'.length, -1))).out).toBe(out);
    expect(JSON.parse((await run('snapshots', 'show', 'latest', '--json')).out)).toMatchObject({
      id: ids[2],
      format: 1,
      folder: expect.stringMatching(new RegExp(`^snapshots/\\d{4}/\\d\\d/\\d\\d/${ids[2]}$`)),
    });
  });

  it.each([
    [['show', 'snap_'], 1, 'several snapshots begin with snap_'],
    [['show', 'nope'], 1, 'there is no snapshot nope'],
    [['show', 'snap_0000000000zzzzzzzzzz'], 1, 'there is no snapshot snap_0000000000zzzzzzzzzz'],
    [['list', '--since', 'yesterday'], 2, 'It is a day like 2026-11-21'],
    [['list', '-n', '0'], 2, 'It is a number from 1 to 1000'],
    [['list', '--snapshots', 's3://B'], 2, '--snapshots: expected'],
    [['rows', 'latest'], 2, 'nobody has said how to log in to the database'],
    [['rows', 'latest', '--connection', 'host=x'], 2, '--connection: expected a URL'],
    [['rows', 'latest', '--connection', 'postgres://u:secret@127.0.0.1:1/d'], 1, 'did not let us in'],
    [['rows', 'latest', '--connection', 'postgres://127.0.0.1:6432/d'], 2, '127.0.0.1:6432 is the gateway'],
    [['delete', 'latest'], 2, 'nobody can be asked whether to remove'],
  ])('%j is answered with %i', async (args, code, message) => {
    const ran = await run('snapshots', ...args);
    expect(ran.err).toContain(message);
    expect(ran.err).not.toContain('secret');
    expect(ran.code).toBe(code);
  });

  it('shows rows as text and as JSON with their types', async () => {
    const text = await run('snapshots', 'rows', ids[0]!, '-n', '2', ...connection);
    expect(text.out).toBe(
      [
        'public.item before the statement, 3 rows',
        '',
        'id  name    price',
        '1   item 1  1.00',
        '2   item 2  2.00',
        '… and 1 more: --from 2 goes on, --limit shows more at once',
        '',
      ].join('\n'),
    );
    const args = ['snapshots', 'rows', ids[0]!, '--which', 'after', '--from', '2', '--json', ...connection];
    expect(JSON.parse((await run(...args)).out)).toEqual({
      id: ids[0],
      table: 'public.item',
      which: 'after',
      total: 3,
      next: null,
      items: [{ id: 3, name: 'item 3', price: 30 }],
    });
    const children = await run('snapshots', 'rows', ids[1]!, '--table', 'line', ...connection);
    expect(children.out).toMatch(/^public\.line before the statement, 20 rows$/m);
    expect(children.out).toMatch(/^also in it: public\.item \(--table\)$/m);
    const wrong = await run('snapshots', 'rows', ids[1]!, '--table', 'lines', ...connection);
    expect(wrong.err).toContain('the snapshot has no table lines\n  It has public.item, public.line.');
  });

  it('takes credentials from the environment as libpq has them', async () => {
    const { host, port, username } = new URL(fixture.postgres.url());
    const libpq = { PGHOST: host.split(':')[0]!, PGPORT: port, PGUSER: username };
    const { code, out } = await holdfast(['snapshots', 'rows', ids[0]!], { env: { ...env, ...libpq } });
    expect([code, out]).toEqual([0, expect.stringContaining('item 1')]);
  });

  it('verifies all of them, and names what is damaged', async () => {
    const { code, out } = await run('snapshots', 'verify');
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/^3 snapshots read whole, as written: 6 files, 38 rows, /),
    ]);
    const { folder } = JSON.parse((await run('snapshots', 'show', ids[0]!, '--json')).out);
    const path = join(fixture.gateway.directory, 'snapshots', folder, 'manifest.json');
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.toString().replace('"rows": ', '"rows": 1'));
    try {
      const damaged = await run('snapshots', 'verify');
      expect(damaged.code).toBe(1);
      expect(damaged.out).toMatch(new RegExp(`^${ids[0]}  manifest\\.json: `, 'm'));
      expect(damaged.out).toMatch(/^1 of 3 snapshots cannot be relied on /m);
      expect((await run('snapshots', 'verify', ids[1]!)).code).toBe(0);
    } finally {
      writeFileSync(path, bytes);
    }
  });

  it('removes one when it is told to, and one that is damaged as well', async () => {
    const args = ['snapshots', 'delete', ids[2]!];
    const declined = await holdfast(args, { env, answer: 'no' });
    expect([declined.code, declined.err]).toEqual([1, expect.stringContaining('Nothing was removed.')]);
    expect(declined.err).toMatch(/holds 1 row as postgres had it in postgres, .* before: update item/);
    expect((await run('snapshots', 'verify', ids[2]!)).code).toBe(0);
    const agreed = await holdfast(args, { env, answer: 'y' });
    expect([agreed.code, agreed.out]).toEqual([0, `${ids[2]} is removed.\n`]);
    const { folder } = JSON.parse((await run('snapshots', 'show', ids[0]!, '--json')).out);
    writeFileSync(join(fixture.gateway.directory, 'snapshots', folder, 'manifest.json'), '{');
    expect((await run('snapshots', 'list')).out).toMatch(new RegExp(`^${ids[0]} .*cannot be read`, 'm'));
    expect((await run('snapshots', 'delete', ids[0]!, '--yes')).code).toBe(0);
    expect(JSON.parse((await run('snapshots', '--json')).out).items).toHaveLength(1);
  });
});

describe('holdfast undo', () => {
  beforeAll(start);
  afterAll(stop);

  const rows = async (sql: string): Promise<string[]> =>
    (await fixture.postgres.sql(sql)).map((row) => row.join('|'));

  it('says what it would do, and does nothing', async () => {
    const { code, out } = await run('undo', ids[1]!, '--dry-run', ...connection);
    expect(code).toBe(0);
    expect(out).toMatch(/^PUT BACK +SET BACK +REMOVED +ALREADY +CONFLICTS +TABLE$/m);
    expect(out).toMatch(/^ +10 +0 +0 +0 +0 +public\.item$/m);
    expect(out).toMatch(/^ +20 +0 +0 +0 +0 +public\.line$/m);
    expect(out).toMatch(/^Tried: 30 rows put back\. All of it went well, and was taken back\.$/m);
    expect(await rows('select count(*) from item')).toEqual(['20']);
  });

  it('asks whoever sits there', async () => {
    const declined = await holdfast(['undo', ids[1]!, ...connection], { env, answer: '' });
    expect([declined.code, declined.err]).toEqual([1, 'Do this? [y/N] Nothing was done.\n']);
    expect(await rows('select count(*) from item')).toEqual(['20']);
  });

  it('puts back what was there, and can be undone itself', async () => {
    const { code, out } = await run('undo', ids[1]!, ...connection);
    expect([code, out]).toEqual([0, expect.stringMatching(/^Done: 30 rows put back\.$/m)]);
    expect(await rows('select count(*) from item')).toEqual(['30']);
    const own = /^To undo this undo: holdfast undo (snap_\w{20})$/m.exec(out)![1]!;
    expect((await run('snapshots', 'show', own)).out).toMatch(
      new RegExp(`^statement +holdfast undo ${ids[1]}$`, 'm'),
    );
    expect((await run('snapshots', 'show', ids[1]!)).out).toMatch(new RegExp(`^undone +.* as ${own}$`, 'm'));
    expect((await run('snapshots')).out).toMatch(new RegExp(`^${ids[1]} .* \\(undone\\) `, 'm'));
    const again = await run('undo', ids[1]!, ...connection);
    expect([again.code, again.err]).toEqual([
      1,
      expect.stringMatching(/^holdfast: it was undone already, by /),
    ]);
    expect(again.err).toContain('--force undoes it all the same.');
    expect((await run('undo', ids[1]!, '--force', ...connection)).out).toContain(
      'Nothing to do: all rows are as they were',
    );
    expect((await run('undo', own, ...connection)).out).toMatch(/^Done: 30 rows removed\.$/m);
    expect(await rows('select count(*) from line')).toEqual(['40']);
  });

  it('shows conflicts row by row, exits with a code of their own, and goes by what it is told of them', async () => {
    await fixture.postgres.sql('update item set price = 7 where id = 2; delete from item where id = 3');
    const { code, out, err } = await run('undo', ids[0]!, ...connection);
    expect(code).toBe(4);
    expect(out).toContain(
      [
        'public.item: a row to set back, but it was changed since',
        '  before   id=2  price=2.00',
        '  left as  id=2  price=20.00',
        '  now      id=2  price=7.00',
        'public.item: a row to set back, but it is gone since',
        '  before   id=3  price=3.00',
        '  left as  id=3  price=30.00',
        '  now      (not there)',
      ].join('\n'),
    );
    expect(err).toMatch(/--on-conflict skip leaves them/);
    expect((await run('undo', ids[0]!, '--conflicts', '1', ...connection)).out).toMatch(
      /^… and 1 more conflict$/m,
    );
    const json = await run('undo', ids[0]!, '--json', ...connection);
    expect([json.code, JSON.parse(json.out)]).toMatchObject([
      4,
      {
        id: ids[0],
        outcome: 'conflicts',
        conflicts: [{ undoing: 'set_back', kind: 'changed' }, { kind: 'gone' }],
      },
    ]);
    const skipped = await run('undo', ids[0]!, '--on-conflict', 'skip', '--no-snapshot', ...connection);
    expect(skipped.out).toMatch(/^Done: 1 row set back\.$/m);
    expect(await rows('select id, price from item where id < 4 order by id')).toEqual(['1|1.00', '2|7.00']);
    const forced = await run('undo', ids[0]!, '--on-conflict', 'overwrite', '--json', ...connection);
    expect(JSON.parse(forced.out)).toMatchObject({
      outcome: 'done',
      dry_run: false,
      tables: [{ table: 'public.item', put_back: 1, set_back: 1 }],
      undo_snapshot: expect.stringMatching(/^snap_/),
    });
    expect(await rows('select price from item where id < 4 order by id')).toEqual(['1.00', '2.00', '3.00']);
  });

  it('puts rows into a table of their own, and says what to do where they no longer fit', async () => {
    await fixture.postgres.sql('alter table item drop column name');
    const refused = await run('undo', ids[2]!, ...connection);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('public.item: its column name was dropped since\n  --into TABLE');
    const { code, out } = await run('undo', ids[2]!, '--into', 'item_before', ...connection);
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/^Done: 1 row put back into public\.item_before\.$/m),
    ]);
    expect(await rows('select name from item_before')).toEqual(['item 5']);
    const again = await run('undo', ids[2]!, '--into', 'item_before', ...connection);
    expect([again.code, again.err]).toEqual([
      1,
      expect.stringContaining('"item_before" already exists [42P07]'),
    ]);
  });

  it('says of a statement that was rolled back that there is nothing to undo', async () => {
    const client = await fixture.client();
    await client.query('begin');
    await client.query('update item set price = 0 where id = 9');
    await client.query('rollback');
    await client.terminate();
    const { items } = JSON.parse((await run('snapshots', '--json', '-n', '1')).out);
    await eventually('the mark', async () => {
      const { out } = await run('snapshots', 'show', items[0].id);
      return /^transaction .*; rolled back, so that there is nothing to undo$/m.test(out) ? null : out;
    });
    expect((await run('snapshots', '-n', '1')).out).toMatch(/ \(rolled back\) update item set price = 0/);
    const { code, out } = await run('undo', items[0].id, ...connection);
    expect([code, out]).toEqual([1, expect.stringContaining('it was rolled back')]);
    const forced = await run('undo', items[0].id, '--force', ...connection);
    expect(forced.out).toContain('Nothing to do: all rows are as they were');
  });

  it.each([
    [['--on-conflict', 'maybe'], 2, 'It is fail, skip, overwrite.'],
    [['--table', 'item'], 2, '--table is for --into'],
    [[], 2, 'nobody has said how to log in to the database'],
  ])('%j is answered with %i', async (args, code, message) => {
    const ran = await run('undo', 'latest', ...args);
    expect([ran.code, ran.err]).toEqual([code, expect.stringContaining(message)]);
  });
});
