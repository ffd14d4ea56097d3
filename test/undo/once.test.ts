import { beforeEach, describe, expect, it } from 'vitest';
import type { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import type { Manifest } from '../../src/snapshot/manifest.ts';
import { readManifest, snapshotFolder } from '../../src/snapshot/manifest.ts';
import { markRolledBack } from '../../src/snapshot/snapshots.ts';
import { undoneBy, writeUndoMark } from '../../src/snapshot/undo-mark.ts';
import type { Parser } from '../../src/sql/parsing/parser.ts';
import { ownSnapshotOf } from '../../src/undo/own-facts.ts';
import { connectForUndo, type PgSession } from '../../src/undo/pg-session.ts';
import { previewUndo, type UndoOptions, undo } from '../../src/undo/undo.ts';
import type { TestPostgres } from '../support/postgres.ts';
import type { RawClient } from '../support/raw-client.ts';
import { snap } from './put-back.ts';
import { undoByTest } from './undo-by-test.ts';

const folderOf = ({ id, created_at }: Manifest) => snapshotFolder(id, Date.parse(created_at));

describe.each([15, 18] as const)('a snapshot is undone once, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  let session: PgSession;
  let store: DirectoryBlobStore;
  let parser: Parser;
  let manifest: Manifest;
  let folder: string;
  undoByTest(version, (under) => {
    ({ postgres, client, session, store, parser } = under);
  });
  beforeEach(async () => {
    await client.rows(`DROP TABLE IF EXISTS t; CREATE TABLE t (v text); INSERT INTO t VALUES ('a'), ('b')`);
    const snapped = await snap({ client, store, parser }, { sql: 'DELETE FROM t', parameters: [] });
    if (snapped.kind === 'without') throw new Error(snapped.reason);
    manifest = snapped.manifest;
    folder = folderOf(manifest);
  });

  const marking = (force = false, of = folder) => ({ folder: of, by: 'anna', force });
  const once = (options: UndoOptions = {}, on = session) =>
    undo({ store, manifest, session: on }, { marking: marking(), ...options });
  const rows = async () => Number((await client.rows('SELECT count(*) FROM t'))[0]![0]);

  it('and a second time only by force, where rows without a key would come twice', async () => {
    expect((await once()).kind).toBe('done');
    expect(await undoneBy(store, folder)).toMatchObject({ by: 'anna', undo_snapshot: null });
    const again = {
      kind: 'refused',
      problems: [{ reason: expect.stringMatching(/^it was undone already, by anna at 2/), forceable: true }],
    };
    expect(await once()).toMatchObject(again);
    expect(await once({ dryRun: true })).toMatchObject(again);
    expect(await previewUndo({ store, manifest, session }, { marking: marking() })).toMatchObject(again);
    expect(await rows()).toBe(2);
    expect((await once({ marking: marking(true) })).kind).toBe('done');
    expect(await rows()).toBe(4);
  });

  it('by one of two at the same time', async () => {
    const other = await connectForUndo(postgres.url());
    const outcomes = await Promise.all([once(), once({}, other)]);
    await other.close();
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['done', 'refused']);
    expect(await rows()).toBe(2);
  });

  it('and is not marked by what changes nothing', async () => {
    await once({ dryRun: true });
    await client.rows('ALTER TABLE t ADD CHECK (false) NOT VALID');
    expect((await once()).kind).toBe('failed');
    expect(await undoneBy(store, folder)).toBe(null);
    await client.rows('ALTER TABLE t DROP CONSTRAINT t_check');
    expect((await once()).kind).toBe('done');
  });

  it('unless the server refuses the COMMIT', async () => {
    const refusing: PgSession = {
      ...session,
      query: (sql, parameters) => session.query(sql === 'COMMIT' ? 'SELECT 1 / 0' : sql, parameters),
    };
    expect(await once({}, refusing)).toMatchObject({ kind: 'failed', step: 'commit' });
    expect(await undoneBy(store, folder)).toBe(null);
    expect((await once()).kind).toBe('done');
    // By force, that of before stays.
    const before = await undoneBy(store, folder);
    expect((await once({ marking: marking(true) }, refusing)).kind).toBe('failed');
    expect(await undoneBy(store, folder)).toEqual(before);
    expect((await once()).kind).toBe('refused');
  });

  it('which the server tells where the gateway died between mark and COMMIT', async () => {
    await client.rows('BEGIN');
    const [xid] = (await client.rows('SELECT pg_current_xact_id()')) as [string][];
    const mark = { undone_at: '2026-11-21T00:00:00Z', by: 'anna', xid: xid![0], undo_snapshot: null };
    await writeUndoMark(store, folder, mark);
    expect((await once()).kind).toBe('refused');
    await client.rows('ROLLBACK');
    expect((await once()).kind).toBe('done');
    expect((await once()).kind).toBe('refused');
    // Of another cluster, or one that was set back: nobody knows.
    await writeUndoMark(store, folder, { ...mark, xid: '99999999999' });
    expect((await once()).kind).toBe('refused');
  });

  it('and again where that was undone, and not where that was undone in turn', async () => {
    const undoOf = async (id: Manifest, at: string) => {
      const undoer = { version: '0', client: '', name: 'anna' };
      const snapshot = await ownSnapshotOf(id, session, undoer);
      const outcome = await undo({ store, manifest: id, session }, { marking: marking(false, at), snapshot });
      return { kind: outcome.kind, at: snapshot.folder };
    };
    const first = await undoOf(manifest, folder);
    const firstManifest = await readManifest(store, first.at);
    expect(await undoneBy(store, folder)).toMatchObject({ undo_snapshot: firstManifest.id });
    const second = await undoOf(firstManifest, first.at);
    expect([second.kind, await rows(), await undoneBy(store, folder)]).toEqual(['done', 0, null]);
    const secondManifest = await readManifest(store, second.at);
    const third = await undoOf(secondManifest, second.at);
    expect([third.kind, await rows()]).toEqual(['done', 2]);
    expect((await undoOf(manifest, folder)).kind).toBe('refused');
    expect((await undoOf(firstManifest, first.at)).kind).toBe('done');
    expect([await rows(), await undoneBy(store, folder)]).toEqual([0, null]);
  });

  it('and never where its statement was rolled back, but by force', async () => {
    await markRolledBack(store, folder, Date.now());
    expect(await once()).toMatchObject({
      kind: 'refused',
      problems: [
        { reason: 'its statement was rolled back, so that there is nothing of it to undo', forceable: true },
      ],
    });
    expect((await once({ marking: marking(true) })).kind).toBe('done');
  });

  it('and never where the server knows that its transaction was rolled back, or that it is open', async () => {
    await client.rows('BEGIN');
    const [[xid]] = (await client.rows('SELECT pg_current_xact_id()')) as [[string]];
    const uncommitted = (force = false) =>
      undo({ store, manifest: { ...manifest, xid }, session }, { marking: marking(force) });
    const refused = (reason: RegExp) => ({
      kind: 'refused',
      problems: [{ reason: expect.stringMatching(reason), forceable: true }],
    });
    expect(await uncommitted()).toMatchObject(refused(/^its statement is not committed yet: wait/));
    await client.rows('ROLLBACK');
    expect(await uncommitted()).toMatchObject(refused(/^its statement was rolled back/));
    const preview = previewUndo({ store, manifest: { ...manifest, xid }, session }, { marking: marking() });
    expect(await preview).toMatchObject(refused(/^its statement was rolled back/));
    expect(await rows()).toBe(0);
    expect((await uncommitted(true)).kind).toBe('done');
  });
});
