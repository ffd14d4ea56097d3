import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { heldId } from '../decision/fixture.ts';
import * as fe from '../support/frontend-messages.ts';
import { ConsoleUnderTest } from './console-under-test.ts';

let under: ConsoleUnderTest;

beforeAll(async () => {
  under = await ConsoleUnderTest.start();
});
beforeEach(() => under.fixture.reset());
afterEach(async () => {
  await under.leave();
  expect(under.faults.splice(0)).toEqual([]);
});
afterAll(() => under?.stop());

/** Runs it in a session whose updates and deletes are snapshotted, and gives the id of the snapshot. */
async function snapshotOf(sql: string): Promise<string> {
  const client = await under.fixture.client({ application_name: 'kept' });
  await client.query(sql);
  await client.terminate();
  const { body } = await under.fixture.gateway.http('/v1/snapshots?limit=1');
  return (body as { items: { id: string }[] }).items[0]!.id;
}

const rows = async (sql: string) => (await under.fixture.postgres.sql(sql)).map((row) => row.join('|'));

it('undoes in three steps: a preview, a trial, and in earnest', async () => {
  const id = await snapshotOf('delete from precious where id < 4');
  const page = await under.signedIn('#/snapshots');
  await page.locator(`a[href="#/snapshots/${id}"]`).click();
  await page.getByRole('button', { name: 'Show rows of public.precious' }).click();
  await page.getByRole('cell', { name: 'row 2', exact: true }).waitFor();
  await page.getByText('1 to 3 of 3 rows').waitFor();
  const undo = page.getByRole('button', { name: '3. Undo…' });
  expect(await undo.isDisabled()).toBe(true);
  await page.getByRole('button', { name: '1. Preview' }).click();
  const counts = page.getByRole('region', { name: 'Rows of each table' }).getByRole('cell');
  await counts.first().waitFor();
  expect(await counts.allTextContents()).toEqual(['public.precious', '3', '0', '0', '0', '0']);
  expect(await undo.isDisabled()).toBe(true);
  await page.getByRole('button', { name: '2. Try it, and take it back' }).click();
  await page.getByText('Tried: all of it went well, and was taken back').waitFor();
  expect(await under.fixture.preciousRows()).toBe(7);
  await undo.click();
  await page.getByText('Rows that are gone and come back: 3').waitFor();
  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  await page.getByText('The snapshot of this undo').waitFor();
  expect(await under.fixture.preciousRows()).toBe(10);
  await page.getByText('By token tests').waitFor();
  await page.getByText('The snapshot of this undo').click();
  await page.getByRole('heading', { name: 'Snapshot: undo' }).waitFor();
  await page.getByRole('link', { name: 'another snapshot' }).click();
  await page.getByText('By token tests').waitFor();
  await page.getByRole('button', { name: '1. Preview' }).click();
  await page.getByText('it was undone already').waitFor();
});

it('says what triggers have put elsewhere, which an undo leaves there', async () => {
  await under.fixture.postgres.sql(`create table noted (what text);
    create function note() returns trigger language plpgsql as $$ begin insert into noted values (tg_op); return null; end $$;
    create trigger note after delete on precious for each row execute function note()`);
  try {
    const page = await under.signedIn(`#/snapshots/${await snapshotOf('delete from precious where id < 4')}`);
    await page.getByText('Triggers or functions also added rows, which an undo leaves there').waitFor();
    expect(await page.getByRole('listitem').filter({ hasText: 'noted' }).textContent()).toBe(
      '3 rows in public.noted',
    );
  } finally {
    await under.fixture.postgres.sql('drop trigger note on precious; drop function note; drop table noted');
  }
});

it('shows the rows that have changed since, and leaves or overwrites them as it is told', async () => {
  const id = await snapshotOf(`update precious set note = 'wrong' where id > 8`);
  await under.fixture.postgres.sql(`update precious set note = '' where id = 9`);
  const page = await under.signedIn(`#/snapshots/${id}`);
  await page.getByRole('button', { name: '1. Preview' }).click();
  const conflict = page.getByRole('region', { name: 'public.precious: it has changed since' });
  await conflict.waitFor();
  expect(await conflict.getByRole('cell').allTextContents()).toEqual([
    '9',
    'row 9',
    '9',
    'wrong',
    '9',
    'empty',
  ]);
  await page.getByText('Rows have changed since the statement, so that nothing would be done').waitFor();
  expect(await page.getByRole('button', { name: '2. Try it, and take it back' }).isDisabled()).toBe(true);
  await page.getByLabel('Rows that have changed since').selectOption('skip');
  await page.getByRole('button', { name: '1. Preview' }).click();
  await conflict.waitFor();
  await page.getByRole('button', { name: '2. Try it, and take it back' }).click();
  await page.getByText('Tried: all of it went well').waitFor();
  await page.getByRole('button', { name: '3. Undo…' }).click();
  await page.getByText('Rows that have changed since, and are left as they are: 1').waitFor();
  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  await page.getByText('The snapshot of this undo').waitFor();
  expect(await rows('select id, note from precious where id > 8 order by id')).toEqual(['9|', '10|row 10']);
});

