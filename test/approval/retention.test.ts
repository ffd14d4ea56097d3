import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { ApprovalRetention } from '../../src/approval/retention.ts';
import { createLogger } from '../../src/base/log.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { approvalRow } from '../notify/rows.ts';
import { faultyStore } from '../store/faulty-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

const DAY_MS = 86_400_000;

it('drops approvals that were over long ago, however many there are, and goes on after a failure', async () => {
  const folder = await temporaryFolder();
  const store = faultyStore(await SqliteControlStore.open(join(folder.path, 'holdfast.db')));
  const logged: string[] = [];
  const log = createLogger('info', { write: (line) => logged.push(line) });
  const ids = Array.from({ length: 450 }, (_, n) => `apr_${n}`);
  for (const id of ids) await store.insertApproval(approvalRow(id));
  for (const id of ids.slice(1))
    await store.resolveApproval(id, {
      state: 'denied',
      atMs: Date.now() - 5 * DAY_MS,
      by: 'ana',
      comment: null,
    });
  const count = async () => (await store.approvals({ state: null, beforeId: null, limit: 1000 })).length;
  store.failing = true;
  const retention = new ApprovalRetention({ store, log, ageMs: 4 * DAY_MS });
  try {
    await retention.sweep();
    expect(logged.join()).toContain('old approvals cannot be dropped');
    store.failing = false;
    expect(await count()).toBe(450);
    await retention.sweep();
    expect(await count()).toBe(1);
    // A clock that is a year ahead for a moment makes nothing old.
    await store.insertApproval(approvalRow('apr_new'));
    await store.resolveApproval('apr_new', { state: 'denied', atMs: Date.now(), by: 'ana', comment: null });
    const wall = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 365 * DAY_MS);
    await retention.sweep();
    wall.mockRestore();
    expect(await count()).toBe(2);
    expect(logged.join()).toContain('"approvals":449');
  } finally {
    await retention.close();
    await store.close();
    await folder.remove();
  }
});
