import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AdminUnderTest } from '../admin/admin-under-test.ts';
import { wanted } from '../approval/wanted.ts';
import { launchChromium } from './console-under-test.ts';

const HELD = 500;

let admin: AdminUnderTest;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  admin = await AdminUnderTest.start();
  for (let i = 1; i <= HELD; i++) await admin.approvals.request(wanted({ statement: statement(i) }));
  browser = await launchChromium();
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(`http://127.0.0.1:${admin.port}/`);
  await page.getByLabel('Token').fill(admin.token(['*'], 'ops'));
});
afterAll(async () => {
  await browser?.close();
  await admin?.stop();
});

/** Texts as long as those of an ORM. */
function statement(i: number): string {
  const columns = Array.from({ length: 40 }, (_, c) => `column_${c} = ${c}`).join(' and ');
  return `delete from orders_${i} where ${columns}`;
}

/** How long it takes, in milliseconds. */
async function took(act: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await act();
  return performance.now() - startMs;
}

it(`stays usable with ${HELD} statements held`, async () => {
  const rows = page.locator('[data-row]');
  const openMs = await took(async () => {
    await page.getByLabel('Token').press('Enter');
    await page.getByRole('button', { name: `Waiting (${HELD})` }).waitFor();
  });
  expect(await rows.count()).toBe(HELD);
  // Those of one millisecond stand in any order.
  const fiftieth = (await rows.nth(49).textContent())?.match(/orders_\d+ /)?.[0] ?? 'no row';
  const moveMs = await took(async () => {
    for (let i = 0; i < 50; i++) await page.keyboard.press('j');
    await page.getByRole('region', { name: 'Statement', exact: true }).getByText(fiftieth).waitFor();
  });
  const findMs = await took(async () => {
    await page.getByPlaceholder('Find by SQL').fill('orders_437');
    await page.locator('[data-row]', { hasText: 'orders_437' }).waitFor();
    while ((await rows.count()) !== 1) await page.waitForTimeout(5);
  });
  await page.getByPlaceholder('Find by SQL').fill('');
  await page.locator('[data-row]', { hasText: 'orders_499 ' }).waitFor({ state: 'attached' });
  const goneMs = await took(async () => {
    const { items } = (await admin.ask('GET', '/v1/approvals?limit=1', admin.token(['*']))).body;
    await admin.ask('POST', `/v1/approvals/${items[0].id}/deny`, admin.token(['*']), {});
    admin.events.publish({ event: 'approval', data: { change: 'resolved' } });
    await page.getByRole('button', { name: `Waiting (${HELD - 1})` }).waitFor();
  });
  console.log(
    `${HELD} held: shown in ${openMs.toFixed()} ms, 50 moves in ${moveMs.toFixed()} ms, found in ${findMs.toFixed()} ms, gone in ${goneMs.toFixed()} ms`,
  );
  // Far above what it takes on a machine that has nothing else to do.
  expect(openMs).toBeLessThan(10_000);
  expect(moveMs).toBeLessThan(30_000);
  expect(findMs).toBeLessThan(5000);
  expect(goneMs).toBeLessThan(10_000);
});
