import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { RawClient } from '../support/raw-client.ts';
import { HeldPreviews } from './held-preview.ts';

const SCHEMA = `
  create role app login; create role poor login; create role agent login superuser;
  create table customers (id int primary key, name text, secret text default 's', balance numeric(10,2));
  create table orders (id serial primary key, customer int references customers on delete cascade, note text);
  create table items (id serial primary key, "order" int references orders on delete cascade);
  create table notes (id serial primary key, customer int references customers on delete set null);
  create table guarded (id int primary key, owner text);
  insert into customers select i, 'c' || i, 's' || i, i from generate_series(1, 50) i;
  insert into orders (customer, note) select i % 50 + 1, 'o' || i from generate_series(1, 200) i;
  insert into items ("order") select i % 200 + 1 from generate_series(1, 600) i;
  insert into notes (customer) values (1), (2), (60 - 20);
  insert into guarded values (1, 'app'), (2, 'other');
  alter table guarded enable row level security;
  create policy own on guarded using (owner = current_user);
  grant all on customers, orders, guarded to app; grant select on items to app;
  grant delete, update on customers to poor; grant select (id) on customers to poor;
  create function noticed(i int) returns boolean language plpgsql as $$ begin perform pg_advisory_lock(42); return true; end $$;
  create function liar(i int) returns boolean immutable language plpgsql as $$ begin perform pg_advisory_lock(42); return true; end $$;
  create function logged() returns trigger language plpgsql as $$ begin return coalesce(new, old); end $$;
  create trigger log_orders after delete or insert on orders for each row execute function logged();
  create trigger log_customers before update on customers for each row execute function logged();
  create view hiding as select * from guarded;
  create view rich as select * from customers where balance > 10;
  create view richer as select * from rich;
  create type mood as enum ('sad', 'ok'); create table moods (id int, m mood); insert into moods values (1, 'sad');
  create function sneaky(c customers) returns boolean language plpgsql as $$ begin perform pg_advisory_lock(42); return true; end $$;
  create function stealthy(i int) returns int immutable language plpgsql as $$ begin perform pg_advisory_lock(42); return i; end $$;
  create function told(m mood) returns text immutable language plpgsql as $$ begin perform pg_advisory_lock(42); return 'x'; end $$;
  create function alike(a mood, b mood) returns boolean immutable language plpgsql as $$ begin perform pg_advisory_lock(42); return true; end $$;
  create table checked (id int check (stealthy(1) = 1)); create table indexed (id int); create index on indexed ((id + stealthy(2)));
  create table defaulted (id int primary key, d int default stealthy(3), g int generated always as (id + 1) stored);
  create table ruled (id int); create rule r as on delete to ruled do instead nothing;
  insert into checked values (1); insert into indexed values (1); insert into defaulted values (1); insert into ruled values (1);
  create view sly as select * from customers where stealthy(id) > 0;
  create view peeping as select stealthy(7) as i;
  create table accounts (id int primary key, password text, hint text, salt int, owner text);
  insert into accounts values (1, 'old', 'h', 2, 'eve'), (2, 'old', 'h', 2, 'ann'), (3, 'old', 'h', 2, 'bob');
  create domain strict as int check (stealthy(value) > 0); create table strictly (id int, s strict); insert into strictly values (1, 1);
  select pg_advisory_unlock_all();
  analyze;`;

