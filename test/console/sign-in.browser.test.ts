import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { heldId } from '../decision/fixture.ts';
import * as fe from '../support/frontend-messages.ts';
import { scratchFolder } from '../support/postgres.ts';
import { ConsoleUnderTest } from './console-under-test.ts';
import { startIssuer } from './issuer.ts';

const BREAKER = 'token-of-somebody-with-a-hammer';
const READER = 'token-of-somebody-who-only-looks';

let under: ConsoleUnderTest;
let issuer: Awaited<ReturnType<typeof startIssuer>>;
let folder: string;

beforeAll(async () => {
  issuer = await startIssuer();
  folder = await scratchFolder('tokens');
  const sha256 = (secret: string) => createHash('sha256').update(secret).digest('hex');
  const tokens = `
tokens:
  - { name: tests, sha256: ${sha256('test-token-of-the-black-box-suites')}, scopes: ["*"] }
  - { name: reader, sha256: ${sha256(READER)}, scopes: ["approval:read"] }
  - { name: breaker, sha256: ${sha256(BREAKER)}, scopes: ["approval:read", "approval:break_glass"] }
oidc:
  issuer: ${issuer.url}
  audience: console
  role_claim: roles
  client_id: console
  roles:
    - { role: dba, scopes: ["approval:read", "approval:write"] }
`;
  writeFileSync(join(folder, 'tokens.yaml'), tokens, { mode: 0o600 });
  under = await ConsoleUnderTest.start({ HOLDFAST_ADMIN_TOKENS: join(folder, 'tokens.yaml') });
});
afterEach(async () => {
  await under.leave();
  expect(under.faults.splice(0)).toEqual([]);
});
afterAll(async () => {
  await under?.stop();
  await issuer?.stop();
  rmSync(folder, { recursive: true, force: true });
});

it('signs in with the issuer, and comes back to where it was', async () => {
  under.alsoAsked = issuer.url;
  const page = await under.page();
  await page.goto(`${under.url}/#/policy`);
  await page.getByRole('button', { name: `Sign in with ${new URL(issuer.url).host}` }).click();
  await page.getByText('oidc:anna', { exact: true }).waitFor();
  expect(page.url()).toBe(`${under.url}/#/policy`);
  await page.getByText('has no scope policy:read').waitFor();
  under.alsoAsked = null;
});

it('takes no answer of an issuer that this tab has not asked for', async () => {
  const page = await under.page();
  await page.goto(`${under.url}/?code=stolen&state=other`);
  await page.getByText('This answer of the issuer is not for this tab.').waitFor();
  expect(page.url()).toBe(`${under.url}/`);
});

it('offers nothing that the token cannot do', async () => {
  const client = await under.fixture.client();
  client.write(fe.query('delete from precious'));
  const id = await heldId(client);
  const page = await under.signedIn(`#/queue/${id}`, {}, READER);
  await page.getByText('Your token has no scope approval:write.').waitFor();
  expect(await page.getByRole('button', { name: 'Approve…' }).isDisabled()).toBe(true);
  expect(await page.getByRole('button', { name: 'Break the glass…' }).count()).toBe(0);
  await page.goto(`${under.url}/#/audit`);
  await page.getByText('has no scope audit:read').waitFor();
  client.destroy();
});

it('breaks the glass, with a reason', async () => {
  const client = await under.fixture.client({ application_name: 'two' });
  client.write(fe.query('delete from precious where id = 1'));
  const id = await heldId(client);
  const page = await under.signedIn(`#/queue/${id}`, {}, BREAKER);
  await page.getByRole('button', { name: 'Break the glass…' }).click();
  await page.getByRole('button', { name: 'Let it run' }).click();
  expect((await under.fixture.approval(id))['state']).toBe('pending');
  await page.getByLabel('Reason').fill('the shop is down');
  await page.getByRole('button', { name: 'Let it run' }).click();
  await page.getByText('Approved: it runs.').waitFor();
  expect((await client.untilReady()).map(({ type }) => type)).toContain('C');
  client.destroy();
});
