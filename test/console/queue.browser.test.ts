import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { heldId } from '../decision/fixture.ts';
import * as fe from '../support/frontend-messages.ts';
import { programsOf } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { fieldsOf, RawClient } from '../support/raw-client.ts';
import { ConsoleUnderTest } from './console-under-test.ts';

let under: ConsoleUnderTest;
const clients: RawClient[] = [];

beforeAll(async () => {
  under = await ConsoleUnderTest.start();
});
beforeEach(() => under.fixture.reset());
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await under.leave();
  expect(under.faults.splice(0)).toEqual([]);
});
afterAll(() => under?.stop());

/** A client that waits for what is decided about its statement, and the approval's id. */
async function held(sql: string, application = 'tests') {
  const client = await under.fixture.client({ application_name: application });
  clients.push(client);
  client.write(fe.query(sql));
  return { client, id: await heldId(client) };
}

const rows = (page: Page) => page.locator('[data-row]');

/** What is decided is known to the gateway before the page has its answer, and until then keys are the dialog's. */
const dialogGone = (page: Page, name: string) =>
  page.getByRole('heading', { name }).waitFor({ state: 'detached' });

it('signs in by a token that is kept in the tab alone, and out again', async () => {
  const page = await under.page();
  await page.goto(under.url);
  await page.getByLabel('Token').fill('hf_wrong');
  await page.getByLabel('Token').press('Enter');
  await page.getByText('does not know this token').waitFor();
  await page.getByLabel('Token').fill(under.fixture.gateway.token);
  await page.getByLabel('Token').press('Enter');
  await page.getByText('Nothing waits.').waitFor();
  await page.reload();
  await page.getByText('Nothing waits.').waitFor();
  expect(await page.evaluate('JSON.stringify([localStorage, document.cookie])')).toBe('[{},""]');
  expect(await page.content()).not.toContain(under.fixture.gateway.token);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Token').waitFor();
  expect(await page.evaluate('sessionStorage.length')).toBe(0);
  await page.reload();
  await page.getByLabel('Token').waitFor();
});

it('a psql that is held sees the notice, is approved by a click, and goes on', async () => {
  const page = await under.signedIn();
  const { gateway } = under.fixture;
  const url = `postgres://postgres@127.0.0.1:${gateway.port}/postgres`;
  const psql = spawn(join(programsOf(15, 'debian'), 'psql'), [
    '-X',
    url,
    '-c',
    'delete from precious where id < 4',
  ]);
  let said = '';
  for (const stream of [psql.stdout, psql.stderr]) stream.on('data', (chunk) => (said += chunk));
  const ended = new Promise((resolve) => psql.once('exit', resolve));
  await page.getByText('delete from precious where id < 4').click();
  await page.getByRole('heading', { name: 'delete' }).waitFor();
  await eventually('psql', async () =>
    said.includes('statement held for approval') ? null : `said ${said}`,
  );
  await page.getByRole('button', { name: 'Approve…' }).click();
  await page.getByLabel('Comment').fill('checked with Ana');
  await page.getByRole('button', { name: 'Approve', exact: true }).click();
  await page.getByText('Approved: it runs.').waitFor();
  expect(await ended).toBe(0);
  expect(said).toContain('DELETE 3');
  expect(await under.fixture.preciousRows()).toBe(7);
  await page.getByText('“checked with Ana”').waitFor();
  await page.getByText('Nothing waits.').waitFor();
});

it('loses no key that comes as a dialog goes: closed, and not yet taken away', async () => {
  const page = await under.signedIn();
  await held('delete from precious where id = 1');
  await rows(page).first().waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('?');
  for (const [heading, key] of [
    ['Keys', 'a'],
    ['Approve this statement?', 'd'],
    ['Deny this statement?', '?'],
  ]) {
    await page.getByRole('heading', { name: heading!, exact: true }).waitFor();
    await page.evaluate(`
      document.querySelector('dialog').close();
      document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '${key}', bubbles: true }));
    `);
  }
  await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
});

