import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AuditEntry } from '../src/audit/event.ts';
import { trustedKeys } from '../src/audit/key-file.ts';
import type { BlobStore } from '../src/blobs/blob-store.ts';
import { openBlobStore } from '../src/blobs/open.ts';
import { droppedSnapshots } from '../src/snapshot/dropped.ts';
import { readManifest } from '../src/snapshot/manifest.ts';
import { expire } from '../src/snapshot/retention.ts';
import { TrashSweeper } from '../src/trash-sweeper.ts';
import { connectForUndo } from '../src/undo/pg-session.ts';
import { settle } from '../src/undo/settle-trash.ts';
import { holdfast } from './cli/support.ts';
import { DecisionFixture } from './decision/fixture.ts';
import { eventually } from './support/process-facts.ts';
import { RawClient } from './support/raw-client.ts';

const POLICY = `
mode: protect
rules:
  - { name: what goes, match: { operation: ["drop *", "alter table"] }, action: snapshot }
  - { name: the rest, match: {}, action: allow }
`;

interface Listed {
  readonly id: string;
  readonly objects: number;
  readonly statement: string;
}

describe.each([18, 15] as const)('the purge of the trash on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  let direct: RawClient;
  let client: RawClient;
  let place: string[];
  let env: Record<string, string>;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    direct = await RawClient.open(fixture.postgres.port);
    client = await fixture.client();
    const snapshots = `file:${join(fixture.gateway.directory, 'snapshots')}`;
    env = { HOLDFAST_AUDIT_SIGNING_KEY: join(fixture.gateway.directory, 'audit-key.pem') };
    place = ['--snapshots', snapshots, '--connection', fixture.postgres.url()];
  });
  afterAll(async () => {
    direct?.destroy();
    client?.destroy();
    await fixture?.stop();
  });
  beforeEach(async () => {
    await direct.rows(`drop schema if exists app, holdfast_trash cascade; create schema app; create table app.a (id serial primary key, v text);
      create table app.b (a int references app.a); create view app.v as select * from app.a; create function app.f() returns int language sql as 'select 1'; insert into app.a (v) values ('x')`);
  });

  const inTrash = async () =>
    Number(
      (
        await direct.rows(
          `select count(*) from pg_class where relnamespace = to_regnamespace('holdfast_trash')`,
        )
      )[0]![0],
    );

  async function listed(): Promise<Listed[]> {
    return JSON.parse((await holdfast(['trash', 'list', '--json', ...place])).out).items;
  }

  it('is of one DROP by its id, is tried, and is told by an undo', async () => {
    await client.query('drop schema app cascade');
    await direct.rows('create table public.kept (i int)');
    await client.query('drop table public.kept');
    const items = await listed();
    expect(items.map(({ statement }) => statement)).toEqual([
      'drop schema app cascade',
      'drop table public.kept',
    ]);
    const [{ id, objects }] = items as [Listed];
    const before = await inTrash();
    // As one of before there were marks. To try it writes nothing.
    const store = openBlobStore({ kind: 'file', directory: join(fixture.gateway.directory, 'snapshots') });
    const keys = async () => {
      const found: string[] = [];
      for await (const { key } of store.list('snapshots/')) if (key.includes(id)) found.push(key);
      return found;
    };
    await store.remove((await keys()).find((key) => key.endsWith('/in-trash.json'))!);
    const unmarked = await keys();
    const tried = await holdfast(['trash', 'purge', id, '--dry-run', ...place], { env });
    expect(await keys()).toEqual(unmarked);
    await store.close();
    expect(tried.out).toContain(`${objects} objects would be dropped for good`);
    expect(await inTrash()).toBe(before);
    const purged = await holdfast(['trash', 'purge', id, ...place], { env });
    expect(purged).toMatchObject({
      code: 0,
      out: expect.stringContaining(`${objects} objects dropped for good`),
    });
    expect(await listed()).toMatchObject([{ statement: 'drop table public.kept', objects: 1 }]);
    expect(await inTrash()).toBe(1);
    const undone = await holdfast(['undo', id, '--yes', ...place], { env });
    expect(undone).toMatchObject({
      code: 1,
      err: expect.stringContaining('was purged from the trash on 20'),
    });
  });

  it('says what is to go, and takes nothing of the last day by age', async () => {
    await client.query('drop schema app cascade');
    expect((await holdfast(['trash', 'purge', '--older-than', '1d', ...place], { env })).out).toContain(
      '0 objects dropped',
    );
    expect((await holdfast(['trash', 'purge', '--older-than', '1h', ...place], { env })).code).toBe(2);
    expect(await holdfast(['trash', 'purge', ...place], { env })).toMatchObject({
      code: 2,
      err: expect.stringContaining('trash.retention_days'),
    });
  });

  it('leaves what was brought back, and what others have come to depend on', async () => {
    await client.query('drop table app.b');
    await client.query('drop table app.a cascade');
    const [b, a] = (await listed()) as [Listed, Listed];
    expect((await holdfast(['undo', a.id, '--yes', ...place], { env })).code).toBe(0);
    expect((await holdfast(['trash', 'purge', a.id, ...place], { env })).out).toContain('0 objects dropped');
    expect(await direct.rows('select v from app.v')).toEqual([['x']]);
    const [[name]] = (await direct.rows(
      `select relname from pg_class where relnamespace = 'holdfast_trash'::regnamespace and relkind = 'r'`,
    )) as [[string]];
    await direct.rows(`create view app.w as select * from holdfast_trash."${name}"`);
    const kept = await holdfast(['trash', 'purge', b.id, ...place], { env });
    expect(kept.out).toMatch(/1 object kept: cannot drop table .* because other objects depend on it/);
  });

  /** As it is two days later. */
  async function settled(store: BlobStore): Promise<(string | null)[]> {
    const nowMs = Date.now() + 2 * 24 * 60 * 60_000;
    const session = await connectForUndo(fixture.postgres.url());
    try {
      const out: (string | null)[] = [];
      const told: string[] = [];
      const read = (folder: string) => readManifest(store, folder);
      for await (const each of droppedSnapshots(
        store,
        () => true,
        read,
        (id) => told.push(id),
      )) {
        expect(await settle(store, session, each, Date.now())).toBeNull();
        out.push(await settle(store, session, each, nowMs));
      }
      expect(told).toEqual([]);
      return out;
    } finally {
      await session.close();
    }
  }

  it('looks for what was never dropped or is back, whose manifests are the way back of nothing', async () => {
    const store = openBlobStore({ kind: 'file', directory: join(fixture.gateway.directory, 'snapshots') });
    for await (const { key } of store.list('snapshots/')) await store.remove(key);
    await client.query('drop view app.v');
    await client.query('begin');
    await client.query('drop table app.b');
    expect(await settled(store)).toEqual([null, null]);
    await client.query('rollback');
    // As if the gateway had died before it could mark it.
    await eventually('the mark', async () => {
      for await (const { key } of store.list('snapshots/'))
        if (key.endsWith('/rolled-back.json')) return null;
      return 'not yet';
    });
    for await (const { key } of store.list('snapshots/'))
      if (key.endsWith('/rolled-back.json')) await store.remove(key);
    expect(await settled(store)).toEqual([null, 'rolled back']);
    const [{ id }] = (await listed()) as [Listed];
    expect((await holdfast(['undo', id, '--yes', ...place], { env })).code).toBe(0);
    // The undo itself has said so; a gateway that died before it could is told by the database.
    const emptied: string[] = [];
    for await (const { key } of store.list('snapshots/'))
      if (key.endsWith('/emptied.json')) emptied.push(key);
    expect(emptied).toHaveLength(1);
    await store.remove(emptied[0]!);
    expect(await settled(store)).toEqual(['emptied']);
    expect(await settled(store)).toEqual([]);
    const ages = { ageMs: 30 * 24 * 60 * 60_000, bytes: null };
    const gone: string[] = [];
    await expire(store, ages, Date.now() + 2 * ages.ageMs, async ({ reason }) => void gone.push(reason));
    expect(gone).toEqual(['age', 'rolled back']);
    await store.close();
  });

  it('is done by a gateway by age, in the audit before', async () => {
    await client.query('drop schema app cascade');
    const [{ id }] = (await listed()) as [Listed];
    const store = openBlobStore({ kind: 'file', directory: join(fixture.gateway.directory, 'snapshots') });
    const recorded: string[] = [];
    const audit = {
      begin: ({ text }: AuditEntry) => void recorded.push(`begin ${text}`),
      finish: ({ text, end }: AuditEntry) => void recorded.push(`${end} ${text}`),
      flush: async () => true,
    };
    const log = { info: () => {}, warn: () => {}, error: () => {} };
    const keys = trustedKeys({ signingKey: env['HOLDFAST_AUDIT_SIGNING_KEY']!, formerKeys: [] });
    const deps = { store, audit, log, keys, connection: fixture.postgres.url() };
    const young = new TrashSweeper({ ...deps, archive: false, ageMs: 60_000 });
    await young.sweep();
    await young.close();
    expect(recorded).toEqual([]);
    // What is not signed by a key that is known may name what was never dropped.
    const stranger = new TrashSweeper({ ...deps, archive: false, keys: new Map(), ageMs: -1 });
    await stranger.sweep();
    await stranger.close();
    expect(recorded).toEqual([]);
    const old = new TrashSweeper({ ...deps, archive: false, ageMs: -1 });
    await eventually('the purge', async () => ((await inTrash()) === 0 ? null : 'not yet'));
    await old.close();
    expect(recorded).toEqual([`begin holdfast trash purge ${id}`, `completed holdfast trash purge ${id}`]);
    expect(await listed()).toEqual([]);
    await store.close();
  });
});
