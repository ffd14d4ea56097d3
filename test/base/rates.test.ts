import { expect, it } from 'vitest';
import { Rates } from '../../src/base/rates.ts';

it('lets each do so much at once and so much a second, and forgets who has done nothing for longest', () => {
  const rates = new Rates({ atOnce: 3, perS: 2, namesMax: 2 });
  const take = (name: string, times: number, ms: number) =>
    Array.from({ length: times }, () => rates.take(name, ms));
  expect(take('agent', 5, 0)).toEqual([0, 0, 0, 1, 1]);
  expect(take('ann', 1, 0)).toEqual([0]);
  expect(take('agent', 3, 1000)).toEqual([0, 0, 1]);
  expect(take('bob', 1, 1000)).toEqual([0]);
  expect(take('agent', 1, 1000)).toEqual([1]);
  expect(take('agent', 4, 60_000)).toEqual([0, 0, 0, 1]);
});