it('does nothing where the rows are no longer those that were tried', async () => {
  const id = await snapshotOf('delete from precious where id < 4');
  const page = await under.signedIn(`#/snapshots/${id}`);
  await page.getByRole('button', { name: '1. Preview' }).click();
  await page.getByRole('button', { name: '2. Try it, and take it back' }).click();
  await page.getByText('Tried: all of it went well').waitFor();
  await under.fixture.postgres.sql(`insert into precious values (1, 'row 1')`);
  await page.getByRole('button', { name: '3. Undo…' }).click();
  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  await page.getByRole('alert').waitFor();
  expect(await under.fixture.preciousRows()).toBe(8);
});

it('says what to choose where the tables’ own triggers stand in the way of an undo', async () => {
  await under.fixture.postgres.sql(
    `create table parent (id int primary key, children int default 0);
     create table child (id int primary key, parent_id int references parent on delete cascade);
     create function count_children() returns trigger language plpgsql as
       $$ begin update parent set children = children + 1 where id = coalesce(new.parent_id, old.parent_id); return null; end $$;
     insert into parent select i from generate_series(1, 3) i;
     insert into child select i, i from generate_series(1, 3) i;
     create trigger counted after insert or delete on child for each row execute function count_children();`,
  );
  const id = await snapshotOf('delete from parent where id < 3');
  const page = await under.signedIn(`#/snapshots/${id}`);
  for (const triggers of ['fire', 'skip'] as const) {
    await page.getByLabel('Triggers of the tables').selectOption(triggers);
    await page.getByRole('button', { name: '1. Preview' }).click();
    await page.getByRole('button', { name: '2. Try it, and take it back' }).click();
    const sign =
      triggers === 'fire' ? 'Choose above that triggers do not fire' : 'Tried: all of it went well';
    await page.getByText(sign).waitFor();
  }
  await under.fixture.postgres.sql('drop table child, parent; drop function count_children');
});

it('shows values as the database writes them, with all their digits', async () => {
  await under.fixture.postgres.sql(
    `create table odd (id bigint primary key, many numeric, nothing text, empty text, moment timestamptz);
     insert into odd values (9007199254740993, 0.10000000000000000000000001, null, '', '2026-01-02 03:04:05.000006+00')`,
  );
  const id = await snapshotOf('delete from odd where id > 0');
  await under.fixture.postgres.sql('drop table odd');
  await under.fixture.postgres.sql(
    'create table odd (id bigint primary key, many numeric, nothing text, empty text, moment timestamptz)',
  );
  const page = await under.signedIn(`#/snapshots/${id}`);
  await page.getByRole('button', { name: 'Show rows of public.odd' }).click();
  const values = page.getByRole('region', { name: 'Rows of public.odd' }).getByRole('cell');
  await values.first().waitFor();
  expect(await values.allTextContents()).toEqual([
    '9007199254740993',
    '0.10000000000000000000000001',
    'NULL',
    'empty',
    expect.stringContaining('05.000006'),
  ]);
  await under.fixture.postgres.sql('drop table odd');
});

it('removes a snapshot for good, once somebody has written that', async () => {
  const id = await snapshotOf('delete from precious where id < 4');
  const page = await under.signedIn(`#/snapshots/${id}`);
  await page.getByRole('button', { name: 'Verify its files' }).click();
  await page.getByText('It is as it was written').waitFor();
  await page.getByRole('button', { name: 'Remove it…' }).click();
  await page.getByText('3 rows as they were before it are lost').waitFor();
  const remove = page.getByRole('button', { name: 'Remove for good' });
  expect(await remove.isDisabled()).toBe(true);
  await page.getByLabel('Type “remove”').fill('remove');
  await remove.click();
  await page.getByText('The snapshot is removed.').waitFor();
  expect(await page.locator(`a[href="#/snapshots/${id}"]`).count()).toBe(0);
  expect((await under.fixture.gateway.http(`/v1/snapshots/${id}`)).status).toBe(404);
});

