import { describe, expect, it } from 'vitest';
import type { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { type Expired, expire, type Retention } from '../../src/snapshot/retention.ts';
import { removeSnapshot } from '../../src/snapshot/snapshots.ts';
import { ownStore } from '../blobs/own-store.ts';
import { putRowless, putSnapshot } from './old-snapshots.ts';

const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;
/** What is written now is two hundred days old by then, but for what its id says. */
const NOW = Date.now() + 200 * DAY_MS;
const KEEP_ALL: Retention = { ageMs: null, bytes: null };

let store: DirectoryBlobStore;
ownStore((own) => {
  store = own;
});

async function sweep(retention: Retention) {
  const gone: Expired[] = [];
  const kept = await expire(store, retention, NOW, async (expired) => {
    gone.push(expired);
    await removeSnapshot(store, expired.folder);
  });
  return { gone: gone.map(({ id, reason }) => `${id} ${reason}`), kept };
}

const put = (daysAgo: number, more = {}) => putSnapshot(store, NOW - daysAgo * DAY_MS, more);

describe('snapshots', () => {
  it('are kept for ever where nothing else is said', async () => {
    await put(150);
    await put(0);
    expect(await sweep(KEEP_ALL)).toEqual({
      gone: [],
      kept: { snapshots: 2, bytes: 2004, excessBytes: 0, ofOthers: 0 },
    });
  });

  it('go when they are older than that', async () => {
    const [first, second] = [await put(31), await put(40)];
    await put(29);
    const { gone, kept } = await sweep({ ageMs: 30 * DAY_MS, bytes: null });
    expect(gone).toEqual([`${second} age`, `${first} age`]);
    expect(kept.snapshots).toBe(1);
  });

  it('go, the oldest first, until the rest is small enough', async () => {
    const ids = [await put(9, { bytes: 5000 }), await put(8, { bytes: 500 }), await put(7), await put(6)];
    const { gone, kept } = await sweep({ ageMs: null, bytes: 2600 });
    expect(gone).toEqual([`${ids[0]} size`]);
    expect(kept).toEqual({ snapshots: 3, bytes: 2506, excessBytes: 0, ofOthers: 0 });
    expect((await sweep({ ageMs: null, bytes: 2500 })).gone).toEqual([`${ids[1]} size`]);
    expect((await sweep({ ageMs: null, bytes: 2500 })).gone).toEqual([]);
  });

  it('of a DROP stay, because what they bring back is in the trash of the database', async () => {
    const at = (daysAgo: number) => NOW - daysAgo * DAY_MS;
    const [truncated] = [
      await putRowless(store, at(151), 'truncate'),
      await putRowless(store, at(150), 'drop'),
    ];
    // Of what it was cannot be read.
    await put(145, { rows: false });
    const undone = await put(140, { rows: false, rolledBack: true });
    const { gone, kept } = await sweep({ ageMs: DAY_MS, bytes: 1 });
    expect(gone).toEqual([`${truncated} age`, `${undone} rolled back`]);
    expect(kept.snapshots).toBe(2);
  });

  it('never go within a day, however little is to be kept', async () => {
    await put(0.9);
    const old = await put(1.1);
    const { gone, kept } = await sweep({ ageMs: 1, bytes: 1024 });
    expect(gone).toEqual([`${old} age`]);
    expect((await sweep({ ageMs: null, bytes: 1 })).kept).toEqual({ ...kept, excessBytes: 1001 });
  });

  it('that were copied here lately are taken for young', async () => {
    await putSnapshot(store, NOW - 300 * DAY_MS);
    const { gone } = await sweep({ ageMs: 250 * DAY_MS, bytes: null });
    expect(gone).toEqual([]);
  });

  it('without a manifest are what a dead process has left, and go after a day', async () => {
    await put(0.5, { manifest: false });
    const left = await put(2, { manifest: false });
    expect((await sweep(KEEP_ALL)).gone).toEqual([`${left} leftover`]);
  });

  it('of what was rolled back are of no use, and go after a day', async () => {
    await put(0.5, { rolledBack: true });
    const old = await put(2, { rolledBack: true });
    await put(2);
    expect((await sweep(KEEP_ALL)).gone).toEqual([`${old} rolled back`]);
  });

  it('are all that is looked at', async () => {
    await store.putIfAbsent('audit/heads/1.json', Buffer.from('{}'));
    await store.putIfAbsent('snapshots/readme.txt', Buffer.from('mine'));
    expect((await sweep({ ageMs: 1, bytes: 1 })).gone).toEqual([]);
  });
});
