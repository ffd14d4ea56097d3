import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockReader } from '../../src/audit/block-reader.ts';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { AuditQuery } from '../../src/audit/query.ts';
import type { RecordedEvent } from '../../src/audit/recorded-event.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { type FaultyStore, faultyStore } from '../store/faulty-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { analysis, decision, entry, graveEntry, SESSION } from './statements.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: FaultyStore;
let metrics: Metrics;
let log: StoredAuditLog;
let query: AuditQuery;
let logged: string[];

beforeEach(async () => {
  folder = await temporaryFolder();
  await start();
});
afterEach(async () => {
  store.failing = false;
  await stop();
  await folder.remove();
});

async function start(patience?: { readonly toldMs: number; readonly failedMs: number }): Promise<void> {
  store = faultyStore(await SqliteControlStore.open(join(folder.path, 'holdfast.db')));
  metrics = new Metrics();
  logged = [];
  const logger = createLogger('info', { write: (line) => logged.push(line) });
  log = await StoredAuditLog.open({ store, metrics, log: logger }, patience);
  query = new AuditQuery({ store, log });
}

async function stop(): Promise<void> {
  await query.close();
  await log.close();
  await store.close();
}

async function all(): Promise<readonly RecordedEvent[]> {
  return (await query.search({ filter: {}, cursor: null, limit: 500 })).items;
}

async function only(): Promise<RecordedEvent> {
  const events = await all();
  expect(events).toHaveLength(1);
  return events[0]!;
}

describe('an event', () => {
  it('says all that is known of a statement', async () => {
    const text = "/* ticket='HF-7' */ update orders set total = $1 where id = $2";
    log.finish(
      entry({
        analysis: analysis({
          operation: 'update',
          risk: 'high',
          tables: ['public.orders'],
          context: { ticket: 'HF-7' },
        }),
        decision: { ...decision('snapshot', 'high'), draft: { rule: 'stricter', action: 'block' } },
        text,
        protocol: 'extended',
        startedAtMs: Date.UTC(2026, 4, 17, 9, 30, 5, 250) + 0.125,
        parameters: 2,
        approvalId: 'apr_1',
        holdMs: 1500.25,
        end: 'failed',
        durationMs: 2.125,
        rows: -1,
        sqlstate: '23505',
        transactionStatus: 'E',
      }),
    );
    expect(await only()).toEqual({
      id: '1',
      time: '2026-05-17T09:30:05.250125Z',
      session: 'ses_1',
      role: 'app',
      database: 'shop',
      application: 'psql',
      client: '192.0.2.7:50123',
      sql: text,
      sql_truncated: false,
      sql_sha256: createHash('sha256').update(text).digest('hex'),
      statement_index: 0,
      parameters: 2,
      protocol: 'extended',
      operation: 'update',
      operations: ['update'],
      tables: ['public.orders'],
      risk: 'high',
      reasons: [],
      problem: null,
      action: 'snapshot',
      would_be: null,
      draft: { rule: 'stricter', action: 'block' },
      rows_counted: null,
      rule: 'default:high',
      reason: 'because',
      snapshot: 'not yet taken',
      approval_id: 'apr_1',
      hold_ms: 1500.25,
      end: 'failed',
      rows: null,
      sqlstate: '23505',
      duration_ms: 2.125,
      transaction_status: 'E',
      context: { ticket: 'HF-7' },
    });
  });

  it('keeps rows of any number, every SQLSTATE and every end', async () => {
    const rows = 2 ** 52;
    const ends = ['completed', 'suspended', 'failed', 'blocked', 'not-run', 'lost'] as const;
    const sqlstates = [null, '00001', '42501', 'HF001', 'XX000', 'ZZZZZ'];
    ends.forEach((end, i) => {
      log.finish(entry({ end, sqlstate: sqlstates[i]!, rows }));
    });
    const events = (await all()).toReversed();
    expect(events.map((event) => event.end)).toEqual(ends);
    expect(events.map((event) => event.sqlstate)).toEqual(sqlstates);
    expect(events.every((event) => event.rows === rows)).toBe(true);
  });

  it('holds the masked text where there is one, whatever the session hands over', async () => {
    const secret = "alter role app password 'hunter2'";
    const redacted = "alter role app password '***'";
    log.finish(entry({ analysis: analysis({ redacted }), text: secret }));
    const event = await only();
    expect(event.sql).toBe(redacted);
    expect(event.sql_sha256).toBe(createHash('sha256').update(redacted).digest('hex'));
    await stop();
    const file = await readFile(join(folder.path, 'holdfast.db'));
    expect(file.includes('hunter2')).toBe(false);
    await start();
  });

  it('holds the beginning of a long text between two characters, and the hash of all of it', async () => {
    const text = `select '${'ü€😀'.repeat(10_000)}'`;
    log.finish(entry({ text }));
    const event = await only();
    expect(event.sql_truncated).toBe(true);
    expect(text.startsWith(event.sql!)).toBe(true);
    expect(Buffer.byteLength(event.sql!)).toBeGreaterThan(LIMITS.auditTextBytes - 4);
    expect(event.sql_sha256).toBe(createHash('sha256').update(text).digest('hex'));
  });

  it('has no text where there was none', async () => {
    log.finish(entry({ text: null, protocol: 'function' }));
    expect(await only()).toMatchObject({ sql: null, sql_sha256: null, protocol: 'function' });
  });

  it('tells the statements of one text apart', async () => {
    const one = analysis({ operation: 'update' }).statements[0]!;
    const other = {
      ...analysis({ operation: 'drop table' }).statements[0]!,
      writes: [{ schema: 'hr', name: 'pay' }],
    };
    const both = analysis({ statements: [one, other], operation: 'drop table', tables: ['hr.pay'] });
    const text = 'update a set b = 1; drop table hr.pay';
    log.finish(entry({ analysis: both, text, statementIndex: 0 }));
    log.finish(entry({ analysis: both, text, statementIndex: 1 }));
    expect(await all()).toMatchObject([
      { statement_index: 1, operation: 'drop table', tables: ['hr.pay'], sql: text },
      { statement_index: 0, operation: 'update', tables: [], sql: text },
    ]);
  });

  it('is bounded, however large what is told of a statement', async () => {
    const names = Array.from({ length: 10_000 }, () => '\u0001'.repeat(1000));
    const long = 'x'.repeat(100_000);
    const session = { ...SESSION, application: long, role: long };
    for (let i = 0; i < 20; i++) {
      const huge = analysis({
        tables: names,
        statements: [{ ...analysis().statements[0]!, operations: names, reasons: names }],
        context: { long, a: 'b' },
      });
      log.finish(entry({ session, analysis: huge, text: `${i} ${long}` }));
    }
    expect(await all()).toHaveLength(20);
  });
});