it('is worked by keys alone: j and k move, a and d ask, Enter decides', async () => {
  const page = await under.signedIn();
  const first = await held('delete from precious where id = 1');
  const second = await held('delete from precious where id = 2');
  const third = await held('truncate other');
  await rows(page).nth(2).waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  await eventually('the address', async () => (page.url().includes(second.id) ? null : page.url()));
  await page.keyboard.press('a');
  await page.getByRole('heading', { name: 'Approve this statement?' }).waitFor();
  await page.keyboard.press('Escape');
  await dialogGone(page, 'Approve this statement?');
  expect((await under.fixture.approval(second.id))['state']).toBe('pending');
  await page.keyboard.press('a');
  await page.getByRole('heading', { name: 'Approve this statement?' }).waitFor();
  await page.keyboard.type('looks right, add jk');
  await page.keyboard.press('Enter');
  await under.fixture.untilApprovalIs(second.id, 'approved');
  expect(await under.fixture.approval(second.id)).toMatchObject({
    comment: 'looks right, add jk',
    resolved_by: 'tests',
  });
  expect((await second.client.untilReady()).map(({ type }) => type)).toContain('C');
  await dialogGone(page, 'Approve this statement?');
  await page.keyboard.press('j');
  await eventually('the address', async () => (page.url().includes(first.id) ? null : page.url()));
  await page.keyboard.press('d');
  await page.getByRole('heading', { name: 'Deny this statement?' }).waitFor();
  await page.keyboard.type('not on a Friday');
  await page.keyboard.press('Enter');
  await under.fixture.untilApprovalIs(first.id, 'denied');
  const error = (await first.client.untilReady()).find(({ type }) => type === 'E');
  expect(fieldsOf(error!)).toMatchObject({ C: '42501' });
  expect(JSON.stringify(fieldsOf(error!))).toContain('not on a Friday');
  await dialogGone(page, 'Deny this statement?');
  await page.keyboard.press('?');
  await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
  expect((await under.fixture.approval(third.id))['state']).toBe('pending');
});

it('follows what others decide, and what clients give up', async () => {
  const page = await under.signedIn();
  const { client, id } = await held('delete from precious');
  const other = await held('truncate other');
  await rows(page).nth(1).waitFor();
  expect(await page.title()).toBe('(2) Queue · Holdfast');
  await page.locator(`[data-row="${id}"]`).click();
  await page.getByRole('button', { name: 'Deny…' }).click();
  await under.fixture.resolve(id, 'approve');
  await page.getByText('It no longer waits.').waitFor();
  await page.getByRole('button', { name: 'Deny', exact: true }).click();
  await page.getByText('is approved already').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  expect((await client.untilReady()).map(({ type }) => type)).toContain('C');
  other.client.destroy();
  await page.getByText('Nothing waits.').waitFor();
  await page.getByRole('button', { name: 'Earlier' }).click();
  await page.locator('.row', { hasText: 'truncate other' }).getByText('disconnected').first().waitFor();
});

