import { expect, it } from 'vitest';
import type { LiveNumbers } from '../../src/console/overview/live-numbers.ts';
import { quantile, quantiles, rates } from '../../src/console/overview/rates.ts';

const sample = (atS: number, safe: number, counts: readonly number[]): LiveNumbers => ({
  time: new Date(atS * 1000).toISOString(),
  sessions_open: 1,
  statements_held: 0,
  statements: { risk: { safe }, action: {}, outcome: {} },
  decision_seconds: { bounds: [0.001, 0.01], counts },
  relay_seconds: { bounds: [], counts: [] },
});

it('counts by the second what has happened between two samples, and nothing across a restart', () => {
  const samples = [sample(0, 10, []), sample(5, 60, []), sample(15, 60, []), sample(20, 3, [])];
  expect(rates(samples, ({ statements }) => statements.risk['safe']!)).toEqual([10, 0, null]);
});

it('tells within which time a share was done', () => {
  expect(quantile([1, 2], [10, 0, 0], 0.5)).toBe(0.5);
  expect(quantile([1, 2], [5, 5, 0], 0.75)).toBe(1.5);
  expect(quantile([1, 2], [0, 0, 3], 0.5)).toBe(2);
  expect(quantile([1, 2], [0, 0, 0], 0.5)).toBeNull();
  const samples = [sample(0, 0, [5, 0, 0]), sample(5, 0, [9, 4, 0]), sample(10, 0, [1, 0, 0])];
  expect(quantiles(samples, (one) => one.decision_seconds, 0.5)).toEqual([1, null]);
});