describe('the log', () => {
  it('writes by itself shortly after an event, and then rests', async () => {
    log.finish(entry());
    await until(() => metrics.auditQueueBytes === 0 && metrics.auditBlocks === 1);
    expect((await store.auditHead()).lastSeq).toBe(1);
    await until(() => metrics.auditQueuedSinceMs === null);
  });

  it('keeps order and count over many blocks, and its numbers over restarts', async () => {
    const texts = Array.from({ length: 9000 }, (_, i) => `select ${i} /* ${'x'.repeat(i % 400)} */`);
    for (const text of texts) log.finish(entry({ text }));
    await stop();
    await start();
    log.finish(entry({ text: 'the last' }));
    const found: RecordedEvent[] = [];
    let cursor: string | null = null;
    do {
      const page = await query.search({ filter: {}, cursor, limit: 400 });
      found.push(...page.items);
      cursor = page.next;
    } while (cursor !== null);
    expect(found.map((event) => event.id)).toEqual(Array.from({ length: 9001 }, (_, i) => String(9001 - i)));
    expect(found.map((event) => event.sql)).toEqual([...texts, 'the last'].toReversed());
  });

  it('gives the right text where one analysis came with several', async () => {
    const shared = analysis();
    for (const text of ['a', 'b', 'a', 'b', 'b']) log.finish(entry({ analysis: shared, text }));
    expect((await all()).map((event) => event.sql)).toEqual(['b', 'b', 'a', 'b', 'a']);
  });

  it('counts what it records', async () => {
    log.finish(entry());
    log.finish(graveEntry({ end: 'blocked', decision: decision('block', 'critical'), holdMs: 2000 }));
    const { statements } = metrics;
    expect(statements.cells[statements.cellOf('safe', 'allow', 'completed')]).toBe(1);
    expect(statements.cells[statements.cellOf('critical', 'block', 'blocked')]).toBe(1);
    expect(metrics.holdSeconds.sum).toBe(2);
  });
});