/** Statements that would run code of the user's if they were evaluated, each with what is said of it. */
const SNEAKING: readonly (readonly [sql: string, reason: string])[] = [
  ['DELETE FROM customers c WHERE c.sneaky', 'sneaky'],
  ['DELETE FROM customers c WHERE (c).sneaky', 'sneaky'],
  ['DELETE FROM customers WHERE id IN (SELECT c.id FROM customers c WHERE c."sneaky")', 'sneaky'],
  ['DELETE FROM checked WHERE id = 1', 'stealthy'],
  ['TRUNCATE checked', 'stealthy'],
  ['DELETE FROM customers WHERE id IN (SELECT id FROM checked)', 'stealthy'],
  ['DELETE FROM indexed WHERE id = 1', 'stealthy'],
  ['DELETE FROM ruled WHERE id = 1', 'a rule rewrites what is done to ruled'],
  ['DELETE FROM customers WHERE id = stealthy(1)', 'stealthy'],
  ['WITH q AS (SELECT stealthy(1) AS i) DELETE FROM customers USING q WHERE id = q.i', 'stealthy'],
  ['DELETE FROM customers WHERE U&"n\\0061me" = \'c1\'', 'escapes'],
  [
    "DELETE FROM customers WHERE table_to_xml('peeping'::regclass, true, false, '') IS NOT NULL",
    'table_to_xml',
  ],
  ["DELETE FROM customers WHERE schema_to_xml('public', true, false, '')::text <> ''", 'schema_to_xml'],
  [
    "UPDATE customers SET name = query_to_xml('select stealthy(1)', true, false, '')::text WHERE id = 1",
    'query_to_xml',
  ],
  [
    "DELETE FROM customers WHERE 'a' @@ ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery from peeping')",
    'ts_rewrite',
  ],
  ['DELETE FROM strictly t WHERE (json_populate_record(t, \'{"s": 2}\')).s = 2', 'stealthy'],
  ["DELETE FROM customers WHERE 'customers'::regclass::int = id AND random() < 2", 'random'],
];

const POLICY = `
mode: protect
defaults: { high: hold, critical: hold }
hold: { mode: live }
mask: [customers.secret]
rules:
  - { name: agents, match: { role: [agent] , operation: [delete] }, action: hold, hold: { mode: ticket } }
`;

const SLOW = 'EXISTS (SELECT FROM generate_series(1, 2000000000) g WHERE g = -customers.id)';

const STATE = `select md5(string_agg(t::text, ',' order by t::text)) from (
  select c::text from customers c union all select o::text from orders o union all select i::text from items i) t
  union all select last_value::text from orders_id_seq`;

