import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DecisionFixture, heldId } from '../decision/fixture.ts';
import { Receiver } from '../notify/receiver.ts';
import * as fe from '../support/frontend-messages.ts';
import { freePort } from '../support/ports.ts';
import { scratchFolder } from '../support/postgres.ts';
import { BODIES, filledIn, type Operation, operationsOf } from './operations.ts';

const PATIENCE = { timeout: 15_000 };

const KEY = randomBytes(32);
const HIDDEN = {
  undoPassword: 'canary-of-the-undo-connection',
  rolePassword: 'canary-of-a-role',
  columnSecret: 'canary-of-a-column',
  jsonSecret: 'canary-of-json',
  webhookKey: KEY.toString('base64'),
  webhookUrl: 'T0SECRETPATH',
  wrongToken: 'hf_canary-of-a-token-that-is-not-known',
};

const receiver = new Receiver();
let fixture: DecisionFixture;

beforeAll(async () => {
  await receiver.start();
  const folder = await scratchFolder('webhooks');
  const file = join(folder, 'webhooks.yaml');
  const hook = (name: string, url: string) =>
    `  - { name: ${name}, url: "${url}", key: "whsec_${HIDDEN.webhookKey}", statements: true }\n`;
  const gone = receiver.url.replace(/:\d+/, `:${await freePort()}`);
  writeFileSync(file, `webhooks:\n${hook('here', receiver.url)}${hook('gone', gone)}retry_from: 50ms\n`);
  fixture = await DecisionFixture.start('mode: protect\n', (postgres) => ({
    HOLDFAST_WEBHOOKS: file,
    HOLDFAST_ADMIN_PUBLIC_URL: 'https://holdfast.example/',
    HOLDFAST_UNDO_CONNECTION: `postgres://nobody:${HIDDEN.undoPassword}@127.0.0.1:${postgres.port}/postgres`,
    HOLDFAST_LOG_LEVEL: 'trace',
  }));
});
afterAll(async () => {
  await fixture?.stop();
  await receiver.stop();
});

it('a held statement is told to a webhook, with a link to the console', async () => {
  const client = await fixture.client();
  client.write(fe.query('delete from precious'));
  const id = await heldId(client);
  await expect.poll(() => receiver.received.length, PATIENCE).toBe(1);
  await fixture.resolve(id, 'deny');
  await client.untilReady();
  await expect.poll(() => receiver.received.length, PATIENCE).toBe(2);
  expect(receiver.received.map(({ body }) => [body.type, body.data.id, body.data.state])).toEqual([
    ['approval.requested', id, 'pending'],
    ['approval.resolved', id, 'denied'],
  ]);
  expect(receiver.received[0]!.body.url).toBe(`https://holdfast.example/#/approvals/${id}`);
  expect(receiver.received.every((one) => one.signedBy(KEY))).toBe(true);
  client.destroy();
});

it('no secret is in any answer, in the log, in a message or in the store', async () => {
  const { gateway } = fixture;
  const answers: string[] = [];
  const ask = async (path: string, init: Parameters<typeof gateway.http>[1] = {}) => {
    const answer = await gateway.http(path, init);
    answers.push(answer.text);
    return answer;
  };
  const client = await fixture.client();
  await client.query(`create role canary_role password '${HIDDEN.rolePassword}'`);
  await client.query('create table canary (api_key text, note jsonb)');
  await client.query(
    `insert into canary (api_key, note) values ('${HIDDEN.columnSecret}', '{"password": "${HIDDEN.jsonSecret}"}')`,
  );
  await client.query(`alter role canary_role with password '${HIDDEN.rolePassword}'; this is no SQL`);
  // So that the server can read what nobody else can, and it is held.
  await client.query('set standard_conforming_strings = off');
  for (const rest of ["; select 'a\\''", '; drop table other']) {
    client.write(fe.query(`alter role canary_role with password '${HIDDEN.rolePassword}'${rest}`));
    const held = await heldId(client);
    answers.push(JSON.stringify(await fixture.approval(held)));
    await fixture.resolve(held, 'deny');
    await client.untilReady();
  }
  client.write(fe.query('drop table other'));
  const id = await heldId(client);
  const { body: made } = await ask('/v1/tokens', { method: 'POST', body: { name: 'bot', scopes: ['*'] } });
  const { token } = made as { token: string };
  expect(answers.pop()).toContain(token);

  // The page and what it loads, where it has been built.
  const { text: page } = await ask('/', { token: null });
  for (const [, path] of page.matchAll(/(?:src|href)="(\/[^"]+)"/g)) await ask(path!, { token: null });
  await ask('/v1/whoami', { token: HIDDEN.wrongToken });
  await ask(`/v1/whoami?token=${token}`, { token });
  await ask(`/v1/approvals/${token}`, { token });
  await ask('/v1/policy/reload', { method: 'POST', body: {}, token });
  const stream = await fetch(`${gateway.adminUrl}/v1/events`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const events = stream.text().catch(() => '');
  const { body: openapi } = await ask('/openapi.json', { token });
  const operations = operationsOf(openapi).filter(({ path }) => path !== '/v1/events');
  // What ends the hold comes last, and is asked for nevertheless.
  const decides = (one: Operation) => /\/(deny|approve|break-glass)$/.test(one.path);
  for (const operation of [...operations.filter((one) => !decides(one)), ...operations.filter(decides)]) {
    const { name, method, path } = operation;
    const place = path.startsWith('/v1/approvals') ? path.replace('{id}', id) : filledIn(path);
    const secretSql = { sql: `alter role x password '${HIDDEN.rolePassword}'` };
    const bodies =
      method === 'POST' ? [secretSql, ...(path === '/v1/tokens' ? [] : [BODIES[name] ?? {}])] : [null];
    for (const body of bodies) await ask(place, { method, token, ...(body === null ? {} : { body }) });
    if (path === '/v1/pause') await ask('/v1/resume', { method: 'POST', token, body: {} });
  }
  await client.untilReady();
  client.destroy();
  // Its stream ends with it.
  await gateway.http('/v1/tokens/bot', { method: 'DELETE' });
  const again = await fixture.client();
  again.write(fe.query('drop table other'));
  await fixture.resolve(await heldId(again), 'deny');
  again.destroy();
  const told = await events;
  expect(told).toContain(id);
  answers.push(told);

  const store = readFileSync(join(gateway.directory, 'h.db')).toString('latin1');
  const log = readFileSync(join(gateway.directory, 'h.db-wal')).toString('latin1');
  const seen = [...answers, gateway.log(), ...receiver.received.map(({ text }) => text), store, log].join(
    '\n',
  );
  expect(answers.length).toBeGreaterThan(60);
  expect(gateway.log()).toContain('ECONNREFUSED');
  for (const [what, secret] of Object.entries({ ...HIDDEN, token, first: gateway.token })) {
    expect(seen.includes(secret), what).toBe(false);
  }
});
