import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '../../src/base/log.ts';
import type { Computed } from '../../src/preview/compute.ts';
import { nothingKnown, type Preview, unknown } from '../../src/preview/preview.ts';
import { PreviewResults } from '../../src/preview/results.ts';
import { RowSetSeal } from '../../src/preview/row-set-seal.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { approvalRow } from '../notify/rows.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: SqliteControlStore;
let results: PreviewResults;
beforeEach(async () => {
  folder = await temporaryFolder();
  store = await SqliteControlStore.open(join(folder.path, 'holdfast.db'));
  const seal = RowSetSeal.from(generateKeyPairSync('ed25519').privateKey);
  results = new PreviewResults(store, createLogger('silent'), seal);
  await store.insertApproval(approvalRow('apr_1'));
});
afterEach(async () => {
  await store.close();
  await folder.remove();
});

const NOTHING = nothingKnown('nobody asked', { possible: 'unknown', reason: '' }, { count: 0, values: null });
const counted = (rows: number, changes: Partial<Preview> = {}): Computed => ({
  preview: {
    ...NOTHING,
    ...{ computed_at: `at ${rows}`, rows: { kind: 'exact', rows }, rows_bound: 'number' },
    cascades: { kind: 'tree', nodes: [] },
    triggers: { kind: 'list', items: [] },
    ...changes,
  },
  set: null,
});
const rowsKept = async () => (await results.rowsShown('apr_1'))?.rows;
const voted = (by: string, needed: number, lookedAt: string | null = null) =>
  store.voteApproval({
    ...{
      approvalId: 'apr_1',
      principal: by,
      person: by,
      subject: null,
      verdict: 'approve',
      atMs: Date.now(),
    },
    ...{ comment: null, breakGlass: false, needed, grantMs: 1000, session: 'ses_1', lookedAt },
  });

describe('what is found out once more', () => {
  const first = () => results.finish('apr_1', counted(1).preview, null);

  it('takes the place of what was found before', async () => {
    await first();
    results.offer('apr_1', async () => counted(3));
    expect(await results.again('apr_1')).toEqual({ kind: 'ready' });
    expect(await rowsKept()).toBe(3);
    expect((await voted('ana', 1, 'at 1'))?.isStale).toBe(true);
    expect((await voted('ana', 1, 'at 3'))?.row.state).toBe('approved');
  });

  it.each([1, 2])('does not where somebody approves meanwhile, of %i that have to', async (needed) => {
    await first();
    results.offer('apr_1', async () => {
      expect((await voted('ana', needed, 'at 1'))?.isStale).toBeUndefined();
      return counted(1000);
    });
    expect(await results.again('apr_1')).toEqual({ kind: 'kept', reason: 'somebody has decided meanwhile' });
    expect(await rowsKept()).toBe(1);
  });

  it.each(['sample', 'cascades', 'triggers', 'locks'] as const)(
    'does not where its %s are not known any more',
    async (part) => {
      const known = {
        sample: {
          kind: 'rows' as const,
          table: 't',
          columns: [],
          rows: [],
          after: 'removed' as const,
          after_reason: null,
          more: false,
        },
        locks: { kind: 'level' as const, mode: 'ROW EXCLUSIVE', blocks: '', sessions: unknown('') },
      };
      await results.finish('apr_1', counted(1, known).preview, null);
      results.offer('apr_1', async () => counted(1, { ...known, [part]: unknown('it took too long') }));
      expect(await results.again('apr_1')).toEqual({ kind: 'kept', reason: 'it took too long' });
      results.offer('apr_1', async () => counted(2, known));
      expect(await results.again('apr_1')).toEqual({ kind: 'ready' });
    },
  );

  it('is nobody\u2019s to ask for once the hold is over, and is lost then', async () => {
    await first();
    const withdraw: (() => void)[] = [];
    withdraw.push(
      results.offer('apr_1', async () => {
        withdraw[0]!();
        return counted(9);
      }),
    );
    expect(await results.again('apr_1')).toEqual({ kind: 'idle' });
    expect(await results.again('apr_1')).toEqual({ kind: 'idle' });
    expect(await rowsKept()).toBe(1);
  });
});