describe('a dangerous statement', () => {
  it('is known to the store while it runs, and only then', async () => {
    const running = graveEntry();
    log.begin(running);
    await log.flush();
    expect((await store.auditHead()).open).toHaveLength(1);
    expect(await all()).toHaveLength(0);
    log.finish(running);
    await log.flush();
    expect((await store.auditHead()).open).toHaveLength(0);
    expect(await only()).toMatchObject({ end: 'completed', rows: 12 });
  });

  it('costs the store nothing where it ends at once, or is harmless', async () => {
    const quick = entry({ decision: decision('snapshot', 'high') });
    log.begin(quick);
    log.finish(quick);
    log.begin(entry());
    await log.flush();
    expect((await store.auditHead()).open).toHaveLength(0);
  });

  it('may be told of by an object that was used before', async () => {
    const reused = graveEntry();
    for (let i = 0; i < 3; i++) {
      log.begin(reused);
      if (i === 1) await log.flush();
      log.finish(reused);
    }
    await log.flush();
    expect((await store.auditHead()).open).toHaveLength(0);
    expect(await all()).toHaveLength(3);
  });

  it('shares a record with others that were begun at about the same time, which is without those that end', async () => {
    const runs = Array.from({ length: 5 }, (_, i) =>
      graveEntry({ text: `delete from orders where id = ${i}` }),
    );
    const open = async () => {
      await log.flush();
      return (await store.auditHead()).open.map(({ id, bytes }) => `${id}: ${new BlockReader(bytes).events}`);
    };
    for (const run of runs) log.begin(run);
    expect(await open()).toEqual(['1: 5']);
    log.finish(runs[1]!);
    log.finish(runs[4]!);
    log.begin(graveEntry());
    expect(await open()).toEqual(['1: 3', '2: 1']);
    log.finish(runs[0]!);
    // Used again while those that it shared a record with still run.
    log.begin(runs[0]!);
    expect(await open()).toEqual(['1: 2', '2: 1', '3: 1']);
    log.finish(runs[2]!);
    log.finish(runs[3]!);
    expect(await open()).toEqual(['2: 1', '3: 1']);
    await stop();
    await start();
    const ends = (await all()).map(({ end }) => end);
    expect(ends.filter((end) => end === 'completed')).toHaveLength(5);
    expect(ends.filter((end) => end === 'lost')).toHaveLength(2);
    expect((await store.auditHead()).open).toHaveLength(0);
  });

  it('has a record of its own where it does not fit with others, and none is missing after a crash', async () => {
    const begun = Array.from({ length: 40 }, (_, i) =>
      graveEntry({ text: `${i} ${'x'.repeat(LIMITS.auditTextBytes)}` }),
    );
    const many = Array.from({ length: 4_000 }, () => graveEntry());
    for (const each of [...begun, ...many]) log.begin(each);
    await log.flush();
    const { open } = await store.auditHead();
    expect(open.length).toBeGreaterThan(1);
    expect(open.reduce((sum, { bytes }) => sum + new BlockReader(bytes).events, 0)).toBe(4_040);
    log.finish(many[0]!);
    await log.flush();
    // As after a crash: the log that has begun them says nothing more.
    const next = await StoredAuditLog.open({ store, metrics, log: createLogger('error') });
    expect((await store.auditHead()).open).toHaveLength(0);
    expect((await store.auditHead()).lastSeq).toBe(4_040);
    await next.close();
  });

  it('that still runs when the log closes is lost', async () => {
    log.begin(graveEntry());
    await stop();
    await start();
    expect(await only()).toMatchObject({ end: 'lost', sql: 'delete from orders' });
  });

  it('is recorded as lost after SIGKILL, with what was acknowledged before', async () => {
    await stop();
    const path = join(folder.path, 'holdfast.db');
    const body = fileURLToPath(new URL('killed-gateway.ts', import.meta.url));
    const child = spawn(process.execPath, [body, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    await start();
    const events = await all();
    expect(events).toHaveLength(3);
    expect(events[0]).toMatchObject({
      end: 'lost',
      sql: 'delete from orders',
      action: 'hold',
      rows: null,
      duration_ms: null,
      transaction_status: null,
    });
    expect(events.map((event) => event.id)).toEqual(['3', '2', '1']);
    expect((await store.auditHead()).open).toHaveLength(0);
    await stop();
    await start();
    expect(await all()).toHaveLength(3);
  });
});

describe('what was begun', () => {
  const other = { ...SESSION, id: 'another' };

  it('is recorded when it is durable, for its session alone', async () => {
    let open = () => {};
    store.gate = new Promise((resolve) => {
      open = resolve;
    });
    log.begin(entry({ decision: decision('allow', 'low') }));
    expect([log.isRecorded(SESSION), log.isRecorded(other)]).toEqual([false, true]);
    expect(await log.whenRecorded(other)).toBe(true);
    let settled = false;
    const recorded = log.whenRecorded(SESSION).finally(() => {
      settled = true;
    });
    await new Promise((resolve) => setTimeout(resolve, LIMITS.auditFlushMs * 2));
    expect(settled).toBe(false);
    open();
    expect(await recorded).toBe(true);
    expect(log.isRecorded(SESSION)).toBe(true);
    expect((await store.auditHead()).open).toHaveLength(1);
  });

  it('is recorded by a later write than the one that is under way', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    store.gate = gates[0].promise;
    log.begin(entry({ decision: decision('snapshot', 'high') }));
    const first = log.whenRecorded(SESSION);
    await new Promise((resolve) => setTimeout(resolve, 20));
    log.begin(entry({ session: other, decision: decision('snapshot', 'high') }));
    let second = false;
    const later = log.whenRecorded(other).then(() => {
      second = true;
    });
    store.gate = gates[1].promise;
    gates[0].resolve();
    expect(await first).toBe(true);
    expect(second).toBe(false);
    gates[1].resolve();
    await later;
  });

  it('needs no time of its own where it has ended before', async () => {
    const short = entry({ decision: decision('snapshot', 'high') });
    log.begin(short);
    log.finish(short);
    expect(await log.whenRecorded(SESSION)).toBe(true);
    expect((await store.auditHead()).lastSeq).toBe(1);
  });

  it('is not recorded by a store that fails, which is said at once, and is when it works again', async () => {
    store.failing = true;
    log.begin(graveEntry());
    expect(await log.whenRecorded(SESSION)).toBe(false);
    expect(await log.whenRecorded(SESSION)).toBe(false);
    expect(log.isRecorded(SESSION)).toBe(false);
    store.failing = false;
    await until(() => log.isRecorded(SESSION), LIMITS.auditRetryMs * 10);
  });
});

describe('a store that fails', () => {
  it('says so, lets clients be read until the queue is full, and loses nothing', async () => {
    store.failing = true;
    for (let i = 0; i < 5000; i++) log.finish(entry({ text: `select ${i}` }));
    expect(await log.flush()).toBe(false);
    expect(log).toMatchObject({ failing: true, healthy: false, saturated: false });
    for (let i = 0; i < 10; i++) log.finish(entry({ text: 'while it fails' }));
    const working = log.whenWorking();
    await new Promise((resolve) => setTimeout(resolve, LIMITS.auditRetryMs * 3));
    expect(log.failing).toBe(true);
    store.failing = false;
    await until(() => !log.failing, LIMITS.auditRetryMs * 10);
    expect(await working).toBe(true);
    await log.flush();
    expect((await store.auditHead()).lastSeq).toBe(5010);
    expect(metrics.auditQueueBytes).toBe(0);
    expect(logged.map((line) => JSON.parse(line).level)).toEqual(['error', 'info']);
  });

  it('stops the reading of clients when the queue is full', async () => {
    store.failing = true;
    for (let i = 0; !log.saturated; i++) log.finish(entry({ text: `${i} ${'x'.repeat(10_000)}` }));
    let drained = false;
    log.onceDrained(() => {
      drained = true;
    });
    await until(() => log.failing);
    expect(drained).toBe(false);
    store.failing = false;
    await until(() => drained, 10_000);
  });

  it('keeps nobody waiting for longer than it may', async () => {
    store.failing = true;
    log.finish(entry());
    await log.flush();
    const asked = performance.now();
    expect(await log.whenWorking()).toBe(false);
    expect(performance.now() - asked).toBeGreaterThanOrEqual(LIMITS.auditRefuseMs - 50);
    store.failing = false;
  });

  it('that wrote and did not say so gets no event twice', async () => {
    store.losesAnswersOf = 'appendAudit';
    log.finish(entry());
    expect(await log.flush()).toBe(false);
    store.losesAnswersOf = null;
    await until(() => log.healthy, LIMITS.auditRetryMs * 10);
    log.finish(entry());
    expect((await all()).map((event) => event.id)).toEqual(['2', '1']);
  });

  it('that does not answer is told in time, refuses at last, and works again by itself', async () => {
    await stop();
    await start({ toldMs: 50, failedMs: 300 });
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    log.begin(entry({ decision: decision('snapshot', 'high') }));
    const recorded = log.whenRecorded(SESSION);
    await until(() => !log.healthy, 2_000);
    expect(log.failing).toBe(false);
    expect(await recorded).toBe(false);
    expect(log.failing).toBe(true);
    expect(logged.join('')).toContain('the store has not answered a write for 300 ms');
    gate.resolve();
    await until(() => log.healthy, 2_000);
    expect(await log.whenRecorded(SESSION)).toBe(true);
  });

  it('that is slow stops the reading of clients at the limit, and lets it go on at half of it', async () => {
    let open = () => {};
    store.gate = new Promise((resolve) => {
      open = resolve;
    });
    let fill = 0;
    while (!log.saturated) log.finish(entry({ text: `${fill++} ${'x'.repeat(10_000)}` }));
    expect(metrics.auditQueueBytes).toBeGreaterThan(LIMITS.auditQueueBytes);
    expect(metrics.auditQueueBytes).toBeLessThan(LIMITS.auditQueueBytes + 2 * LIMITS.auditBlockBytes);
    let drained = 0;
    log.onceDrained(() => drained++);
    open();
    await until(() => drained === 1, 10_000);
    expect(log.saturated).toBe(false);
    await log.flush();
    expect((await store.auditHead()).lastSeq).toBe(fill);
    log.onceDrained(() => drained++);
    await until(() => drained === 2);
  });
});

async function until(condition: () => boolean, limitMs = 2000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
