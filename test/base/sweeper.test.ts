import { expect, it } from 'vitest';
import { Sweeper } from '../../src/base/sweeper.ts';

class Counting extends Sweeper {
  begun = 0;
  finish = () => {};
  readonly lasts: boolean;

  constructor(lasts: boolean) {
    super(5);
    this.lasts = lasts;
  }

  get shouldEnd(): boolean {
    return this.stopped;
  }

  protected override async work(): Promise<void> {
    this.begun++;
    if (!this.lasts) return;
    await new Promise<void>((resolve) => {
      this.finish = resolve;
    });
  }
}

it('works at the start and from time to time, never twice at once, and not once it is closed', async () => {
  const sweeper = new Counting(true);
  expect(sweeper.begun).toBe(0);
  await expect.poll(() => sweeper.begun).toBe(1);
  const first = sweeper.sweep();
  expect(sweeper.sweep()).toBe(first);
  expect(sweeper.begun).toBe(1);
  sweeper.finish();
  await first;
  await expect.poll(() => sweeper.begun).toBe(2);
  let closed = false;
  const closing = sweeper.close().then(() => {
    closed = true;
  });
  expect(sweeper.shouldEnd).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([sweeper.begun, closed]).toEqual([2, false]);
  sweeper.finish();
  await closing;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(sweeper.begun).toBe(2);
});

it('begins nothing where it is closed at once', async () => {
  const sweeper = new Counting(false);
  await sweeper.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(sweeper.begun).toBe(0);
});