describe.each([15, 18] as const)('the preview of a held statement on PostgreSQL %i', (version) => {
  // What the version makes no difference to, or takes seconds, is tried on one of them.
  const newest = it.runIf(version === 18);
  const oldest = it.runIf(version === 15);
  let held: HeldPreviews;
  let client: pg.Client;

  beforeAll(async () => {
    held = await HeldPreviews.start(version, SCHEMA, POLICY);
    client = await held.client();
  });
  afterAll(() => held?.stop());

  const of = (sql: string, values?: readonly unknown[]) => held.of(client, sql, values);
  const locked = async () =>
    Number((await held.postgres.sql("select count(*) from pg_locks where locktype = 'advisory'"))[0]![0]);

  it('counts its rows and those of every cascade, shows some, and changes nothing', async () => {
    const before = await held.postgres.sql(STATE);
    const preview = await of('DELETE FROM customers WHERE id <= 10');
    expect(preview.rows).toEqual({ kind: 'exact', rows: 10 });
    expect(preview.cascades).toMatchObject({ kind: 'tree' });
    const nodes = preview.cascades.kind === 'tree' ? preview.cascades.nodes : [];
    expect(
      nodes.map(({ table, parent, level, change, rows }) => [table, parent, level, change, rows]),
    ).toEqual([
      ['orders', null, 1, 'delete', { kind: 'exact', rows: 40 }],
      ['notes', null, 1, 'update', { kind: 'exact', rows: 2 }],
      ['items', nodes[0]!.id, 2, 'delete', { kind: 'exact', rows: 120 }],
    ]);
    expect(preview.triggers).toEqual({
      kind: 'list',
      items: [
        {
          table: 'public.orders',
          name: 'log_orders',
          function: 'logged',
          timing: 'after',
          level: 'row',
          events: ['delete'],
        },
      ],
    });
    expect(preview.sample).toMatchObject({ kind: 'rows', after: 'removed', more: true });
    expect(preview.locks).toMatchObject({ mode: 'RowExclusiveLock', sessions: { kind: 'list', items: [] } });
    expect(preview.undo.possible).toBe('yes');
    expect(preview.tables.map(({ name, cause }) => `${name} ${cause}`)).toEqual([
      'customers target',
      'orders cascade',
      'notes cascade',
      'items cascade',
    ]);
    expect(preview.tables.every(({ bytes }) => bytes !== null && bytes > 0)).toBe(true);
    expect(held.ended).toBe('42501');
    expect(await held.postgres.sql(STATE)).toEqual(before);
  });

  it('computes what an UPDATE would make of the rows, with its parameters, and shows nothing masked', async () => {
    const sql =
      'UPDATE customers SET balance = balance * $2, secret = upper(name) WHERE id < $1 AND name <> $3';
    const preview = await of(sql, [3, '1.5', 'x']);
    expect(preview.rows).toEqual({ kind: 'exact', rows: 2 });
    expect(preview.sample).toMatchObject({
      kind: 'rows',
      after: 'computed',
      after_reason: 'the trigger log_customers may change it',
      rows: [
        { before: ['1', 'c1', null, '1.00'], after: ['1', 'c1', null, '1.50'] },
        { before: ['2', 'c2', null, '2.00'], after: ['2', 'c2', null, '3.00'] },
      ],
    });
    const columns = preview.sample.kind === 'rows' ? preview.sample.columns : [];
    expect(columns.map(({ name, masked, assigned }) => [name, masked, assigned])).toEqual([
      ['id', false, false],
      ['name', false, false],
      ['secret', true, true],
      ['balance', false, true],
    ]);
    expect(preview.parameters).toEqual({ count: 3, values: ['3', '1.5', 'x'] });
    expect(JSON.stringify(preview)).not.toContain('s1');
  });

  it('looks at a text with a secret as at any other, and shows no column that may hold it', async () => {
    const commented = await of("DELETE FROM customers WHERE name = 'c1' /* pwd=x */");
    expect(commented.rows).toEqual({ kind: 'exact', rows: 1 });
    expect(commented.sample).toMatchObject({ rows: [{ before: ['1', null, null, '1.00'] }] });
    expect(commented.cascades).toMatchObject({ kind: 'tree' });

    const set = "UPDATE accounts SET password = 'hushed', hint = 'so hushed' WHERE id > 1 AND salt = 2";
    const changed = await of(set);
    expect(changed.rows).toEqual({ kind: 'exact', rows: 2 });
    expect(changed.sample).toMatchObject({
      after: 'computed',
      rows: [
        { before: ['2', null, null, null, 'ann'], after: ['2', null, null, null, 'ann'] },
        { before: ['3', null, null, null, 'bob'], after: ['3', null, null, null, 'bob'] },
      ],
    });
    const found = await of("DELETE FROM accounts WHERE password = 'old' OR id = 3");
    expect(found.rows).toEqual({ kind: 'exact', rows: 3 });
    const moved = await of("UPDATE accounts SET id = length('hushed'), owner = 'x' WHERE password = 'old'");
    const hidden = [null, null, 'h', '2', null];
    expect(moved.sample).toMatchObject({ rows: Array(3).fill({ before: hidden, after: hidden }) });
    const refused = await of("UPDATE accounts SET salt = 'hushed', password = 'hushed'");
    const given = await of('UPDATE accounts SET password = $1, owner = $2 WHERE id = $3', ['hushed', 'x', 2]);
    expect(given.parameters).toEqual({ count: 3, values: ['***', 'x', '2'] });
    expect(given.sample).toMatchObject({
      rows: [{ before: ['2', null, 'h', '2', 'ann'], after: ['2', null, 'h', '2', 'x'] }],
    });
    for (const preview of [commented, changed, found, moved, refused, given])
      expect(JSON.stringify(preview)).not.toMatch(/hushed|old|s1/);
  });

  newest(
    'runs no function that is not PostgreSQL’s own, and none that may do something each time',
    async () => {
      for (const call of ['noticed(id)', 'liar(id)', 'liar(1)']) {
        const preview = await of(`DELETE FROM customers WHERE ${call}`);
        const name = call.slice(0, call.indexOf('('));
        const why = { kind: 'unknown', reason: `${name} is not a function of PostgreSQL's own` };
        expect(preview.rows).toEqual(why);
        expect(preview.sample).toEqual(why);
      }
      for (const [sql, reason] of SNEAKING) {
        const { rows } = await of(sql);
        expect(rows, sql).toMatchObject({ reason: expect.stringContaining(reason) });
        expect(rows.kind, sql).toBe(/random|TRUNCATE/.test(sql) ? 'estimate' : 'unknown');
      }
      expect(await locked()).toBe(0);
      const random = await of('DELETE FROM customers WHERE random() < 2');
      expect(random.rows).toMatchObject({ kind: 'estimate', reason: expect.stringContaining('random') });
      const set = await of('UPDATE customers SET balance = random() WHERE id = 1');
      expect(set.sample).toMatchObject({ after: 'unknown', rows: [{ after: null }] });
    },
  );

  newest(
    'plans nothing that a default of the user’s belongs to, and sees what was made for a type',
    async () => {
      const upsert = await of('INSERT INTO defaulted VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2');
      expect(upsert.rows).toEqual({ kind: 'exact', rows: 1 });
      const volatile = await of('DELETE FROM defaulted WHERE random() < 2');
      expect(volatile.rows).toMatchObject({ kind: 'unknown', reason: expect.stringContaining('random') });
      expect((await of("DELETE FROM moods WHERE m = 'sad'")).rows).toEqual({ kind: 'exact', rows: 1 });
      await held.postgres.sql('create cast (mood as text) with function told(mood) as implicit');
      expect((await of('DELETE FROM moods')).rows).toMatchObject({ reason: expect.stringContaining('told') });
      await held.postgres.sql(
        'drop cast (mood as text); create operator = (function = alike, leftarg = mood, rightarg = mood)',
      );
      expect((await of("DELETE FROM moods WHERE m = 'ok'")).rows).toMatchObject({
        reason: expect.stringContaining('alike'),
      });
      await held.postgres.sql('drop operator = (mood, mood)');
      expect(await locked()).toBe(0);
    },
  );

  it('ends a segment that has run nothing but a BEGIN, and leaves one that has run more', async () => {
    const raw = await RawClient.open(held.gateway.port, {});
    const run = async (first: string) => {
      const statement = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()];
      raw.write(...statement(first), ...statement('DELETE FROM notes WHERE id = 1'), fe.sync());
      const id = await held.pending();
      const { rows } = await held.ready(id);
      await held.gateway.http(`/v1/approvals/${id}/approve`, { method: 'POST', body: {} });
      return { rows, status: await raw.untilReady() };
    };
    const begun = await run('BEGIN');
    expect(begun.rows).toEqual({ kind: 'exact', rows: 1 });
    expect(await raw.rows('SELECT count(*) FROM notes WHERE id = 1')).toEqual([['0']]);
    await raw.rows('ROLLBACK');
    const inserted = await run("INSERT INTO guarded VALUES (9, 'x')");
    expect(inserted.rows).toEqual({ kind: 'unknown', reason: 'it follows messages that no Sync has ended' });
    expect(
      await raw.rows(
        'SELECT (SELECT count(*) FROM notes WHERE id = 1), (SELECT count(*) FROM guarded WHERE id = 9)',
      ),
    ).toEqual([['0', '1']]);
    await held.postgres.sql('insert into notes values (1, 1)');
    await raw.terminate();
  });

  newest('looks behind a view of one table, and runs none', async () => {
    const view = await of('UPDATE rich SET name = $1 WHERE id < 20', ['x']);
    expect(view.rows).toEqual({ kind: 'exact', rows: 9 });
    expect(view.rows_bound).toBe('set');
    expect(view.tables.map(({ name, cause }) => [name, cause])).toEqual([
      ['rich', 'target'],
      ['customers', 'target'],
    ]);
    expect(
      view.sample.kind === 'rows' && view.sample.columns.find(({ name }) => name === 'secret')?.masked,
    ).toBe(true);
    expect(view.triggers).toMatchObject({ kind: 'list', items: [{ name: 'log_customers' }] });
    for (const [sql, reason] of [
      ['DELETE FROM sly WHERE id = 1', 'stealthy'],
      ['DELETE FROM rich WHERE id IN (SELECT id FROM rich)', 'other relations are read with it'],
      ['DELETE FROM hiding WHERE id = 1', 'row security may hide rows of guarded'],
      ['DELETE FROM richer WHERE id = 1', 'no view of a table'],
    ] as const)
      expect((await of(sql)).rows).toEqual({ kind: 'unknown', reason: expect.stringContaining(reason) });
    expect(await locked()).toBe(0);
  });

  newest('tells wide rows without a key from each other up to a limit, and counts more', async () => {
    await held.postgres.sql(
      "create table wide as select repeat('x', 1000000) as t, i from generate_series(1, 20) i",
    );
    await held.postgres.sql('alter table wide alter t set storage external');
    const few = await of('DELETE FROM wide WHERE i < 5');
    expect([few.rows, few.rows_bound]).toEqual([{ kind: 'exact', rows: 4 }, 'set']);
    const all = await of('DELETE FROM wide');
    expect([all.rows, all.rows_bound]).toEqual([{ kind: 'exact', rows: 20 }, 'number']);
    await held.postgres.sql('drop table wide');
  });

  newest('says of row security and missing rights that they leave it unknown', async () => {
    const behind = await of('DELETE FROM customers WHERE id IN (SELECT id FROM rich)');
    expect(behind.rows).toEqual({ kind: 'unknown', reason: 'rich is no table of its own rows' });
    const app = await held.client('app');
    const guarded = await held.of(app, 'DELETE FROM guarded WHERE id > 0');
    expect(guarded.rows).toEqual({
      kind: 'unknown',
      reason: 'row security hides rows of guarded from this role',
    });
    const cascading = await held.of(app, 'DELETE FROM customers WHERE id = 1');
    expect(cascading.rows).toEqual({ kind: 'exact', rows: 1 });
    const nodes = cascading.cascades.kind === 'tree' ? cascading.cascades.nodes : [];
    expect(nodes.map(({ table, rows }) => [table, rows.kind])).toEqual([
      ['orders', 'unknown'],
      ['notes', 'unknown'],
      ['items', 'unknown'],
    ]);
    const poor = await held.of(await held.client('poor'), 'DELETE FROM customers WHERE id = 1');
    expect(poor.rows).toEqual({ kind: 'unknown', reason: 'this role may not read customers' });
    expect(poor.undo).toEqual({ possible: 'no', reason: 'this role may not read customers' });
  });

  it('sees who holds a lock that it would wait for, and gives up soon where it would have to wait itself', async () => {
    const other = await RawClient.open(held.postgres.port, { application_name: 'report' });
    try {
      await other.rows('BEGIN; LOCK TABLE orders IN SHARE MODE');
      const { locks } = await of('DELETE FROM customers WHERE id = 2');
      const sessions = locks.kind === 'level' && locks.sessions.kind === 'list' ? locks.sessions.items : [];
      expect(sessions).toMatchObject([
        {
          application: 'report',
          role: 'postgres',
          table: 'public.orders',
          mode: 'ShareLock',
          relation: 'holds',
        },
      ]);
      await other.rows('LOCK TABLE customers IN ACCESS EXCLUSIVE MODE');
      const waiting = await of('DELETE FROM customers WHERE id = 2');
      expect(waiting.rows).toEqual({ kind: 'unknown', reason: 'a table is locked by others' });
      expect(waiting.locks).toMatchObject({ mode: 'RowExclusiveLock', sessions: { kind: 'list' } });
    } finally {
      await other.terminate();
    }
  });

  newest('looks at a TRUNCATE and its cascades, at a DROP, and at what it does not understand', async () => {
    const truncate = await of('TRUNCATE customers CASCADE');
    expect(truncate.rows).toEqual({ kind: 'exact', rows: 50 });
    const nodes = truncate.cascades.kind === 'tree' ? truncate.cascades.nodes : [];
    expect(Object.fromEntries(nodes.map(({ table, rows }) => [table, rows]))).toEqual({
      orders: { kind: 'exact', rows: 200 },
      items: { kind: 'exact', rows: 600 },
      notes: { kind: 'exact', rows: 3 },
    });
    expect(truncate.locks).toMatchObject({
      mode: 'AccessExclusiveLock',
      blocks: 'everything, plain reads too',
    });
    const drop = await of('DROP TABLE moods');
    expect(drop).toMatchObject({ rows: { kind: 'exact', rows: 1 }, undo: { possible: 'unknown' } });
    expect(drop.sample).toMatchObject({ kind: 'rows', rows: [{ before: ['1', 'sad'], after: null }] });
    const several = await of('DELETE FROM moods; DELETE FROM notes');
    expect(several.rows).toEqual({ kind: 'unknown', reason: 'it is several statements in one text' });
    const code = await of('DO $$ BEGIN END $$');
    expect(code).toMatchObject({
      rows: { kind: 'unknown' },
      cascades: { kind: 'unknown' },
      undo: { possible: 'no' },
    });
  });

  newest('asks nobody anew for a client that gives up while its rows are counted', async () => {
    const agent = await held.client('agent');
    await held.postgres.sql(
      'create table if not exists knob (n int); delete from knob; insert into knob values (1)',
    );
    const slow =
      'DELETE FROM customers WHERE id = 50 AND (SELECT count(*) FROM knob k, generate_series(1, k.n)) > 0';
    const code = () =>
      agent.query(slow).then(
        () => 'done',
        (error: { code?: string }) => error.code,
      );
    expect(await code()).toBe('HF001');
    const id = await held.pending();
    await held.gateway.http(`/v1/approvals/${id}/approve`, { method: 'POST', body: {} });
    await held.postgres.sql('update knob set n = 2000000000');
    const running = code();
    await held.counting();
    await held.cancel(agent);
    expect(await running).toBe('57014');
    const { body } = await held.gateway.http('/v1/approvals?state=pending');
    expect(body).toMatchObject({ items: [] });
    const { body: approved } = await held.gateway.http(`/v1/approvals/${id}`);
    expect(approved).toMatchObject({ grant: { consumed_at: null } });
  });

  it('leaves a transaction of the client’s as it was', async () => {
    await client.query('BEGIN');
    await client.query("INSERT INTO customers VALUES (100, 'new', 's', 1)");
    const preview = await held.of(
      client,
      'UPDATE customers SET name = $1 WHERE id = 100',
      ['newer'],
      'approve',
    );
    expect(preview.sample).toMatchObject({ rows: [{ before: ['100', 'new', null, '1.00'] }] });
    expect(held.ended).toBe('done');
    await client.query('SELECT 1');
    await client.query('COMMIT');
    expect(await held.postgres.sql('select name from customers where id = 100')).toEqual([['newer']]);
    expect((await client.query('SHOW transaction_read_only')).rows).toEqual([
      { transaction_read_only: 'off' },
    ]);
    expect((await client.query('SHOW statement_timeout')).rows).toEqual([{ statement_timeout: '0' }]);
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    const repeatable = await of('DELETE FROM customers WHERE id = 100');
    expect(repeatable.rows).toMatchObject({
      kind: 'unknown',
      reason: expect.stringContaining('repeatable read'),
    });
    await client.query('ROLLBACK');
  });

  newest('is there by the time that a ticket is given', async () => {
    const agent = await held.client('agent');
    const error = await agent.query('DELETE FROM notes WHERE id = 3').catch((refused) => refused);
    expect(error.code).toBe('HF001');
    const { approval_id: id } = JSON.parse(error.detail);
    const { body } = await held.gateway.http(`/v1/approvals/${id}/preview`);
    expect(body).toMatchObject({ state: 'ready', preview: { rows: { kind: 'exact', rows: 1 } } });
    await held.gateway.http(`/v1/approvals/${id}/deny`, { method: 'POST', body: {} });
  });

  oldest('gives the estimate instead of a count that takes too long', async () => {
    const preview = await of(`DELETE FROM customers WHERE ${SLOW}`);
    expect(preview.rows).toMatchObject({ kind: 'estimate', reason: 'it took too long' });
    expect(preview.took_ms).toBeLessThan(10_000);
    expect(preview.undo.possible).toBe('yes');
  });

  oldest('keeps nobody from cancelling, denying or leaving', async () => {
    const slow = () => client.query(`DELETE FROM customers WHERE ${SLOW}`).catch((error) => error.code);
    const began = performance.now();
    const denied = slow();
    const id = await held.pending();
    await held.gateway.http(`/v1/approvals/${id}/deny`, { method: 'POST', body: {} });
    expect(await denied).toBe('42501');
    const canceled = slow();
    await held.pending();
    await held.cancel(client);
    expect(await canceled).toBe('57014');
    expect(performance.now() - began).toBeLessThan(7_000);
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    const leaving = await held.client();
    leaving.query(`DELETE FROM customers WHERE ${SLOW}`).catch(() => {});
    const left = await held.pending();
    held.leave(leaving);
    await expect
      .poll(async () => (await held.gateway.http(`/v1/approvals/${left}`)).body, { timeout: 5_000 })
      .toMatchObject({ state: 'disconnected' });
  });
});
