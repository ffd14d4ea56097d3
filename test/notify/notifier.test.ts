import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { Notifier } from '../../src/notify/notifier.ts';
import { WEBHOOK_EVENTS, type Webhook, type WebhookTerms } from '../../src/notify/webhook.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { type FaultyStore, faultyStore } from '../store/faulty-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { Random, seedOfRun } from '../support/random.ts';
import { Receiver } from './receiver.ts';
import { approvalRow } from './rows.ts';

const PATIENCE = { timeout: 15_000 };

const KEY = randomBytes(32);
const TERMS: WebhookTerms = { timeoutMs: 2_000, retryFromMs: 5, retryUpToMs: 40, giveUpAfterMs: 60_000 };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: FaultyStore;
let metrics: Metrics;
let notifier: Notifier | null = null;
let receiver: Receiver;
const logged: string[] = [];
const log = createLogger('info', { write: (line) => logged.push(line) });

beforeEach(async () => {
  folder = await temporaryFolder();
  store = faultyStore(await SqliteControlStore.open(join(folder.path, 'holdfast.db')));
  metrics = new Metrics();
  receiver = new Receiver();
  await receiver.start();
  logged.length = 0;
});
afterEach(async () => {
  store.failing = false;
  await notifier?.close();
  notifier = null;
  await receiver.stop();
  await store.close();
  await folder.remove();
});

const webhook = (changes: Partial<Webhook> = {}): Webhook => ({
  ...{
    name: 'oncall',
    url: receiver.url,
    format: 'json',
    key: KEY,
    events: WEBHOOK_EVENTS,
    statements: false,
  },
  ...changes,
});

async function open(all: readonly Webhook[] = [webhook()], terms: Partial<WebhookTerms> = {}): Promise<void> {
  await notifier?.close();
  const webhooks = { all, terms: { ...TERMS, ...terms } };
  notifier = await Notifier.open({ store, metrics, log, webhooks, publicUrl: 'https://holdfast.example/gw' });
}

async function ask(id: string): Promise<void> {
  await store.insertApproval(approvalRow(id));
  notifier?.poke();
}

async function decide(id: string, state: string): Promise<void> {
  await store.resolveApproval(id, { state, atMs: Date.now(), by: 'anna', comment: 'fine' });
  notifier?.poke();
}

const untilEmpty = () => expect.poll(() => store.outboxSize(), PATIENCE).toBe(0);
const said = () => receiver.received.map(({ body }) => [body.type, body.data.id, body.data.state]);