it('makes a token that is shown once, and revokes it', async () => {
  const page = await under.signedIn('#/tokens');
  await page.getByRole('button', { name: 'Make a token…' }).click();
  await page.getByText('Its approvals count as yours').waitFor();
  await page.getByLabel('Name').fill('carla');
  await page.getByRole('button', { name: 'Approver' }).click();
  await page.getByLabel('Database roles of its own').fill('app, etl_*');
  await page.getByRole('button', { name: 'Make it' }).click();
  const secret = await page.getByLabel('Token', { exact: true }).inputValue();
  expect(secret).toMatch(/^hf_/);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'I have kept it' }).click();
  await page.getByRole('row', { name: /carla tests .*approval:write.*app, etl_\*/ }).waitFor();
  expect(await page.content()).not.toContain(secret);

  const theirs = await under.signedIn('', {}, secret);
  await theirs.getByText('Nothing waits.').waitFor();
  expect(await theirs.getByRole('link', { name: 'Tokens' }).count()).toBe(0);
  await theirs.goto(`${under.url}/#/overview`);
  await theirs.getByText('Your token does not allow to see the quarantines.').waitFor();
  expect(await theirs.getByRole('alert').count()).toBe(0);

  await page.getByRole('button', { name: 'Revoke carla' }).click();
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.getByText('The token carla is revoked.').waitFor();
  await theirs.getByText('The gateway no longer takes this token.').waitFor();
});

it('asks no more for what waits where the token may not see it', async () => {
  const made = await under.fixture.gateway.http('/v1/tokens', {
    method: 'POST',
    body: { name: 'watcher', scopes: ['metadata:read'] },
  });
  const { token } = made.body as { token: string };
  let asked = 0;
  const page = await under.page();
  page.on('request', (request) => {
    if (request.url().includes('/v1/approvals')) asked += 1;
  });
  await page.goto(under.url);
  await page.getByLabel('Token').fill(token);
  await page.getByLabel('Token').press('Enter');
  await page.getByText('has no scope approval:read').waitFor();
  const before = asked;
  await page.goto(`${under.url}/#/audit`);
  await page.getByText('has no scope audit:read').waitFor();
  // Longer than the time between two looks; a clock of its own would not be that of the page's requests.
  await page.waitForTimeout(2500);
  expect(asked).toBe(before);
  expect(await page.getByText('Looking every').count()).toBe(0);
});

it('shows an answer that comes before the page that asked is on the screen', async () => {
  const made = await under.fixture.gateway.http('/v1/tokens', {
    method: 'POST',
    body: { name: 'early', scopes: ['metadata:read'] },
  });
  const { token } = made.body as { token: string };
  const page = await under.page();
  // The browser draws late, and the gateway answers at once.
  await page.addInitScript('requestAnimationFrame = (draw) => setTimeout(draw, 1000)');
  await page.goto(under.url);
  await page.getByLabel('Token').fill(token);
  await page.getByLabel('Token').press('Enter');
  await page.getByText('has no scope approval:read').waitFor();
});

it('finds in the audit what was decided in the queue', async () => {
  const page = await under.signedIn();
  const client = await under.fixture.client({ application_name: 'held' });
  client.write(fe.query('delete from precious where id = 5'));
  const id = await heldId(client);
  await page.getByText('delete from precious where id = 5').click();
  await page.keyboard.press('d');
  await page.getByLabel('Comment').fill('not now');
  await page.keyboard.press('Enter');
  await page.getByText('“not now”').waitFor();
  await client.untilReady();
  await page.getByRole('link', { name: 'All of it in the audit' }).click();
  const event = page.locator('.event', { hasText: 'delete from precious where id = 5' });
  await event.getByText('42501').waitFor();
  await event.locator('summary').click();
  await event.getByRole('link', { name: id }).waitFor();
  await client.query('select 1 / 0');
  await page.getByRole('link', { name: 'Everything' }).click();
  // The form is another one by then, into which nothing is taken along.
  await expect.poll(() => page.getByLabel('Approval').inputValue()).toBe('');
  await page.getByLabel('Text of the statement').fill('1 / 0');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.locator('.event', { hasText: '22012' }).waitFor();
  await expect.poll(() => page.locator('.event').count()).toBe(1);
  await page.getByLabel('Text of the statement').fill('never said');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByText('No event matches.').waitFor();
  client.destroy();
});

it('shows what a held statement would do, before anybody decides', async () => {
  await under.fixture.postgres.sql(
    `create table parent (id int primary key, name text);
     create table child (id int primary key, parent_id int references parent on delete cascade);
     insert into parent select i, 'name ' || i from generate_series(1, 20) i;
     insert into child select i, i % 20 + 1 from generate_series(1, 60) i;`,
  );
  const client = await under.fixture.client({ application_name: 'held' });
  client.write(fe.query('delete from parent where id > 15'));
  const id = await heldId(client);
  const page = await under.signedIn(`#/queue/${id}`);
  await page.getByText('5 rows', { exact: true }).waitFor();
  await page.getByText('public.child loses 15 rows').waitFor();
  await page
    .getByRole('region', { name: /^Rows of .*parent$/ })
    .getByText('name 16')
    .waitFor();
  await page.getByText('RowExclusiveLock').waitFor();
  client.destroy();
  await under.fixture.postgres.sql('drop table child, parent');
});

