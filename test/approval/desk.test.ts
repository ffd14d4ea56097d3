import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Asked, NewApproval } from '../../src/approval/approval.ts';
import { StoredApprovalDesk } from '../../src/approval/desk.ts';
import { RequestKeys } from '../../src/approval/request-keys.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { type FaultyStore, faultyStore } from '../store/faulty-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { BINDING, hold, person, wanted } from './wanted.ts';

const SAID = { by: 'ops', comment: 'checked with Ana' };
const OPS = person(SAID.by, SAID.comment);
const log = createLogger('silent');
const keys = new RequestKeys(Buffer.alloc(32, 1));

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: FaultyStore;
let metrics: Metrics;
let desk: StoredApprovalDesk;

beforeEach(async () => {
  folder = await temporaryFolder();
  store = faultyStore(await SqliteControlStore.open(join(folder.path, 'holdfast.db')));
  metrics = new Metrics();
  desk = await StoredApprovalDesk.open({ store, metrics, log, keys });
});
afterEach(async () => {
  store.failing = false;
  store.losesAnswersOf = null;
  await desk.close();
  await store.close();
  await folder.remove();
});

describe('a held statement', () => {
  it('is in the store before the session begins to wait', async () => {
    const held = await hold(desk);
    const approval = await desk.get(held.id);
    expect(approval).toMatchObject({
      state: 'pending',
      statement: 'delete from orders',
      role: 'app',
      resolvedBy: null,
    });
    expect(approval.expiresAtMs - approval.createdAtMs).toBeCloseTo(60_000, 1);
    expect(approval.statementSha256).toBe(createHash('sha256').update('delete from orders').digest('hex'));
    expect(metrics.statementsHeld).toBe(1);
  });

  it('goes on after an approve, with who and why', async () => {
    const held = await hold(desk);
    expect(await desk.decide(held.id, 'approve', OPS)).toMatchObject({
      state: 'approved',
      resolvedBy: 'ops',
    });
    expect(await held.outcome).toEqual({ kind: 'approved', ...SAID });
    expect(await desk.get(held.id)).toMatchObject({ state: 'approved', comment: OPS.comment });
    expect(metrics.statementsHeld).toBe(0);
    expect(metrics.approvals.cells[metrics.approvals.cellOf('approved')]).toBe(1);
  });

  it('is refused after a deny', async () => {
    const held = await hold(desk);
    await desk.decide(held.id, 'deny', person('ops'));
    expect(await held.outcome).toEqual({ kind: 'denied', by: 'ops', comment: null });
  });

  it('ends when its time is over', async () => {
    const held = await hold(desk, { timeoutMs: 20 });
    expect(await held.outcome).toEqual({ kind: 'timeout' });
    expect((await desk.get(held.id)).state).toBe('timeout');
  });

  it('can wait for longer than a timer can', async () => {
    const held = await hold(desk, { timeoutMs: 2 ** 40 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await desk.get(held.id)).state).toBe('pending');
  });

  it.each(['canceled', 'disconnected'] as const)('ends when the client has %s', async (how) => {
    const held = await hold(desk);
    held.end(how);
    held.end('disconnected');
    expect(await held.outcome).toEqual({ kind: how });
    expect((await desk.get(held.id)).state).toBe(how);
  });

  it('keeps the beginning of a long text, and the hash of all of it', async () => {
    const statement = `delete from orders where note = '${'é'.repeat(LIMITS.auditTextBytes)}'`;
    const approval = await desk.get((await hold(desk, { statement })).id);
    expect(Buffer.byteLength(approval.statement)).toBeLessThanOrEqual(LIMITS.auditTextBytes);
    expect(statement.startsWith(approval.statement)).toBe(true);
    expect(approval.statementSha256).toBe(createHash('sha256').update(statement).digest('hex'));
    expect(statement.endsWith(approval.statementEnd)).toBe(true);
    expect(LIMITS.approvalEndBytes - Buffer.byteLength(approval.statementEnd)).toBeOneOf([0, 1]);
    expect(approval.statementBytes).toBe(Buffer.byteLength(statement));
    expect(await desk.text(approval.id)).toBe(statement);
  });
});