describe('a webhook', () => {
  it('is told of an approval as it is asked for and as it is decided, with a link and a signature', async () => {
    await open();
    await ask('apr_1');
    await decide('apr_1', 'approved');
    await untilEmpty();
    expect(said()).toEqual([
      ['approval.requested', 'apr_1', 'pending'],
      ['approval.resolved', 'apr_1', 'approved'],
    ]);
    const [first, second] = receiver.received;
    expect(first!.body).toMatchObject({
      id: first!.id,
      time: expect.stringMatching(/^20\d\d-.*Z$/),
      url: 'https://holdfast.example/gw/#/approvals/apr_1',
      data: { role: 'app', operation: 'delete', tables: ['orders'], risk: 'critical', resolved_by: null },
    });
    expect(second!.body.data).toMatchObject({ resolved_by: 'anna', comment: 'fine' });
    expect(first!.headers['idempotency-key']).toBe(first!.id);
    for (const message of receiver.received) {
      expect(message.signedBy(KEY)).toBe(true);
      expect(message.signedBy(randomBytes(32))).toBe(false);
      expect(Math.abs(Number(message.headers['webhook-timestamp']) - Date.now() / 1000)).toBeLessThan(60);
      expect(message.text).not.toContain('delete from orders');
    }
  });

  it('has the statement only where it is told to', async () => {
    await open([webhook({ statements: true })]);
    await ask('apr_1');
    await untilEmpty();
    expect(receiver.received[0]!.body.data.statement).toBe('delete from orders');
  });

  it('is told of what it asks for, and of what has happened since it is there', async () => {
    await ask('apr_0');
    await open([webhook({ events: ['approval.resolved', 'pause.begun'] })]);
    await ask('apr_1');
    await decide('apr_1', 'denied');
    const body = JSON.stringify({ reason: 'wrong deploy', by: 'token:anna' });
    await store.insertRestraint({ id: 'pau_1', kind: 'pause', createdAtMs: 1, untilMs: null, body });
    notifier!.poke();
    await untilEmpty();
    // They are of different subjects, which have no order.
    const byType = [...receiver.received].sort((a, b) => a.body.type.localeCompare(b.body.type));
    expect(byType.map(({ body }) => [body.type, body.data.id, body.data.state])).toEqual([
      ['approval.resolved', 'apr_1', 'denied'],
      ['pause.begun', 'pau_1', undefined],
    ]);
    expect(byType[1]!.body.data).toMatchObject({ reason: 'wrong deploy' });
  });

  it('that is no longer configured is forgotten', async () => {
    await receiver.stop();
    await open();
    await ask('apr_1');
    await open([]);
    expect(await store.outboxSize()).toBe(0);
  });

  it('of Slack has text in which nothing of a client counts as markup', async () => {
    await open([webhook({ format: 'slack', key: null })]);
    await store.insertApproval(approvalRow('apr_1', { application: '<!channel> *all* & <https://evil|x>' }));
    notifier!.poke();
    await untilEmpty();
    const { text } = receiver.received[0]!.body;
    expect(text).toContain('*A statement waits for approval* (apr_1)');
    expect(text).toContain('application: &lt;!channel&gt; \u200b*all\u200b* &amp; &lt;https://evil|x&gt;');
    expect(text).toContain('<https://holdfast.example/gw/#/approvals/apr_1|Open it in the console>');
    expect(receiver.received[0]!.headers['webhook-signature']).toBeUndefined();
  });

  it('of Slack has a line for each fact, whatever a client writes', async () => {
    await open([webhook({ format: 'slack', key: null })]);
    const reason = 'a\r\nstate: approved\u2028risk: safe\u2029\u202eb';
    await store.insertApproval(approvalRow('apr_1', { application: 'x\nrisk: safe', reason }));
    notifier!.poke();
    await untilEmpty();
    const { text } = receiver.received[0]!.body;
    expect(text).toContain('application: x risk: safe\n');
    expect(text).toContain('reason: a state: approved risk: safe b\n');
  });
});

describe('a receiver that is down', () => {
  it('is told everything afterwards, in order, and only what it has had under the same id again', async () => {
    const seed = seedOfRun(20261121);
    console.log(`HOLDFAST_SEED=${seed}`);
    const random = new Random(seed);
    await receiver.stop();
    await open();
    const ids = Array.from({ length: 40 }, (_, i) => `apr_${i}`);
    for (const id of ids) await ask(id);
    await expect.poll(() => metrics.webhookMessages.cells[1], PATIENCE).toBeGreaterThan(4);
    // A restart of the gateway, while it is down.
    await open();
    for (const id of ids) await decide(id, random.pick(['approved', 'denied', 'timeout']));
    // It comes back, and is not well at first.
    receiver.answer = () => random.pick([204, 200, 500, 503, 'cut', 302] as const);
    await receiver.start();
    await expect.poll(() => receiver.received.length, PATIENCE).toBeGreaterThan(20);
    receiver.answer = () => 204;
    await untilEmpty();
    const once = new Map(receiver.received.map((message) => [message.id, message]));
    expect(once.size).toBe(80);
    for (const id of ids) {
      const told = receiver.received.filter(({ body }) => body.data.id === id).map(({ body }) => body.type);
      expect(told.lastIndexOf('approval.requested')).toBeLessThan(told.indexOf('approval.resolved'));
      expect(new Set(told)).toEqual(new Set(['approval.requested', 'approval.resolved']));
    }
    for (const one of receiver.received) {
      expect(one.text, 'the same id says the same').toBe(once.get(one.id)!.text);
      expect(one.signedBy(KEY)).toBe(true);
    }
  });

  it('that refuses some messages for good is told all others', async () => {
    const refused = Array.from({ length: 6 }, (_, i) => `apr_bad${i}`);
    receiver.answer = ({ body }) => (refused.includes(body.data.id) ? 403 : 204);
    await open([webhook()], { retryFromMs: 60_000, retryUpToMs: 60_000 });
    await store.insertApproval(approvalRow('apr_first'));
    for (const id of refused) await store.insertApproval(approvalRow(id));
    const ids = Array.from({ length: 20 }, (_, i) => `apr_${i}`);
    for (const id of ids) await ask(id);
    await decide('apr_bad0', 'denied');
    const had = () => receiver.received.map(({ body }) => body.data.id);
    await expect.poll(() => ids.filter((id) => had().includes(id)).length, PATIENCE).toBe(20);
    // What is behind one that was refused waits for it.
    await expect.poll(() => store.outboxSize(), PATIENCE).toBe(7);
  });

  it('keeps nothing from another', async () => {
    await open([webhook({ name: 'gone', url: 'http://127.0.0.1:1/' }), webhook()]);
    await ask('apr_1');
    await expect.poll(() => said(), PATIENCE).toEqual([['approval.requested', 'apr_1', 'pending']]);
  });

  it('is given up on after a time, message by message', async () => {
    await receiver.stop();
    await open([webhook()], { giveUpAfterMs: 1 });
    await ask('apr_1');
    await untilEmpty();
    expect(metrics.webhookMessages.cells[2]).toBe(1);
    expect(logged.join()).toContain('is given up');
  });
});

