import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { AuditQuery } from '../../src/audit/query.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import type { QuarantineRule } from '../../src/restraint/restraint.ts';
import { StoredRestraints } from '../../src/restraint/restraints.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { type FaultyStore, faultyStore } from '../store/faulty-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

const PATIENCE = { timeout: 15_000 };

const ANNA = { by: 'token:anna', client: '127.0.0.1' };
const RULE: QuarantineRule = { attempts: 3, withinMs: 60_000, forMs: 200, by: 'role' };
const actor = (role: string, application = 'psql') => ({ role, application });
const log = createLogger('silent');

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: FaultyStore;
let audit: StoredAuditLog;
let metrics: Metrics;
let restraints: StoredRestraints;

const open = (rule: QuarantineRule | null = RULE) =>
  StoredRestraints.open({ store, audit, metrics, log, rule });

beforeEach(async () => {
  folder = await temporaryFolder();
  store = faultyStore(await SqliteControlStore.open(join(folder.path, 'holdfast.db')));
  metrics = new Metrics();
  audit = await StoredAuditLog.open({ store, metrics, log });
  restraints = await open();
});
afterEach(async () => {
  store.failing = false;
  restraints.close();
  await audit.close();
  await store.close();
  await folder.remove();
});

async function recorded(): Promise<unknown[][]> {
  const query = new AuditQuery({ store, log: audit });
  const { items } = await query.search({ filter: { rule: 'admin' }, cursor: null, limit: 100 });
  await query.close();
  return items.map(({ operation, reason, role, end }) => [operation, reason, role, end]).reverse();
}

describe('a pause', () => {
  it('is of everybody, outlives a restart, and is recorded with who and why', async () => {
    await restraints.pauseFor('the migration went wrong', ANNA);
    restraints = await open();
    expect(restraints.of(actor('app'))).toMatchObject({
      kind: 'pause',
      reason: 'the migration went wrong',
      by: 'token:anna',
    });
    expect(metrics.paused).toBe(1);
    await restraints.resume('it is mended', ANNA);
    expect(restraints.of(actor('app'))).toBeNull();
    expect((await open()).pause).toBeNull();
    expect(metrics.paused).toBe(0);
    expect(await recorded()).toEqual([
      ['pause', 'the migration went wrong', 'token:anna', 'completed'],
      ['resume', 'it is mended', 'token:anna', 'completed'],
    ]);
  });

  it('that is in force stands', async () => {
    const first = await restraints.pauseFor('one', ANNA);
    expect(await restraints.pauseFor('two', { ...ANNA, by: 'token:bert' })).toEqual(first);
  });

  it('holds although it could not be stored, and is over only when that is stored', async () => {
    store.failing = true;
    await expect(restraints.pauseFor('now', ANNA)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(restraints.pause).not.toBeNull();
    await expect(restraints.resume(null, ANNA)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(restraints.pause).not.toBeNull();
  });

  it('that could not be stored is stored by whoever asks for it again', PATIENCE, async () => {
    store.failing = true;
    await expect(restraints.pauseFor('now', ANNA)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    await expect(restraints.pauseFor('now', ANNA)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    store.failing = false;
    await audit.whenWorking();
    const pause = await restraints.pauseFor('again', ANNA);
    expect(pause.reason).toBe('now');
    restraints.close();
    restraints = await open();
    expect(restraints.pause).toEqual(pause);
    expect(await restraints.pauseFor('more', ANNA)).toEqual(pause);
    await restraints.resume(null, ANNA);
    expect(restraints.pause).toBeNull();
    expect(await recorded()).toEqual([
      ['pause', 'now', 'token:anna', 'failed'],
      ['pause', 'now', 'token:anna', 'failed'],
      ['pause', 'now', 'token:anna', 'completed'],
      ['resume', '', 'token:anna', 'completed'],
    ]);
  });
});

describe('a quarantine', () => {
  it('is of one role, or of one of its applications', async () => {
    await restraints.quarantine({ role: 'etl', application: null, reason: 'r', forMs: null }, ANNA);
    await restraints.quarantine({ role: 'app', application: 'bot', reason: 'r', forMs: null }, ANNA);
    const held = [actor('etl'), actor('etl', ''), actor('app', 'bot'), actor('app'), actor('bot')];
    expect(held.map((one) => restraints.of(one) !== null)).toEqual([true, true, true, false, false]);
    expect(metrics.quarantined).toBe(2);
  });

  it('comes by so many refused statements within its time, and goes by time', async () => {
    const changes: string[] = [];
    restraints.listen((_, change) => changes.push(change));
    for (const attempt of [1, 2, 3]) {
      expect(restraints.of(actor('agent')), `before attempt ${attempt}`).toBeNull();
      restraints.attempted(actor('agent', `psql ${attempt}`), 'drop table');
      restraints.attempted(actor(`other ${attempt}`), 'drop table');
    }
    expect(restraints.of(actor('agent'))).toMatchObject({
      by: 'holdfast',
      reason: '3 statements were refused, the last of them drop table',
    });
    expect(restraints.quarantines.map(({ role }) => role)).toEqual(['agent']);
    await expect.poll(() => changes, PATIENCE).toEqual(['begun', 'expired']);
    expect(restraints.of(actor('agent'))).toBeNull();
    expect(restraints.quarantines).toEqual([]);
    expect(metrics.quarantined).toBe(0);
    expect((await open()).quarantines).toEqual([]);
  });

  it('is told to begin before it is told to be over, where the store is slower than its time', async () => {
    const changes: string[] = [];
    restraints.listen((_, change) => changes.push(change));
    store.gate = new Promise((resolve) => setTimeout(resolve, 20));
    await restraints.quarantine({ role: 'etl', application: null, reason: 'r', forMs: 1 }, ANNA);
    await expect.poll(() => changes, PATIENCE).toEqual(['begun', 'expired']);
  });

  it('does not come by attempts that are long ago, nor without a rule', async () => {
    restraints = await open({ ...RULE, withinMs: 10 });
    restraints.attempted(actor('agent'), 'update');
    restraints.attempted(actor('agent'), 'update');
    await new Promise((resolve) => setTimeout(resolve, 15));
    restraints.attempted(actor('agent'), 'update');
    const free = await open(null);
    for (let i = 0; i < 5; i++) free.attempted(actor('agent'), 'update');
    expect([restraints.of(actor('agent')), free.of(actor('agent'))]).toEqual([null, null]);
  });

  it('is counted for each application where the rule says so', async () => {
    restraints = await open({ ...RULE, by: 'application', forMs: 60_000 });
    for (let i = 0; i < 3; i++) restraints.attempted(actor('app', 'bot'), 'update');
    restraints.attempted(actor('app', 'web'), 'update');
    expect(restraints.of(actor('app', 'bot'))).toMatchObject({ application: 'bot' });
    expect(restraints.of(actor('app', 'web'))).toBeNull();
  });

  it('is lifted by a person, once', async () => {
    const { id } = await restraints.quarantine(
      { role: 'app', application: null, reason: 'odd', forMs: 60_000 },
      ANNA,
    );
    await restraints.lift(id, 'looked into', ANNA);
    expect(restraints.of(actor('app'))).toBeNull();
    await expect(restraints.lift(id, null, ANNA)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect((await open()).quarantines).toEqual([]);
  });

  it('lasts until then over a restart', async () => {
    await restraints.quarantine({ role: 'app', application: null, reason: 'odd', forMs: 60_000 }, ANNA);
    const [found] = (await open()).quarantines;
    expect(found).toEqual(restraints.quarantines[0]);
  });
});