describe('a decision', () => {
  it('may be made again', async () => {
    const held = await hold(desk);
    const first = await desk.decide(held.id, 'approve', OPS);
    expect(await desk.decide(held.id, 'approve', person('other'))).toEqual(first);
  });

  it('is refused where the other one was made', async () => {
    const held = await hold(desk);
    await desk.decide(held.id, 'deny', OPS);
    const message = `approval ${held.id} is denied already`;
    await expect(desk.decide(held.id, 'approve', OPS)).rejects.toMatchObject({ code: 'CONFLICT', message });
  });

  it('is refused when it comes too late, and when there is no such approval', async () => {
    const held = await hold(desk);
    held.end('canceled');
    await held.outcome;
    await expect(desk.decide(held.id, 'approve', OPS)).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(desk.decide('apr_none', 'approve', OPS)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('and a client that leaves at the same moment never both win', async () => {
    for (let round = 0; round < 50; round++) {
      const held = await hold(desk);
      const deciding = desk.decide(held.id, 'approve', OPS).catch((error: Error) => error);
      if (round % 2 === 0) await new Promise(setImmediate);
      held.end('disconnected');
      const decided = await deciding;
      const outcome = await held.outcome;
      const { state } = await desk.get(held.id);
      expect(outcome?.kind).toBe(state);
      expect(decided instanceof Error).toBe(state === 'disconnected');
    }
  });

  it('lets it run when as many have approved as are needed, each by another name', async () => {
    const held = await hold(desk, { approvalsNeeded: 2 });
    for (const comment of ['once', 'and again']) {
      const votes = [{ principal: 'ana', verdict: 'approve', comment: 'once', breakGlass: false }];
      const pending = { state: 'pending', approvalsNeeded: 2, votes };
      expect(await desk.decide(held.id, 'approve', person('ana', comment))).toMatchObject(pending);
      expect((await desk.list({ state: 'pending', before: null, limit: 1 })).items).toMatchObject([pending]);
    }
    const both = { by: 'ana, ben', comment: 'once; checked' };
    expect(await desk.decide(held.id, 'approve', person('ben', 'checked'))).toMatchObject({
      state: 'approved',
      resolvedBy: both.by,
    });
    expect(await held.outcome).toEqual({ kind: 'approved', ...both });
    expect(await desk.get(held.id)).toMatchObject({ state: 'approved', comment: both.comment });
  });

  it('is refused by one denial, however many have approved', async () => {
    const held = await hold(desk, { approvalsNeeded: 3 });
    await desk.decide(held.id, 'approve', person('ana'));
    await desk.decide(held.id, 'approve', person('ben'));
    await desk.decide(held.id, 'deny', person('ana'));
    expect(await held.outcome).toEqual({ kind: 'denied', by: 'ana', comment: null });
  });

  it('that is not durable runs nothing, and can be made again', async () => {
    const held = await hold(desk);
    let settled = false;
    void held.outcome.then(() => {
      settled = true;
    });
    store.failing = true;
    await expect(desk.decide(held.id, 'approve', OPS)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(settled).toBe(false);
    store.failing = false;
    await desk.decide(held.id, 'approve', OPS);
    expect(await held.outcome).toMatchObject({ kind: 'approved' });
  });

  it('whose confirmation was lost stands, and is heard when it is made again', async () => {
    const held = await hold(desk);
    store.losesAnswersOf = 'voteApproval';
    await expect(desk.decide(held.id, 'approve', OPS)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    store.losesAnswersOf = null;
    await expect(desk.decide(held.id, 'deny', OPS)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await held.outcome).toEqual({ kind: 'approved', ...SAID });
  });
});

describe('the desk', () => {
  it('lets nothing through when the store fails', async () => {
    const held = await hold(desk);
    store.failing = true;
    await expect(desk.request(wanted())).rejects.toMatchObject({ code: 'STORE_FAILED' });
    held.end('canceled');
    expect(await held.outcome).toMatchObject({ kind: 'failed', error: { code: 'STORE_FAILED' } });
    store.failing = false;
    await expect(desk.decide(held.id, 'approve', OPS)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('abandons what is held and has no key when it closes, and takes nothing more', async () => {
    const held = await hold(desk);
    await desk.close();
    expect(await held.outcome).toMatchObject({ kind: 'failed', error: { code: 'SHUTTING_DOWN' } });
    expect((await desk.get(held.id)).state).toBe('abandoned');
    await expect(desk.request(wanted())).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('abandons what an earlier run left pending without a key', async () => {
    const held = await hold(desk);
    const next = await StoredApprovalDesk.open({ store, metrics: new Metrics(), log, keys });
    expect((await next.get(held.id)).state).toBe('abandoned');
    await expect(next.decide(held.id, 'approve', OPS)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('lists newest first, by state and in pages', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      ids.unshift((await hold(desk)).id);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await desk.decide(ids[1]!, 'deny', OPS);
    const first = await desk.list({ state: 'pending', before: null, limit: 2 });
    expect(first.items.map((approval) => approval.id)).toEqual([ids[0], ids[2]]);
    const second = await desk.list({ state: 'pending', before: first.next, limit: 2 });
    expect(second.items.map((approval) => approval.id)).toEqual([ids[3], ids[4]]);
    expect(second.next).toBeNull();
    expect((await desk.list({ state: null, before: null, limit: 10 })).items).toHaveLength(5);
  });

  it('tells its listeners once of each request and each end', async () => {
    const told: string[] = [];
    desk.listen({
      requested: (approval) => told.push(`requested ${approval.state}`),
      resolved: (approval) => told.push(`resolved ${approval.state}`),
    });
    const held = await hold(desk);
    await desk.decide(held.id, 'approve', OPS);
    await desk.decide(held.id, 'approve', OPS);
    expect(told).toEqual(['requested pending', 'resolved approved']);
  });
});

describe('a ticket', () => {
  const binding = { ...BINDING, key: 'k' };
  const ask = (changes: Partial<NewApproval> = {}) =>
    desk.request(wanted({ mode: 'ticket', binding, ...changes }));
  const idOf = async (asked: Promise<Asked>): Promise<string> => {
    const answer = await asked;
    if (answer.kind !== 'answered') throw new Error(answer.kind);
    return answer.id;
  };

  it('is the same for the same request, and another where the circumstances are others', async () => {
    const id = await idOf(ask());
    expect(await idOf(ask({ sessionId: 'ses_2' }))).toBe(id);
    expect(await idOf(ask({ binding: { ...binding, searchPath: 'other' } }))).not.toBe(id);
    expect(desk.pending).toBe(2);
    // Its tables are not what they were when it was asked for.
    const next = await idOf(ask({ binding: { ...binding, schemaSha256: 'bb' } }));
    expect(next).not.toBe(id);
    expect((await desk.get(id)).state).toBe('superseded');
    expect(desk.pending).toBe(2);
  });

  it('is used once, by whoever asks first, and never when it is over', async () => {
    const id = await idOf(ask({ grantMs: 60_000 }));
    await desk.decide(id, 'approve', OPS);
    const answers = await Promise.all([ask(), ask(), ask()]);
    expect(answers.map(({ kind }) => kind).toSorted()).toEqual(['answered', 'answered', 'granted']);
    const other = { binding: { ...binding, key: 'other' } };
    const short = await idOf(ask({ ...other, grantMs: 1 }));
    await desk.decide(short, 'approve', OPS);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await idOf(ask(other))).not.toBe(short);
  });

  it('is used by one of those who wait for it, and the others ask anew', async () => {
    const id = await idOf(ask());
    const [first, second] = [
      await hold(desk, { binding }),
      await hold(desk, { binding, sessionId: 'ses_2' }),
    ];
    expect([first.id, second.id]).toEqual([id, id]);
    const third = await hold(desk, { binding });
    third.end('canceled');
    expect(await third.outcome).toEqual({ kind: 'canceled' });
    await desk.decide(id, 'approve', OPS);
    const outcomes = await Promise.all([first.outcome, second.outcome]);
    expect(outcomes.filter((outcome) => outcome === null)).toHaveLength(1);
    expect((await desk.get(id)).grant?.consumedBy).toMatch(/^ses_[12]$/);
  });

  it('is what a live hold becomes whose gateway stops, and what has been voted stands', async () => {
    const held = await hold(desk, { binding, approvalsNeeded: 2 });
    await desk.decide(held.id, 'approve', person('ana'));
    await desk.close();
    expect(await held.outcome).toMatchObject({ kind: 'failed', error: { code: 'SHUTTING_DOWN' } });
    desk = await StoredApprovalDesk.open({ store, metrics, log, keys });
    expect(desk.pending).toBe(1);
    await desk.decide(held.id, 'approve', person('ben'));
    expect(await ask({ approvalsNeeded: 2 })).toMatchObject({ kind: 'granted', approval: { id: held.id } });
  });

  describe('is known again by what only this installation can compute', () => {
    // As the session makes it: anybody could, for each password that they try.
    const hashed = {
      ...binding,
      key: createHash('sha256').update("alter role app password 'hunter2'").digest('hex'),
    };
    const restart = async (secret: RequestKeys) => {
      await desk.close();
      desk = await StoredApprovalDesk.open({ store, metrics, log, keys: secret });
    };

    it('and not by the hash of what was sent', async () => {
      const id = await idOf(ask({ binding: hashed }));
      const row = (await store.approval(id))!;
      expect(row.bindingKey).toMatch(/^[0-9a-f]{8}:[0-9a-f]{64}$/);
      expect(JSON.stringify(row)).not.toContain(hashed.key);
    });

    it('where an earlier version has stored the hash, pending and granted', async () => {
      const [pending, granted, over] = [
        await idOf(ask({ binding: hashed })),
        await idOf(ask({ binding: { ...hashed, key: 'granted' } })),
        await idOf(ask({ binding: { ...hashed, key: 'over' } })),
      ];
      await desk.decide(granted, 'approve', OPS);
      await desk.decide(over, 'deny', OPS);
      const plain = { [pending]: hashed.key, [granted]: 'granted', [over]: 'over' };
      // Every key begins with nothing, so that no other is taken away.
      await store.renewKeys(
        '',
        Object.entries(plain).map(([id, key]) => ({ id, key })),
      );
      expect((await store.approval(pending))?.bindingKey).toBe(hashed.key);
      await restart(keys);
      expect(await idOf(ask({ binding: hashed }))).toBe(pending);
      expect(await ask({ binding: { ...hashed, key: 'granted' } })).toMatchObject({
        kind: 'granted',
        approval: { id: granted },
      });
      expect((await store.approval(over))?.bindingKey, 'nobody needs it').toBeNull();
      for (const id of [pending, granted, over])
        expect(JSON.stringify(await store.approval(id))).not.toContain(`"${plain[id]}"`);
    });

    it('and ends where the secret is another one, to be asked for anew', async () => {
      const id = await idOf(ask({ binding: hashed }));
      await restart(new RequestKeys(Buffer.alloc(32, 2)));
      expect((await desk.get(id)).state).toBe('abandoned');
      expect(await idOf(ask({ binding: hashed }))).not.toBe(id);
    });
  });

  it('that has run out of time is so after a restart too', async () => {
    const id = await idOf(ask({ timeoutMs: 30 }));
    await desk.close();
    await new Promise((resolve) => setTimeout(resolve, 40));
    desk = await StoredApprovalDesk.open({ store, metrics, log, keys });
    await expect(desk.decide(id, 'approve', OPS)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect((await desk.get(id)).state).toBe('timeout');
  });

  it('is given to no more than so many of one role, and to others all the same', async () => {
    for (let i = 0; i < LIMITS.approvalsPendingOfRoleMax; i++)
      await ask({ binding: { ...binding, key: `k${i}` } });
    await expect(ask({ binding: { ...binding, key: 'more' } })).rejects.toMatchObject({
      code: 'TOO_MANY_HELD',
    });
    expect((await ask({ role: 'other', binding: { ...binding, key: 'more' } })).kind).toBe('answered');
  });

  it('has the beginning of a long statement in lists, and all of it by itself', async () => {
    const statement = `delete from orders /* ${'€'.repeat(5_000)} */`;
    const id = await idOf(ask({ statement, binding: { ...binding, key: 'long' } }));
    const { items } = await desk.list({ state: 'pending', before: null, limit: 1 });
    expect(items).toMatchObject([{ id, statement: statement.slice(0, 1_000), statementEnd: '' }]);
    expect(items[0]!.statementBytes).toBe(Buffer.byteLength(statement));
    expect((await desk.get(id)).statement).toBe(statement);
    expect((await ask({ statement, binding: { ...binding, key: 'long' } })).kind).toBe('answered');
  });

  it('is seen by whoever decides, however many another role has', async () => {
    // Of one millisecond, identifiers stand in any order.
    const nextMs = async () => {
      const since = Date.now();
      while (Date.now() === since) await new Promise(setImmediate);
    };
    for (let i = 0; i < 5; i++) await ask({ role: 'app', binding: { ...binding, key: `before ${i}` } });
    await nextMs();
    const first = await idOf(ask({ role: 'ann', binding: { ...binding, key: 'ann' } }));
    await nextMs();
    for (let i = 0; i < 5; i++) await ask({ role: 'agent', binding: { ...binding, key: `behind ${i}` } });
    const seen = async (limit: number) =>
      await desk.list({ state: 'pending', before: null, limit, spread: true });
    const { items, next } = await seen(5);
    expect(items.map(({ role }) => role)).toEqual(['agent', 'agent', 'ann', 'app', 'app']);
    expect(items[2]!.id).toBe(first);
    expect(next).not.toBeNull();
    expect((await seen(11)).next).toBeNull();
    expect((await seen(50)).items).toHaveLength(11);
  });

  it('is not asked for and given up without end', async () => {
    const giveUp = async (role: string) => {
      const asked = await desk.request(wanted({ role }));
      if (asked.kind !== 'waits') throw new Error(asked.kind);
      asked.held.end('canceled');
      await asked.held.outcome;
    };
    let times = 0;
    const many = async () => {
      for (; times < LIMITS.approvalsAtOnce * 2; times++) await giveUp('app');
    };
    await expect(many()).rejects.toMatchObject({
      code: 'TOO_MANY_HELD',
      message: 'the role app has asked for too many approvals lately',
    });
    expect(times).toBeGreaterThanOrEqual(LIMITS.approvalsAtOnce);
    await giveUp('other');
  });

  it('is compared with the rows that it is bound to, though they are replaced meanwhile', async () => {
    const shown = [1, 2, 3].map((rows) => ({ rows, set: null }));
    desk.takeRowsFrom(async () => shown.shift() ?? null);
    const held = await hold(desk);
    await desk.decide(held.id, 'approve', OPS);
    const now = (rows: number) => wanted({ findRows: async () => ({ rows, set: null }) });
    expect(await held.compare(now(1))).toEqual({ drift: [], rowsShown: { rows: 1, set: null } });
    expect(await held.compare(now(1))).toMatchObject({ drift: [expect.any(String)], rowsShown: { rows: 2 } });
    expect(shown).toHaveLength(1);
  });

  it('may change as many rows as those who approved were shown, or about as many', async () => {
    desk.takeRowsFrom(async () => ({ rows: 100, set: null }));
    for (const [rows, kind] of [
      [90, 'granted'],
      [110, 'granted'],
      [89, 'answered'],
      [111, 'answered'],
      [null, 'answered'],
    ] as const) {
      const request = { binding: { ...binding, key: `of ${rows}` } };
      await desk.decide(await idOf(ask(request)), 'approve', OPS);
      const again = await ask({
        ...request,
        findRows: async () => (rows === null ? null : { rows, set: null }),
      });
      expect([rows, again.kind]).toEqual([rows, kind]);
      if (again.kind === 'answered') expect((await desk.get(again.id)).drift).toHaveLength(1);
    }
  });
});