it('a clock that is wrong for a moment keeps no message back', async () => {
  receiver.answer = () => 500;
  await open();
  const wall = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 31_536_000_000);
  try {
    await ask('apr_1');
    await expect.poll(() => metrics.webhookMessages.cells[1], PATIENCE).toBeGreaterThan(0);
  } finally {
    wall.mockRestore();
  }
  receiver.answer = () => 204;
  await untilEmpty();
  expect(said().at(-1)).toEqual(['approval.requested', 'apr_1', 'pending']);
});

describe('what a receiver cannot do', () => {
  it('send us elsewhere', async () => {
    const other = new Receiver();
    await other.start();
    receiver.location = other.url;
    receiver.answer = () => 307;
    await open();
    await ask('apr_1');
    await expect.poll(() => receiver.received.length, PATIENCE).toBeGreaterThan(2);
    expect(other.received).toEqual([]);
    await other.stop();
  });

  it('keep us waiting', async () => {
    await open([webhook()], { timeoutMs: 100 });
    receiver.delayMs = 500;
    await ask('apr_1');
    await expect.poll(() => metrics.webhookMessages.cells[1], PATIENCE).toBeGreaterThan(0);
    receiver.delayMs = 0;
    await untilEmpty();
  });

  it('put itself into the log, nor its URL or key', async () => {
    receiver.answer = () => 500;
    await open();
    await ask('apr_1');
    await expect.poll(() => logged.length, PATIENCE).toBeGreaterThan(2);
    expect(logged.join()).toContain('status 500');
    for (const secret of ['T0SECRETPATH', 'secret words', KEY.toString('base64'), 'delete from orders'])
      expect(logged.join()).not.toContain(secret);
  });
});

describe('votes', () => {
  const vote = (principal: string, verdict: 'approve' | 'deny', needed: number) =>
    store.voteApproval({
      ...{
        approvalId: 'apr_1',
        principal,
        person: principal,
        subject: null,
        lookedAt: null,
        verdict,
        atMs: Date.now(),
        needed,
      },
      ...{ comment: 'seen', breakGlass: false, grantMs: 1000, session: 'ses_1' },
    });

  it('are told where several people have to approve, in order, and not again where nothing changes', async () => {
    await open();
    await store.insertApproval(approvalRow('apr_1', { approvalsNeeded: 2 }));
    await vote('ana', 'approve', 2);
    await vote('ana', 'approve', 2);
    await vote('ben', 'approve', 2);
    notifier!.poke();
    await untilEmpty();
    expect(receiver.received.map(({ body }) => [body.type, body.data.voted_by, body.data.approved])).toEqual([
      ['approval.requested', undefined, undefined],
      ['approval.voted', 'ana', 1],
      ['approval.voted', 'ben', 2],
      ['approval.resolved', undefined, undefined],
    ]);
    expect(receiver.received[1]!.body.data).toMatchObject({
      ...{ id: 'apr_1', state: 'pending', verdict: 'approve', comment: 'seen', approvals_needed: 2 },
    });
  });

  it('are counted by people, as what they suffice for is', async () => {
    await open();
    await store.insertApproval(approvalRow('apr_1', { approvalsNeeded: 2 }));
    for (const name of ['ana', 'Ana', 'ben']) await vote(name, 'approve', 2);
    notifier!.poke();
    await untilEmpty();
    const told = receiver.received.filter(({ body }) => body.type === 'approval.voted');
    expect(told.map(({ body: { data } }) => [data.voted_by, data.approved])).toEqual([
      ['ana', 1],
      ['Ana', 1],
      ['ben', 2],
    ]);
  });

  it('are told where somebody who has approved denies', async () => {
    await open();
    await store.insertApproval(approvalRow('apr_1', { approvalsNeeded: 2 }));
    await vote('ana', 'approve', 2);
    await vote('ana', 'deny', 2);
    notifier!.poke();
    await untilEmpty();
    expect(receiver.received.map(({ body }) => [body.type, body.data.verdict ?? body.data.state])).toEqual([
      ['approval.requested', 'pending'],
      ['approval.voted', 'approve'],
      ['approval.voted', 'deny'],
      ['approval.resolved', 'denied'],
    ]);
  });

  it('are not told where one suffices', async () => {
    await open();
    await store.insertApproval(approvalRow('apr_1', { approvalsNeeded: 1 }));
    await vote('ana', 'approve', 1);
    notifier!.poke();
    await untilEmpty();
    expect(said().map(([type]) => type)).toEqual(['approval.requested', 'approval.resolved']);
  });
});

