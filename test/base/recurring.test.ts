import { expect, it } from 'vitest';
import { Recurring } from '../../src/base/recurring.ts';

it('works at the start and from time to time, never twice at once, and not once it is closed', async () => {
  let begun = 0;
  let finish = () => {};
  const recurring = new Recurring(async () => {
    begun++;
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
  }, 5);
  expect(begun).toBe(0);
  await expect.poll(() => begun).toBe(1);
  const first = recurring.now();
  expect(recurring.now()).toBe(first);
  expect(begun).toBe(1);
  finish();
  await first;
  await expect.poll(() => begun).toBe(2);
  let closed = false;
  const closing = recurring.close().then(() => {
    closed = true;
  });
  expect(recurring.stopped).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([begun, closed]).toEqual([2, false]);
  finish();
  await closing;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(begun).toBe(2);
});

it('begins nothing where it is closed at once', async () => {
  let begun = 0;
  const recurring = new Recurring(async () => {
    begun++;
  }, 5);
  await recurring.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(begun).toBe(0);
});
