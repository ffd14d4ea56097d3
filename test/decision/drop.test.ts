import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { openBlobStore } from '../../src/blobs/open.ts';
import { type Manifest, readManifest, snapshotFolder } from '../../src/snapshot/manifest.ts';
import { ownSnapshotOf } from '../../src/undo/own-facts.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { previewUndo, undo } from '../../src/undo/undo.ts';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: as well as can be, match: { application: [careless] }, action: snapshot, snapshot: best_effort }
  - { name: what goes, match: { operation: ["drop *", "alter table"] }, action: snapshot }
  - { name: code, match: { application: [replacing], risk: [high] }, action: snapshot }
  - { name: the rest, match: {}, action: allow }
`;

const SETUP = `create schema app; create table app.parent (id int primary key, note text); insert into app.parent select g, 'n' || g from generate_series(1, 100) g;
  create table app.child (parent int references app.parent); insert into app.child values (1); create view app.seen as select * from app.parent`;

async function holdfast(folder: string, ...args: readonly string[]): Promise<string> {
  const main = join(import.meta.dirname, '../../src/cli/main.ts');
  const place = ['--snapshots', `file:${join(folder, 'snapshots')}`];
  const env = { ...process.env, HOLDFAST_AUDIT_SIGNING_KEY: join(folder, 'audit-key.pem') };
  return (await promisify(execFile)(process.execPath, [main, ...args, ...place], { env })).stdout;
}

const shown = (messages: readonly BackendMessage[]) =>
  messages.map(({ type, body }) => `${type} ${body.toString('latin1').replace(/F\w+\.c\0L\d+\0R\w+\0/, '')}`);

describe('a DROP of which policy wants a snapshot', () => {
  let fixture: DecisionFixture;
  let store: BlobStore;
  let direct: RawClient;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, (postgres) => ({
      HOLDFAST_SNAPSHOTS_TAKEN: 'on',
      HOLDFAST_UNDO_CONNECTION: postgres.url(),
    }));
    store = openBlobStore({ kind: 'file', directory: join(fixture.gateway.directory, 'snapshots') });
  });
  afterAll(async () => {
    await store?.close();
    await fixture?.stop();
  });
  beforeEach(async () => {
    direct = await RawClient.open(fixture.postgres.port);
    await direct.rows(`drop schema if exists app, holdfast_trash cascade; ${SETUP}`);
    return () => direct.terminate();
  });

  async function manifests(): Promise<Manifest[]> {
    const out: Manifest[] = [];
    for await (const { key } of store.list('snapshots/')) {
      if (key.endsWith('/manifest.json')) out.push(await readManifest(store, key.slice(0, -14)));
    }
    return out.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  const there = async (name: string) =>
    (await direct.rows(`select to_regclass('${name}') is not null`))[0]![0] === 't';

  async function undone(manifest: Manifest) {
    const session = await connectForUndo(fixture.postgres.url());
    try {
      const preview = await previewUndo({ store, manifest, session });
      const outcome = await undo({ store, manifest, session });
      // What only the server could tell, a preview does not: it would have to lock what others use.
      expect(['preview', outcome.kind]).toContain(preview.kind);
      return outcome;
    } finally {
      await session.close();
    }
  }

  /** As the command line does it: with a mark, and a snapshot of its own where it takes one. */
  async function undoneOnce(id: string, onConflict: 'fail' | 'skip' | 'overwrite' = 'fail') {
    const session = await connectForUndo(fixture.postgres.url());
    try {
      const manifest = (await manifests()).find((each) => each.id === id)!;
      const folder = snapshotFolder(id, Date.parse(manifest.created_at));
      const own = await ownSnapshotOf(manifest, session, { version: '1', client: 'test', name: 'test' });
      const marking = { folder, by: 'test', force: false };
      const outcome = await undo({ store, manifest, session }, { onConflict, marking, snapshot: own });
      return { outcome, own: own.facts.id };
    } finally {
      await session.close();
    }
  }

  it.each([
    'drop table app.parent cascade',
    'drop table if exists app.nothing, app.child',
    'drop view app.seen',
    'drop schema app cascade',
    'drop table app.parent',
    'drop table app.nothing',
    'drop view app.parent',
    'drop table if exists app.nothing',
  ])('is answered as it would be directly: %s', async (sql) => {
    await direct.rows('begin');
    const wanted = await direct.query(sql);
    await direct.rows('rollback');
    const client = await fixture.client();
    const messages = await client.query(sql);
    expect(shown(messages).slice(0, -1)).toEqual(shown(wanted).slice(0, -1));
    expect(statusOf(messages)).toBe('I');
    expect((await client.rows('select 1'))[0]).toEqual(['1']);
    await client.terminate();
  });

  /** What the command line says of an undo that it takes back. */
  const tried = (id: string) =>
    holdfast(fixture.gateway.directory, 'undo', id, '--connection', fixture.postgres.url(), '--dry-run');

  it('is moved, recorded, and brought back', async () => {
    const client = await fixture.client({ application_name: 'mover' });
    await client.query('drop table app.parent cascade');
    const { status, body } = await fixture.gateway.http('/v1/trash');
    expect({ status, body }).toMatchObject({
      status: 200,
      body: {
        items: [{ statement: 'drop table app.parent cascade', archived: false, purged_after: null }],
        total: { drops: 1 },
        failures: [],
      },
    });
    expect((body as { items: { bytes: number }[] }).items[0]!.bytes).toBeGreaterThan(8000);
    expect([await there('app.parent'), await there('app.seen'), await there('app.child')]).toEqual([
      false,
      false,
      true,
    ]);
    expect(await direct.rows('insert into app.child values (1000) returning 1')).toHaveLength(1);
    const manifest = (await manifests()).at(-1)!;
    expect(manifest).toMatchObject({
      statement: { operation: 'drop table' },
      tables: [],
      decision: { rule: 'what goes' },
    });
    expect(manifest.dropped?.objects.map(({ name }) => name).sort()).toEqual([
      'parent',
      'parent_pkey',
      'seen',
    ]);
    const [event] = await fixture.auditEvents((each) => each['application'] === 'mover', 1);
    expect(event).toMatchObject({ snapshot: manifest.id, end: 'completed', transaction_status: 'I' });
    expect(await undone(manifest)).toMatchObject({
      kind: 'refused',
      problems: [{ reason: expect.stringContaining('violates') }],
    });
    await direct.rows('delete from app.child where parent = 1000');
    expect(await undone(manifest)).toMatchObject({ kind: 'done' });
    expect(await direct.rows('select count(*) from app.seen')).toEqual([['100']]);
    await expect(direct.rows('insert into app.child values (1000)')).rejects.toThrow('foreign key');
    await client.terminate();
  });

  it('is brought back by the command line, which says what', async () => {
    const client = await fixture.client();
    await client.query('drop table app.parent cascade');
    const { id } = (await manifests()).at(-1)!;
    const { directory } = fixture.gateway;
    const shown = await holdfast(directory, 'snapshots', 'show', id);
    expect(shown).toMatch(/table +app\.parent/);
    const said = await holdfast(directory, 'undo', id, '--connection', fixture.postgres.url(), '--yes');
    expect(said).toMatch(/view +app\.seen/);
    expect(said).toContain('Done: what was dropped is back.');
    expect(await there('app.seen')).toBe(true);
    await client.terminate();
  });

  it('is brought back with a word on what is not as it was', async () => {
    await direct.rows(
      `create table app.src (id int, v int); insert into app.src values (1, 10); create materialized view app.mv as select id, 100 / v as x from app.src`,
    );
    const client = await fixture.client();
    await client.query('drop materialized view app.mv');
    await direct.rows('update app.src set v = 0');
    const { id } = (await manifests()).at(-1)!;
    const { directory } = fixture.gateway;
    const said = await holdfast(directory, 'undo', id, '--connection', fixture.postgres.url(), '--yes');
    expect(said).toMatch(/materialized view +app\.mv +\(made anew\)/);
    expect(said).toContain('Not as it was: the contents of "app"."mv": division by zero.');
    expect(await there('app.mv')).toBe(true);
    await client.terminate();
  });

  it('is told by the API, object by object', async () => {
    await direct.rows('create role once; grant select on app.child to once');
    const client = await fixture.client();
    await client.query('drop table app.child');
    await direct.rows('drop role once');
    const { id } = (await manifests()).at(-1)!;
    const post = async (path: string) => {
      const { status, body } = await fixture.gateway.http(`/v1/snapshots/${id}/${path}`, {
        method: 'POST',
        body: {},
      });
      return { status, body };
    };
    const objects = [{ kind: 'table', schema: 'app', name: 'child' }];
    expect(await post('undo/preview')).toMatchObject({
      status: 200,
      body: { tables: [], objects, lacking: [] },
    });
    expect(await post('undo')).toMatchObject({
      status: 200,
      body: {
        objects,
        lacking: [{ what: 'the rights of once on "app"."child"', reason: 'role "once" does not exist' }],
      },
    });
    expect(await post('undo')).toMatchObject({ status: 409 });
    await client.terminate();
  });

  it('keeps nobody waiting for a preview of its undo, and runs no code for it', async () => {
    await direct.rows(`create function app.slowly() returns int language plpgsql as 'begin perform pg_sleep(3); return 1; end';
      create materialized view app.slow as select app.slowly() as x, count(*) as n from app.parent`);
    const client = await fixture.client();
    await client.query('drop table app.parent cascade');
    const manifest = (await manifests()).at(-1)!;
    const session = await connectForUndo(fixture.postgres.url());
    const writer = await RawClient.open(fixture.postgres.port);
    await writer.rows('begin; insert into app.child values (1)');
    expect(await previewUndo({ store, manifest, session })).toMatchObject({
      kind: 'preview',
      dropped: { objects: expect.arrayContaining([{ kind: 'table', schema: 'app', name: 'parent' }]) },
    });
    await writer.rows('commit');
    await session.close();
    await writer.terminate();
    await client.terminate();
  });

  it('belongs to the transaction of the client, and goes back with it', async () => {
    const client = await fixture.client();
    await client.query('begin');
    expect(statusOf(await client.query('drop table app.child'))).toBe('T');
    expect(errorsOf(await client.query('select * from app.child'))).toMatchObject([{ C: '42P01' }]);
    await client.query('rollback');
    expect(await there('app.child')).toBe(true);
    await client.query('begin');
    expect(statusOf(await client.query('drop table app.parent'))).toBe('E');
    await client.query('rollback');
    await client.query('begin');
    await client.query('drop table app.child');
    await client.query('drop table app.parent cascade');
    await client.query('create table app.parent ()');
    expect(statusOf(await client.query('commit'))).toBe('I');
    expect(await direct.rows('select count(*) from holdfast_trash.nothing').catch(() => 'gone')).toBe('gone');
    await client.terminate();
  });

  it('in a burst of Queries stands in its place', async () => {
    const client = await fixture.client();
    client.write(
      fe.query('select 1'),
      fe.query('drop table app.child'),
      fe.query('drop table if exists app.child'),
      fe.query('select 2'),
    );
    const types: string[] = [];
    for (let i = 0; i < 4; i++) types.push((await client.untilReady()).map(({ type }) => type).join(''));
    expect(types).toEqual(['TDCZ', 'CZ', 'NCZ', 'TDCZ']);
    await client.terminate();
  });

  it('that cannot be undone exactly is refused with the reason, unless its best is good enough', async () => {
    await direct.rows('create table app.holder (p app.parent)');
    const client = await fixture.client();
    const [error] = errorsOf(await client.query('drop table app.parent cascade'));
    expect(error).toMatchObject({ C: 'HF002', D: expect.stringContaining('a column of a table that stays') });
    expect(await there('app.parent')).toBe(true);
    expect(await there('holdfast_trash.nothing')).toBe(false);
    await client.terminate();
    const careless = await fixture.client({ application_name: 'careless' });
    expect(errorsOf(await careless.query('drop table app.parent cascade'))).toEqual([]);
    expect(await there('app.parent')).toBe(false);
    await careless.terminate();
  });

  it('of a column keeps its values, which come back', async () => {
    const client = await fixture.client();
    const sql = 'alter table app.parent drop column note cascade';
    await direct.rows('begin');
    const wanted = await direct.query('alter table app.child drop column parent');
    await direct.rows('rollback');
    expect(errorsOf(await client.query(sql))).toMatchObject([
      { C: 'HF002', D: expect.stringContaining('view app.seen') },
    ]);
    await direct.rows('drop view app.seen; alter table app.child add id int primary key default 1');
    expect(shown(await client.query('alter table app.child drop column parent'))[0]).toBe(shown(wanted)[0]);
    await client.query('begin');
    expect(statusOf(await client.query('alter table app.parent drop column note'))).toBe('T');
    await client.query('commit');
    const [child, parent] = (await manifests()).slice(-2);
    expect(await undone(child!)).toMatchObject({ kind: 'done' });
    expect(await undone(parent!)).toMatchObject({ kind: 'done' });
    expect(
      await direct.rows('select note, parent from app.parent p join app.child c on c.parent = p.id'),
    ).toEqual([['n1', '1']]);
    await expect(direct.rows('insert into app.child (id, parent) values (2, 1000)')).rejects.toThrow(
      'foreign key',
    );
    await client.terminate();
  });

  it('of a column gives back later what an undo has left over, and each value once', async () => {
    const client = await fixture.client();
    await direct.rows(
      `create table app.k (id int primary key, who text, v text); insert into app.k values (1, 'ann', 'a'), (2, 'bob', 'b'), (3, 'eve', 'e')`,
    );
    expect(errorsOf(await client.query('alter table app.k drop column v'))).toEqual([]);
    const { id, ...manifest } = (await manifests()).at(-1)!;
    await direct.rows(`update app.k set who = 'anna' where id = 1; delete from app.k where id = 3`);
    expect(JSON.stringify(await undoneOnce(id, 'skip'))).toContain('are left in');
    const rows = 'select id, v from app.k order by id';
    expect(await direct.rows(rows)).toEqual([
      ['1', null],
      ['2', 'b'],
    ]);
    await direct.rows(`update app.k set v = null where id = 2`);
    expect(JSON.stringify(await undoneOnce(id))).toContain('rows are gone, have changed');
    await direct.rows(`update app.k set who = 'ann' where id = 1`);
    expect(JSON.stringify(await undoneOnce(id, 'skip'))).toContain('are left in');
    expect(await direct.rows(rows)).toEqual([
      ['1', 'a'],
      ['2', null],
    ]);
    await direct.rows(`insert into app.k values (3, 'eve', null)`);
    await undoneOnce(id);
    expect(await direct.rows(rows)).toEqual([
      ['1', 'a'],
      ['2', null],
      ['3', 'e'],
    ]);
    expect(JSON.stringify(await undoneOnce(id))).toContain('undone already');
    const { trash_name: copy } = manifest.dropped!.objects[0]!;
    expect(await there(`holdfast_trash."${copy}"`)).toBe(false);
    await client.terminate();
  });

  it('of a constraint, or a default, keeps its definition, which comes back', async () => {
    const client = await fixture.client();
    await direct.rows(`alter table app.parent alter note set default 'none'`);
    const definition = `select conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'app'::regnamespace and contype <> 'n' order by 1`;
    const before = await direct.rows(definition);
    await client.query('begin');
    const [notice, ...rest] = await client.query(
      'alter table app.parent drop constraint parent_pkey cascade, alter note drop default',
    );
    expect([notice!.type, ...rest.map(({ type }) => type)]).toEqual(['N', 'C', 'Z']);
    await client.query('commit');
    expect(await direct.rows(definition)).toEqual([]);
    const manifest = (await manifests()).at(-1)!;
    expect(manifest.dropped).toMatchObject({
      objects: [],
      altered: { tables: [{ schema: 'app', name: 'parent' }] },
    });
    const shownBy = JSON.parse(
      await holdfast(fixture.gateway.directory, 'snapshots', 'list', '--json', '-n', '1'),
    );
    expect(JSON.stringify(shownBy)).toContain('app.parent');
    expect(await undone(manifest)).toMatchObject({
      kind: 'done',
      dropped: { objects: [{ kind: 'table', name: 'parent' }] },
    });
    expect(await direct.rows(definition)).toEqual(before);
    expect(await direct.rows('insert into app.parent values (1000) returning note')).toEqual([['none']]);
    expect(await undone(manifest)).toMatchObject({ kind: 'refused' });
    await direct.rows('drop view app.seen');
    const sql =
      'alter table app.parent alter note drop default, alter note type int using length(note), alter id type bigint';
    expect(errorsOf(await client.query(sql))).toEqual([]);
    const { id } = (await manifests()).at(-1)!;
    const values = 'select min(note), max(pg_typeof(id)::text) from app.parent';
    const first = await undoneOnce(id);
    expect(await direct.rows(values)).toEqual([['n1', 'integer']]);
    const second = await undoneOnce(first.own);
    expect(await direct.rows(values)).toEqual([['2', 'bigint']]);
    await undoneOnce(second.own);
    expect(await direct.rows(values)).toEqual([['n1', 'integer']]);
    expect(await direct.rows(definition)).toEqual(before);
    await client.terminate();
  });

  it.each([
    ['an index', 'create index by_note on app.parent (note)', 'drop index app.by_note', 'DROP INDEX'],
    [
      'a trigger',
      `create function app.noticed() returns trigger language plpgsql as 'begin return new; end';
       create trigger tells after update on app.parent for each row execute function app.noticed()`,
      'drop trigger tells on app.parent',
      'DROP TRIGGER',
    ],
    [
      'a rule',
      'create rule r as on delete to app.child do instead nothing',
      'drop rule r on app.child',
      'DROP RULE',
    ],
  ])('of %s keeps its definition, which comes back', async (_, setup, sql, tag) => {
    await direct.rows(setup);
    const definitions = `select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'app.parent'::regclass
      union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
      union all select pg_get_ruledef(oid) from pg_rewrite where rulename <> '_RETURN' and ev_class >= 16384`;
    const before = await direct.rows(definitions);
    const client = await fixture.client();
    for (const way of ['by a Query', 'by an Execute', 'in a transaction']) {
      if (way === 'in a transaction') await client.query('begin');
      if (way === 'by an Execute') client.write(fe.parse('', sql), fe.bind(), fe.execute(), fe.sync());
      const told = way === 'by an Execute' ? await client.untilReady() : await client.query(sql);
      expect(shown(told).join()).toContain(tag);
      if (way === 'in a transaction') await client.query('commit');
      expect((await direct.rows(definitions)).length, way).toBe(before.length - 1);
      const { id, statement } = (await manifests()).at(-1)!;
      expect(statement.text).toContain(sql);
      expect(await tried(id)).toMatch(/^Made as it was: the (index|trigger|rule) /m);
      const first = await undoneOnce(id);
      expect(first.outcome, way).toMatchObject({ kind: 'done' });
      expect(await direct.rows(definitions)).toEqual(before);
      expect((await undoneOnce(first.own)).outcome).toMatchObject({ kind: 'done' });
      expect((await direct.rows(definitions)).length).toBe(before.length - 1);
      await direct.rows(
        setup.replace(/^create function[^;]*;/s, '').replace(/^.*?(?=create (?:trigger|index|rule))/s, ''),
      );
    }
    await client.terminate();
  });

  it('of nothing, but OR REPLACE of a function, keeps the definition, which comes back', async () => {
    await direct.rows(`create function app.f() returns int language plpgsql as 'begin return 1; end'`);
    const client = await fixture.client({ application_name: 'replacing' });
    const definition = `select pg_get_functiondef('app.f()'::regprocedure)`;
    const before = await direct.rows(definition);
    const sql = `create or replace function app.f() returns int language plpgsql as 'begin delete from app.child; return 2; end'`;
    for (const way of ['by a Query', 'by an Execute', 'in a transaction']) {
      // What is known of the function is not what it does by then.
      expect(await client.rows('select app.f()')).toEqual([['1']]);
      if (way === 'in a transaction') await client.query('begin');
      if (way === 'by an Execute') client.write(fe.parse('', sql), fe.bind(), fe.execute(), fe.sync());
      const told = way === 'by an Execute' ? await client.untilReady() : await client.query(sql);
      expect(shown(told).join()).toContain('CREATE FUNCTION');
      expect(errorsOf(await client.query('select app.f()')), way).toMatchObject([{ C: 'HF002' }]);
      if (way === 'in a transaction') {
        await client.query('rollback');
        expect(await direct.rows(definition)).toEqual(before);
        await client.query(sql);
      }
      const { id, statement, dropped } = (await manifests()).at(-1)!;
      expect(statement.text).toContain(sql);
      expect(dropped).toMatchObject({
        replaced: { kind: 'function', schema: 'app', name: 'f', before: before[0]![0] },
      });
      const list = JSON.parse(
        await holdfast(fixture.gateway.directory, 'snapshots', 'list', '--json', '-n', '1'),
      );
      expect(JSON.stringify(list)).toContain('app.f');
      expect(await tried(id)).toContain(
        'Made as it was: the function app.f().\n\nTried: what was changed is as it was.',
      );
      const first = await undoneOnce(id);
      expect(first.outcome, way).toMatchObject({
        kind: 'done',
        dropped: { objects: [{ kind: 'function', schema: 'app', name: 'f' }] },
      });
      expect(await direct.rows(definition)).toEqual(before);
      expect((await undoneOnce(first.own)).outcome).toMatchObject({ kind: 'done' });
      expect(await direct.rows(definition)).not.toEqual(before);
      await direct.rows(before[0]![0]!);
    }
    await client.terminate();
  });

  it('is not known to be committed where the server is lost meanwhile, and the audit says so', async () => {
    await direct.rows('set synchronous_commit = local; drop view app.seen');
    for (const sql of [
      `alter database postgres set synchronous_commit = 'on'`,
      `alter system set synchronous_standby_names = 'nobody'`,
      'select pg_reload_conf()',
    ])
      await direct.rows(sql);
    const killed = async (query: string) => {
      const waits = `select pid from pg_stat_activity where wait_event = 'SyncRep' and query like '${query}'`;
      const ended = await direct.rows(`select pg_terminate_backend(pid) from (${waits}) w`);
      return ended.length > 0 ? null : 'not yet';
    };
    try {
      // It is a while until the server goes by it.
      await eventually('a wait for a standby', async () => {
        const probe = await RawClient.open(fixture.postgres.port);
        probe.write(fe.query('create table app.probe (); drop table app.probe'));
        await new Promise((resolve) => setTimeout(resolve, 50));
        const seen = await killed('create table %');
        probe.destroy();
        return seen;
      });
      for (const sql of ['drop table app.child', 'drop table app.parent cascade']) {
        const client = await fixture.client();
        client.write(fe.query(sql));
        await eventually('the commit', async () => await killed('COMMIT'));
        await client.untilEnd();
        const events = await fixture.auditEvents(({ sql: text, end }) => text === sql && end === 'lost', 1);
        expect(events[0]).toMatchObject({
          snapshot: (await manifests()).at(-1)!.id,
          transaction_status: null,
        });
      }
      expect(await there('app.child')).toBe(false);
    } finally {
      await direct.rows('alter database postgres reset synchronous_commit');
      await direct.rows('alter system reset synchronous_standby_names');
      await direct.rows('select pg_reload_conf()');
    }
  });
});
