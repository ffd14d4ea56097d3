import { expect, it } from 'vitest';
import { clockOf } from '../../src/base/clock.ts';

it('follows the clock of the machine forwards within a second, and never runs backwards', () => {
  let elapsed = 0;
  let wall = 1_000_000;
  const now = clockOf(
    1_000_000,
    () => elapsed,
    () => wall,
  );
  const pass = (monotonicMs: number, wallMs = monotonicMs) => {
    elapsed += monotonicMs;
    wall += wallMs;
    return now();
  };
  expect(pass(0)).toBe(1_000_000);
  expect(pass(1500.25)).toBe(1_001_500.25);
  // A machine that was suspended for an hour.
  expect(pass(1000, 3_600_000)).toBe(4_601_500.25);
  // A clock that is put back is not followed, nor one that goes a little fast.
  expect(pass(1000, -500_000)).toBe(4_602_500.25);
  expect(pass(1000, 501_900)).toBe(4_603_500.25);
  expect(pass(1000, 1100)).toBe(4_604_500.25);
  // What is set between two looks is seen at the next.
  expect(pass(10, 60_000)).toBe(4_604_510.25);
  expect(pass(990, 990)).toBe(4_665_490.25);
});
