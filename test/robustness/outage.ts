import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Receiver } from '../notify/receiver.ts';
import { atLength, type Run } from '../support/at-length.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { Random } from '../support/random.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';

const OUTAGE = {
  script: 'test:outage',
  does: `The receiver of webhooks is down for a while, with the waits that gateways have by default, while statements are held and
decided all the time; in the middle the gateway is killed (SIGKILL) and started again on its store. Afterwards everything
has to have arrived, in order for each approval. It takes some minutes, most of them the waits.`,
  numbers: { down: [75, 'seconds for which the receiver is down'] },
} as const;

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

function messagesOf({ state, approvals_needed, votes }: Shown): number {
  return 1 + (approvals_needed > 1 ? votes.length : 0) + (state === 'pending' ? 0 : 1);
}

/** Those who ask all the time, and the gateway that runs for now. */
class Outage {
  readonly #run: Run;
  readonly #receiver: Receiver;
  readonly #key: Buffer;
  readonly #start: () => Promise<TestGateway>;
  /** The token of somebody else than all others. */
  readonly #other: string;
  readonly #began = performance.now();
  gateway: TestGateway;
  held = 0;
  cut = 0;
  #isAsking = true;
  #asking: Promise<void>[] = [];

  private constructor(
    run: Run,
    receiver: Receiver,
    key: Buffer,
    first: TestGateway,
    start: () => Promise<TestGateway>,
  ) {
    this.#run = run;
    this.#receiver = receiver;
    this.#key = key;
    this.#start = start;
    this.#other = first.addToken('other', { scopes: ['approval:write'] });
    this.gateway = first;
  }

  static async begin(run: Run, receiver: Receiver): Promise<Outage> {
    const postgres = await run.postgres();
    await postgres.sql('create table precious (id int primary key)');
    const options = { upstreamPort: postgres.port, policy: POLICY };
    const first = run.stopping(await startGateway(options));
    const key = randomBytes(32);
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
    const start = () => startGateway({ ...options, environment });
    const outage = run.stopping(new Outage(run, receiver, key, first, start));
    await first.terminate();
    await outage.next();
    outage.#asking = Array.from({ length: CLIENTS }, (_, n) =>
      outage.#keepAsking(n, new Random(run.seed + n)),
    );
    return outage;
  }

  async next(): Promise<void> {
    this.gateway = this.#run.stopping(await this.#start());
  }

  /** Nobody asks any more. */
  async stop(): Promise<void> {
    this.#isAsking = false;
    await Promise.all(this.#asking);
  }

  say(what: string): void {
    console.log(`${((performance.now() - this.#began) / 1000).toFixed(1)} s: ${what}`);
  }

  /** Asks, has it decided, and runs it; a gateway that is gone is found again. */
  async #keepAsking(n: number, random: Random): Promise<void> {
    for (let i = 0; this.#isAsking; i++) {
      try {
        const application_name = random.pick(['pair', 'alone']);
        const client = await RawClient.open(this.gateway.port, { application_name });
        const text = `delete from precious where id = ${n * 1_000_000 + i}`;
        const [error] = errorsOf(await client.query(text));
        const { approval_id: id } = JSON.parse(error?.['D'] ?? '{}') as { approval_id?: string };
        if (id === undefined) throw new Error(JSON.stringify(error));
        this.held++;
        const verb = random.pick(['approve', 'approve', 'deny', 'none'] as const);
        if (verb !== 'none') {
          const decide = (more: object) =>
            this.gateway.http(`/v1/approvals/${id}/${verb}`, { method: 'POST', body: {}, ...more });
          await decide({});
          if (verb === 'approve' && application_name === 'pair') await decide({ token: this.#other });
        }
        await client.query(text);
        await client.terminate();
      } catch {
        this.cut++;
        await sleep(100);
      }
    }
  }

  async approvals(): Promise<readonly Shown[]> {
    const all: Shown[] = [];
    let cursor = '';
    do {
      const { body } = await this.gateway.http(`/v1/approvals?limit=1000${cursor}`);
      const page = body as { items: Shown[]; next: string | null };
      all.push(...page.items);
      cursor = page.next === null ? '' : `&cursor=${page.next}`;
    } while (cursor !== '');
    return all;
  }

  problems(approvals: readonly Shown[], expected: number): string[] {
    const problems: string[] = [];
    const texts = new Map<string, string>();
    const told = new Map<string, string[]>();
    for (const { id, text, body, signedBy } of this.#receiver.received) {
      if (!signedBy(this.#key)) problems.push(`${id} is not signed`);
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
    return problems;
  }
}

await atLength(OUTAGE, async (run) => {
  const downMs = run.number('down') * 1000;
  const receiver = run.stopping(new Receiver());
  await receiver.start();
  const outage = await Outage.begin(run, receiver);
  await sleep(WELL_MS);
  await receiver.stop();
  outage.say('the receiver is down');
  await sleep(downMs / 2);
  await outage.gateway.killHard();
  await outage.next();
  outage.say('the gateway was killed, and runs again');
  await sleep(downMs / 2);
  const waiting = await outage.gateway.metric('holdfast_outbox_messages');
  const attempts = await outage.gateway.metric('holdfast_webhook_messages_total');
  await receiver.start();
  outage.say(`the receiver is back, ${waiting} messages wait; since the kill ${attempts} attempts were made`);
  await sleep(WELL_MS);
  await outage.stop();
  const approvals = await outage.approvals();
  const expected = approvals.reduce((sum, approval) => sum + messagesOf(approval), 0);
  const deadline = performance.now() + ARRIVES_MS;
  const arrived = () => new Set(receiver.received.map(({ id }) => id)).size;
  while (arrived() < expected && performance.now() < deadline) await sleep(500);
  outage.say(`${arrived()} of ${expected} messages of ${approvals.length} approvals have arrived`);
  await sleep(3_000);
  for (const problem of outage.problems(approvals, expected)) run.found(problem);
  const { held, cut } = outage;
  run.tell({ held, cut, messages: arrived(), again: receiver.received.length - arrived() });
});