it('counts the approvals that a rule needs', async () => {
  const page = await under.signedIn();
  const { id } = await held('delete from precious', 'two');
  await rows(page).first().click();
  await page.getByText('0 of 2 approvals').waitFor();
  await page.keyboard.press('a');
  await page.getByRole('heading', { name: 'Approve this statement?' }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByText('Your approval counts: 1 of 2.').waitFor();
  await page.getByText('1 of 2 approvals, by tests').waitFor();
  expect((await under.fixture.approval(id))['state']).toBe('pending');
});

it('says before the last click what it would do, and afterwards what it has done', async () => {
  const page = await under.signedIn();
  const { client } = await held('delete from precious where id < 4');
  await rows(page).first().click();
  await page.getByText('postgres in postgres, tests, from 127.0.0.1').waitFor();
  await page.keyboard.press('a');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('3 rows', { exact: true }).waitFor();
  await dialog.getByText('yes: a snapshot of the rows is taken before it runs').waitFor();
  await dialog.getByText('Then it runs at once, for its client waits.').waitFor();
  await page.keyboard.press('Enter');
  await client.untilReady();
  await page.getByText('It is done: 3 rows').waitFor();
  await page.getByRole('link', { name: 'Its snapshot, and its undo' }).click();
  await page.getByText('3 rows as they were before a statement of postgres in postgres').waitFor();
});

it('counts again what waits, and approves nothing that was counted before that', async () => {
  const page = await under.signedIn();
  const { client, id } = await held('delete from precious');
  await rows(page).first().click();
  const again = page.getByRole('button', { name: 'Count again' });
  await again.waitFor();
  await page.locator('.preview').getByText('10 rows', { exact: true }).waitFor();
  await under.fixture.postgres.sql('delete from precious where id > 4');
  await again.click();
  await page.getByText('It was counted again.').waitFor();
  const { body } = await under.fixture.gateway.http(`/v1/approvals/${id}/preview`);
  expect(body).toMatchObject({ preview: { rows: { kind: 'exact', rows: 4 } } });
  await page.locator('.preview').getByText('4 rows', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Approve…' }).click();
  await page.getByRole('button', { name: 'Approve', exact: true }).click();
  await under.fixture.untilApprovalIs(id, 'approved');
  expect((await client.untilReady()).map(({ type }) => type)).toContain('C');
});

it('says what a long statement has done once it has, however long that takes', async () => {
  const page = await under.page();
  await page.clock.install();
  await page.goto(under.url);
  await page.getByLabel('Token').fill(under.fixture.gateway.token);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  const { client, id } = await held('delete from precious where id < 4');
  await rows(page).first().click();
  await page.getByText('postgres in postgres, tests, from 127.0.0.1').waitFor();
  const other = await RawClient.open(under.fixture.postgres.port);
  clients.push(other);
  await other.query('begin');
  await other.query('lock table precious in share mode');
  await under.fixture.resolve(id, 'approve');
  const running = page.getByText('It is running');
  await running.waitFor();
  const look = async (ms: number) => {
    const looked = page.waitForResponse((response) => response.url().includes('/v1/audit?'));
    await page.clock.runFor(ms);
    await looked;
  };
  for (let looks = 0; looks < 25; looks++) await look(6_000);
  await running.waitFor();
  await other.query('commit');
  await client.untilReady();
  await under.fixture.auditEvents((event) => event['approval_id'] === id, 1);
  await look(30_000);
  await page.getByText('It is done: 3 rows').waitFor();
});

it('says how much of a long statement is shown, and shows all of it', async () => {
  const page = await under.signedIn();
  const list = Array.from({ length: 20_000 }, (_, i) => i + 100).join(', ');
  await held(`delete from precious where id in (${list}) or note = 'the very end'`);
  await rows(page).first().click();
  await page.getByText('Only the first 16 KiB of 126 KiB of the statement are shown').waitFor();
  await page.keyboard.press('a');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Only the first 16 KiB').waitFor();
  expect(await dialog.getByRole('region', { name: 'Statement', exact: true }).textContent()).not.toContain(
    'the very end',
  );
  await dialog.getByRole('region', { name: 'The end of the statement' }).getByText('the very end').waitFor();
  await dialog.getByRole('button', { name: 'Show all of it' }).click();
  await dialog.getByText('All of it: 126 KiB').waitFor();
  expect(await dialog.getByRole('region', { name: 'Statement', exact: true }).textContent()).toContain(
    `or note = 'the very end'`,
  );
});

it('tells whoever has asked for it that somebody else has to approve', async () => {
  const made = await under.fixture.gateway.http('/v1/tokens', {
    method: 'POST',
    body: { name: 'own', scopes: ['approval:read', 'approval:write'], roles: ['postgres'] },
  });
  const page = await under.signedIn('', {}, (made.body as { token: string }).token);
  await held('delete from precious');
  await rows(page).first().click();
  await page.getByText('postgres has asked for it, which is a role of yours').waitFor();
  expect(await page.getByRole('button', { name: 'Approve…' }).isDisabled()).toBe(true);
  await page.keyboard.press('a');
  await page.locator('.announcement', { hasText: 'somebody else has to approve it' }).waitFor();
  expect(await page.getByRole('dialog').count()).toBe(0);
  expect(await page.getByRole('button', { name: 'Deny…' }).isEnabled()).toBe(true);
});

it('shows what a statement hides, and takes none of it for a page', async () => {
  const page = await under.signedIn();
  await held(`delete from precious where note = '<img src=x onerror=alert(1)>\u202e'`, '<b>bold</b>');
  await rows(page).first().click();
  const statement = page.getByRole('region', { name: 'Statement', exact: true });
  expect(await statement.textContent()).toBe(
    `delete from precious where note = '<img src=x onerror=alert(1)>U+202E'`,
  );
  await page.locator('dd', { hasText: '<b>bold</b>' }).waitFor();
  expect(await page.locator('img, b').count()).toBe(0);
});

it('says when the gateway is gone, and goes on when it is back', async () => {
  const page = await under.signedIn();
  await page.context().setOffline(true);
  await page.getByText('The gateway has not answered since').waitFor({ timeout: 40_000 });
  await page.context().setOffline(false);
  await page.getByText('The gateway has not answered since').waitFor({ state: 'detached', timeout: 20_000 });
  await held('delete from precious');
  await rows(page).first().waitFor();
});
