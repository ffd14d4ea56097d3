import { afterEach, expect, it, vi } from 'vitest';
import { agreedMs, clockOf, nowMs } from '../../src/base/clock.ts';

afterEach(() => void vi.restoreAllMocks());

it('follows the clock of the machine forwards once it stays ahead, and never runs backwards', () => {
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
  expect(pass(1000, 3_600_000)).toBe(1_002_500.25);
  expect(pass(29_000)).toBe(1_031_500.25);
  expect(pass(1000)).toBe(4_631_500.25);
  // A clock that is put back is not followed, nor one that goes a little fast.
  expect(pass(60_000, -500_000)).toBe(4_691_500.25);
  expect(pass(1000, 561_900)).toBe(4_692_500.25);
  expect(pass(60_000, 60_050)).toBe(4_752_500.25);
  // One that was wrong for a moment is none that stays ahead.
  expect(pass(1000, 31_536_000_000)).toBe(4_753_500.25);
  expect(pass(20_000)).toBe(4_773_500.25);
  expect(pass(1000, -31_535_999_000)).toBe(4_774_500.25);
  expect(pass(60_000)).toBe(4_834_500.25);
});

it('what is dropped for being old is so by both clocks, whichever of them is wrong', () => {
  const wallMs = Date.now();
  const wall = vi.spyOn(Date, 'now');
  wall.mockReturnValue(wallMs + 31_536_000_000);
  expect(agreedMs()).toBeLessThanOrEqual(nowMs());
  // The process began with a clock that was ahead, which has been set right since.
  wall.mockReturnValue(wallMs - 31_536_000_000);
  expect(agreedMs()).toBe(wallMs - 31_536_000_000);
});
