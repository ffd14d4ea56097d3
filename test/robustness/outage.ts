/**
 * `npm run test:outage -- [--down 75] [--seed N]`: the receiver of webhooks is down for so many seconds, with the waits
 * that gateways have by default, while statements are held and decided all the time; in the middle the gateway is killed
 * (SIGKILL) and started again on its store. Afterwards everything has to have arrived, in order for each approval. It
 * takes some minutes, most of them the waits.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Receiver } from '../notify/receiver.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { Random, seedOfRun } from '../support/random.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';

const { values } = parseArgs({
  options: { down: { type: 'string', default: '75' }, seed: { type: 'string' } },
});
const DOWN_MS = Number(values.down) * 1000;
const seed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const WELL_MS = 8_000;
const CLIENTS = 6;
/** The longest wait between two attempts, twice, and what it takes to tell the rest. */
const ARRIVES_MS = 12 * 60_000;

const POLICY = `
rules:
  - { name: two ask, match: { application: [pair], operation: [delete] }, action: hold, hold: { mode: ticket, approvals: 2 } }
  - { name: asks, match: { operation: [delete] }, action: hold, hold: { mode: ticket } }
`;

interface Shown {
  readonly id: string;
  readonly state: string;
  readonly approvals_needed: number;
  readonly votes: readonly unknown[];
}

const key = randomBytes(32);
const receiver = new Receiver();
await receiver.start();
const postgres = await startPostgres();
await postgres.sql('create table precious (id int primary key)');
let gateway = await startGateway({ upstreamPort: postgres.port, policy: POLICY });
const first = gateway;
const webhooks = join(first.directory, 'webhooks.yaml');
writeFileSync(
  webhooks,
  `webhooks:\n  - { name: oncall, url: "${receiver.url}", key: "whsec_${key.toString('base64')}" }\n`,
  { mode: 0o600 },
);
const environment = {
  HOLDFAST_STORE: `sqlite:${join(first.directory, 'h.db')}`,
  HOLDFAST_ADMIN_TOKENS: join(first.directory, 'tokens.yaml'),
  HOLDFAST_WEBHOOKS: webhooks,
};
const other = first.addToken('other', { scopes: ['approval:write'] });
await first.terminate();
const gateways: TestGateway[] = [first];
gateway = await next();

let loading = true;
let held = 0;
let cut = 0;
const load = Array.from({ length: CLIENTS }, (_, n) => keepAsking(n, new Random(seed + n)));
const began = performance.now();
try {
  await sleep(WELL_MS);
  await receiver.stop();
  say('the receiver is down');
  await sleep(DOWN_MS / 2);
  await gateway.killHard();
  gateway = await next();
  say('the gateway was killed, and runs again');
  await sleep(DOWN_MS / 2);
  const waiting = await gateway.metric('holdfast_outbox_messages');
  const attempts = await gateway.metric('holdfast_webhook_messages_total');
  await receiver.start();
  say(`the receiver is back, ${waiting} messages wait; since the kill ${attempts} attempts were made`);
  await sleep(WELL_MS);
  loading = false;
  await Promise.all(load);
  const approvals = await allApprovals();
  const expected = approvals.reduce((sum, approval) => sum + messagesOf(approval), 0);
  const deadline = performance.now() + ARRIVES_MS;
  const arrived = () => new Set(receiver.received.map(({ id }) => id)).size;
  while (arrived() < expected && performance.now() < deadline) await sleep(500);
  say(`${arrived()} of ${expected} messages of ${approvals.length} approvals have arrived`);
  await sleep(3_000);
  judge(approvals, expected);
} finally {
  loading = false;
  await Promise.allSettled(load);
  for (const one of gateways) await one.stop();
  await receiver.stop();
  await postgres.stop();
}

async function next(): Promise<TestGateway> {
  const started = await startGateway({ upstreamPort: postgres.port, policy: POLICY, environment });
  gateways.push(started);
  return started;
}

function say(what: string): void {
  console.log(`${((performance.now() - began) / 1000).toFixed(1)} s: ${what}`);
}

/** Asks, has it decided, and runs it; a gateway that is gone is found again. */
async function keepAsking(n: number, random: Random): Promise<void> {
  for (let i = 0; loading; i++) {
    try {
      const application_name = random.pick(['pair', 'alone']);
      const client = await RawClient.open(gateway.port, { application_name });
      const text = `delete from precious where id = ${n * 1_000_000 + i}`;
      const [error] = errorsOf(await client.query(text));
      const { approval_id: id } = JSON.parse(error?.['D'] ?? '{}') as { approval_id?: string };
      if (id === undefined) throw new Error(JSON.stringify(error));
      held++;
      const verb = random.pick(['approve', 'approve', 'deny', 'none'] as const);
      if (verb !== 'none') {
        const decide = (more: object) =>
          gateway.http(`/v1/approvals/${id}/${verb}`, { method: 'POST', body: {}, ...more });
        await decide({});
        if (verb === 'approve' && application_name === 'pair') await decide({ token: other });
      }
      await client.query(text);
      await client.terminate();
    } catch {
      cut++;
      await sleep(100);
    }
  }
}

async function allApprovals(): Promise<readonly Shown[]> {
  const all: Shown[] = [];
  let cursor = '';
  do {
    const { body } = await gateway.http(`/v1/approvals?limit=1000${cursor}`);
    const page = body as { items: Shown[]; next: string | null };
    all.push(...page.items);
    cursor = page.next === null ? '' : `&cursor=${page.next}`;
  } while (cursor !== '');
  return all;
}

function messagesOf({ state, approvals_needed, votes }: Shown): number {
  return 1 + (approvals_needed > 1 ? votes.length : 0) + (state === 'pending' ? 0 : 1);
}

function judge(approvals: readonly Shown[], expected: number): void {
  const problems: string[] = [];
  const texts = new Map<string, string>();
  const told = new Map<string, string[]>();
  for (const { id, text, body, signedBy } of receiver.received) {
    if (!signedBy(key)) problems.push(`${id} is not signed`);
    if ((texts.get(id) ?? text) !== text) problems.push(`${id} says two things`);
    const types = told.get(body.data.id) ?? [];
    if (!texts.has(id)) types.push(body.type);
    texts.set(id, text);
    told.set(body.data.id, types);
  }
  for (const approval of approvals) {
    const types = told.get(approval.id) ?? [];
    const votes = approval.approvals_needed > 1 ? approval.votes.map(() => 'approval.voted') : [];
    const resolved = approval.state === 'pending' ? [] : ['approval.resolved'];
    const wanted = ['approval.requested', ...votes, ...resolved];
    if (String(types) !== String(wanted)) problems.push(`${approval.id}: ${types} instead of ${wanted}`);
  }
  if (texts.size !== expected) problems.push(`${texts.size} messages instead of ${expected}`);
  const again = receiver.received.length - texts.size;
  console.log(
    `${held} statements held (${cut} cut off), seed ${seed}: ${texts.size} messages, ${again} of them again`,
  );
  console.log(problems.slice(0, 20).join('\n'));
  console.log(`${problems.length} problems`);
  if (problems.length > 0) process.exitCode = 1;
}