describe('webhooks that are read again', () => {
  const use = (all: readonly Webhook[], terms: Partial<WebhookTerms> = {}) =>
    notifier!.use({ all, terms: { ...TERMS, ...terms } });

  it('are told from then on, and what one has not taken it is told at its new place', async () => {
    const gone = webhook({ url: 'http://127.0.0.1:1/' });
    await open([gone], { retryFromMs: 3_600_000, retryUpToMs: 3_600_000 });
    await ask('apr_1');
    await expect.poll(() => metrics.webhookMessages.cells[1], PATIENCE).toBe(1);
    const added = new Receiver();
    await added.start();
    await use([webhook(), webhook({ name: 'new', url: added.url })], { retryFromMs: 5 });
    await decide('apr_1', 'approved');
    await untilEmpty();
    const types = ({ received }: Receiver) => received.map(({ body }) => body.type);
    expect(types(receiver)).toEqual(['approval.requested', 'approval.resolved']);
    // The one that is new was not there before.
    expect(types(added)).toEqual(['approval.resolved']);
    expect(notifier!.webhooks.all.map(({ name }) => name)).toEqual(['oncall', 'new']);
    await added.stop();
  });

  it('are told at once after a start too, however long the waits were before', async () => {
    const gone = webhook({ url: 'http://127.0.0.1:1/' });
    await open([gone], { retryFromMs: 3_600_000, retryUpToMs: 3_600_000 });
    await ask('apr_1');
    await expect.poll(() => metrics.webhookMessages.cells[1], PATIENCE).toBe(1);
    await open();
    await untilEmpty();
    expect(said()).toEqual([['approval.requested', 'apr_1', 'pending']]);
  });

  it('wait for the receipt of what is under way to the old place', async () => {
    receiver.delayMs = 300;
    await open();
    await ask('apr_1');
    await expect.poll(() => receiver.received.length, PATIENCE).toBe(1);
    const other = new Receiver();
    await other.start();
    await use([webhook({ url: other.url })]);
    await decide('apr_1', 'denied');
    await untilEmpty();
    expect(said()).toEqual([['approval.requested', 'apr_1', 'pending']]);
    expect(other.received.map(({ body }) => body.type)).toEqual(['approval.resolved']);
    await other.stop();
  });

  it('go on as they were where they are as they were, or the store fails', async () => {
    let answer = () => {};
    receiver.wait = new Promise((resolve) => {
      answer = resolve;
    });
    await open([webhook()], { timeoutMs: 15_000 });
    await ask('apr_1');
    await expect.poll(() => receiver.received.length, PATIENCE).toBe(1);
    // Nothing here is answered before this is through, which a courier that ends would wait for.
    await use([webhook()], { timeoutMs: 15_000 });
    store.failing = true;
    await expect(use([])).rejects.toMatchObject({ code: 'STORE_FAILED' });
    store.failing = false;
    expect(notifier!.webhooks.all).toHaveLength(1);
    answer();
    await untilEmpty();
    expect(receiver.received).toHaveLength(1);
  });
});