it('shows the policy, and explains a statement by it', async () => {
  const page = await under.signedIn('#/policy');
  await page.getByText('first a person', { exact: true }).waitFor();
  await page.getByRole('textbox', { name: 'Statement' }).fill('delete from orders');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page
    .locator('.verdict', { hasText: 'hold critical by first a person: A person looks first.' })
    .waitFor();
  await page.getByText('delete without WHERE').waitFor();
  await page.getByLabel('Client address').fill('nowhere');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByText('The request is not valid').waitFor();
  await page.getByRole('button', { name: 'Read the file again' }).click();
  await page.getByText('Read again; nothing has changed.').waitFor();
});

it('pauses and resumes, puts in quarantine and lifts it, and draws what happens meanwhile', async () => {
  const page = await under.signedIn('#/overview');
  await page.getByText('The gateway serves its clients').waitFor();
  await page.getByRole('button', { name: 'Pause everything…' }).click();
  await page.getByLabel('Reason').fill('a fire drill');
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByText('The gateway is paused by tests: “a fire drill”').waitFor();
  const client = await under.fixture.client();
  expect((await client.query('delete from precious where id = 1')).map(({ type }) => type)).toContain('E');
  await page.getByRole('button', { name: 'Resume…' }).click();
  await page.getByRole('button', { name: 'Resume', exact: true }).click();
  await page.getByText('Nothing is paused.').waitFor();
  await page.getByText('The gateway is paused by tests').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Put a role in quarantine…' }).click();
  await page.getByLabel('Role', { exact: true }).fill('agent_9');
  await page.getByLabel('Minutes').fill('5');
  await page.getByLabel('Reason').fill('tried too often');
  await page.getByRole('button', { name: 'Put in quarantine' }).click();
  await page.getByText('In quarantine: agent_9').waitFor();
  await page.getByRole('button', { name: 'Lift…' }).click();
  await page.getByRole('button', { name: 'Lift', exact: true }).click();
  await page.getByText('Nobody is in quarantine.').waitFor();
  await page.getByRole('img', { name: /^Statements a second, by risk: safe / }).waitFor({ timeout: 15_000 });
  await client.terminate();
});

describe('what assistive technology needs', () => {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

  /** What axe-core finds wrong, a line each. */
  async function wrongs(page: Page): Promise<string[]> {
    await page.evaluate(axe);
    const found = await page.evaluate(
      `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })
         .then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html)))`,
    );
    return found as string[];
  }

  it.each([
    ['light', 1280],
    ['dark', 375],
  ] as const)('is there in the %s, %i pixels wide', async (colorScheme, width) => {
    const id = await snapshotOf('delete from precious where id < 4');
    const client = await under.fixture.client({ application_name: 'held' });
    client.write(fe.query(`delete from precious where note = 'x' and id = 5 -- why`));
    const held = await heldId(client);
    const options = { colorScheme, viewport: { width, height: 800 } };
    const fresh = await under.page(options);
    await fresh.goto(under.url);
    await fresh.getByLabel('Token').waitFor();
    expect(await wrongs(fresh)).toEqual([]);
    const page = await under.signedIn('', options);
    const views: readonly (readonly [string, string])[] = [
      ['#/queue', '.row'],
      [`#/queue/${held}`, '.decide'],
      ['#/audit', '.event'],
      ['#/snapshots', '.row'],
      [`#/snapshots/${id}`, '.undo'],
      ['#/policy', '.rule-names'],
      ['#/overview', '.facts'],
      ['#/tokens', 'table'],
    ];
    for (const [at, sign] of views) {
      await page.goto(`${under.url}/${at}`);
      await page.locator(sign).first().waitFor();
      expect([at, await wrongs(page)]).toEqual([at, []]);
      expect([at, await page.evaluate('document.documentElement.scrollWidth <= innerWidth')]).toEqual([
        at,
        true,
      ]);
    }
    await page.goto(`${under.url}/#/queue/${held}`);
    await page.getByRole('button', { name: 'Deny…' }).click();
    await page.getByRole('dialog').waitFor();
    expect(await wrongs(page)).toEqual([]);
    await page.goto(`${under.url}/#/tokens`);
    await page.getByRole('button', { name: 'Make a token…' }).click();
    await page.getByRole('dialog').waitFor();
    expect(await wrongs(page)).toEqual([]);
    client.destroy();
  });
});
