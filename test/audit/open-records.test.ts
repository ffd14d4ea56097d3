import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockReader, readBlocks } from '../../src/audit/block-reader.ts';
import type { AuditEntry } from '../../src/audit/event.ts';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import type { ControlStore } from '../../src/store/control-store.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { decision, graveEntry, SESSION } from './statements.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: ControlStore;
let log: StoredAuditLog;

beforeEach(async () => {
  folder = await temporaryFolder();
  store = await SqliteControlStore.open(join(folder.path, 'holdfast.db'));
  log = await openLog();
});
afterEach(async () => {
  await log.close();
  await store.close();
  await folder.remove();
});

async function openLog(): Promise<StoredAuditLog> {
  return await StoredAuditLog.open({ store, metrics: new Metrics(), log: createLogger('error') });
}

/** Fit one record with one decision, and not with one for each. */
const COUNT = 1800;

/** Each is of a session of its own. */
function begunTogether(count: number): AuditEntry[] {
  const shared = decision('snapshot', 'high');
  const running = Array.from({ length: count }, (_, i) =>
    graveEntry({ session: { ...SESSION, id: `ses_${i}` }, decision: shared, text: textOf(i) }),
  );
  for (const entry of running) log.begin(entry);
  return running;
}

/** What the decision of each becomes once its rows are captured: one that nobody else has. */
function grow(running: readonly AuditEntry[]): void {
  for (const [i, entry] of running.entries()) {
    const shared = decision('snapshot', 'high');
    if (shared.action !== 'snapshot') throw new Error('it takes snapshots');
    entry.decision = { ...shared, taken: `snap_01JD9ZZZZZZZZZZZZZ_${i}` };
  }
}

function textOf(i: number): string {
  return `delete from orders where id = ${i}`;
}

function statementsOf(block: BlockReader): string[] {
  return Array.from({ length: block.events }, (_, i) => {
    const { text, decision, end } = block.record(i);
    return `${end} ${block.sql(text)} ${block.decision(decision).snapshot ?? ''}`;
  });
}

async function open(): Promise<string[]> {
  const head = await store.auditHead();
  return head.open.flatMap(({ bytes }) => statementsOf(new BlockReader(bytes))).sort();
}

async function ended(): Promise<string[]> {
  const all = { beforeSeq: Infinity, sinceMs: -Infinity, untilMs: Infinity, bytesMax: Infinity };
  const rows = await store.readAudit(all);
  return rows.flatMap(({ bytes }) => readBlocks(bytes).flatMap(statementsOf)).sort();
}

function expected(end: string, from: number, to: number): string[] {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i);
  return numbers.map((i) => `${end} ${textOf(i)} snap_01JD9ZZZZZZZZZZZZZ_${i}`).sort();
}

describe('statements of one record that no longer fit it once each has its own snapshot', () => {
  it('are all in the store, each once, in as many records as they need', async () => {
    const running = begunTogether(COUNT);
    await log.flush();
    expect((await store.auditHead()).open).toHaveLength(1);
    grow(running);
    log.finish(running[0]!);
    expect(await log.flush()).toBe(true);
    expect((await store.auditHead()).open.length).toBeGreaterThan(1);
    expect(await open()).toEqual(expected('lost', 1, COUNT));
  });

  it('are neither lost nor there twice after a crash, and end like others', async () => {
    const running = begunTogether(COUNT);
    await log.flush();
    grow(running);
    log.finish(running[0]!);
    await log.flush();
    // Some of the record that they had, and some of those that they were moved to.
    const [some, others] = [running.slice(1, 500), running.slice(1500)];
    for (const entry of [...some, ...others]) log.finish(entry);
    await log.flush();
    expect(await open()).toEqual(expected('lost', 500, 1500));
    // As after a crash: the log that has begun them says nothing more.
    const next = await openLog();
    expect((await store.auditHead()).open).toHaveLength(0);
    const completed = [...expected('completed', 0, 500), ...expected('completed', 1500, COUNT)];
    expect(await ended()).toEqual([...completed, ...expected('lost', 500, 1500)].sort());
    await next.close();
  });

  it('leave no record when all have ended, also those that began anew meanwhile', async () => {
    const running = begunTogether(COUNT);
    await log.flush();
    grow(running);
    log.finish(running[0]!);
    await log.flush();
    log.finish(running[1700]!);
    log.begin(running[1700]!);
    log.begin(running[0]!);
    await log.flush();
    expect(await open()).toEqual(expected('lost', 0, COUNT));
    for (const entry of running) log.finish(entry);
    await log.flush();
    expect((await store.auditHead()).open).toHaveLength(0);
    expect(await ended()).toHaveLength(COUNT + 2);
  });
});

describe('a seal that fails', () => {
  it('changes nothing, so that the next one has all of it', async () => {
    const running = begunTogether(3);
    grow(running);
    await log.flush();
    log.finish(running[0]!);
    const broken = graveEntry();
    const whole = Object.getOwnPropertyDescriptor(broken, 'parameters')!;
    Object.defineProperty(broken, 'parameters', {
      get: () => {
        throw new Error('it cannot be read');
      },
      enumerable: true,
      configurable: true,
    });
    const late = graveEntry({ session: { ...SESSION, id: 'ses_late' } });
    log.begin(late);
    log.begin(broken);
    for (let i = 0; i < 2; i++) expect(() => log.flush()).toThrow('it cannot be read');
    expect(log.isRecorded(late.session)).toBe(false);
    expect(await open()).toEqual(expected('lost', 0, 3));
    expect(await ended()).toEqual([]);
    Object.defineProperty(broken, 'parameters', whole);
    expect(await log.flush()).toBe(true);
    expect(log.isRecorded(late.session)).toBe(true);
    const both = Array.from({ length: 2 }, () => 'lost delete from orders ');
    expect(await open()).toEqual([...both, ...expected('lost', 1, 3)].sort());
    expect(await ended()).toEqual(expected('completed', 0, 1));
  });
});

describe('a log that closes', () => {
  it('records once what an object tells of that has begun twice since the last seal', async () => {
    const reused = graveEntry();
    log.begin(reused);
    log.finish(reused);
    log.begin(reused);
    await log.close();
    expect((await ended()).map((event) => event.split(' ')[0])).toEqual(['completed', 'lost']);
  });
});

describe('a statement that was begun and is taken back', () => {
  it.each([
    ['before it is in the store', async () => {}],
    ['when it is in the store', async () => await log.flush()],
  ])('has no record %s, and is recorded where it is begun anew', async (_, recorded) => {
    const [entry] = begunTogether(1) as [AuditEntry];
    await recorded();
    log.withdraw(entry);
    await log.flush();
    expect(await open()).toEqual([]);
    log.begin(entry);
    await log.flush();
    expect(await open()).toHaveLength(1);
    log.finish(entry);
    await log.flush();
    expect([await open(), (await ended()).length]).toEqual([[], 1]);
  });

  it('has one record where it is begun anew at once', async () => {
    const [entry] = begunTogether(1) as [AuditEntry];
    log.withdraw(entry);
    log.begin(entry);
    await log.flush();
    expect(await open()).toHaveLength(1);
  });
});
