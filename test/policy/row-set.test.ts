import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  decodeRowSet,
  differenceOf,
  encodeRowSet,
  type RowSet,
  RowSetBuilder,
} from '../../src/policy/row-set.ts';
import { driftOfRows, driftOfSet } from '../../src/policy/rows-drift.ts';

const SALT = Buffer.from('a salt');
const hashOf = (row: number) => hash('sha256', String(row), 'buffer').readBigUInt64LE(0);

const setOf = (rows: readonly number[], keptMax = 100): RowSet => {
  const builder = new RowSetBuilder(SALT, keptMax);
  for (const row of rows) builder.add(hashOf(row));
  return builder.set();
};
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('sets of rows', () => {
  it('are equal in any order', () => {
    const [before, after] = [setOf(range(0, 1000)), setOf(range(0, 1000).reverse())];
    expect(differenceOf(before, after)).toEqual({
      added: { rows: 0, most: 0 },
      removed: { rows: 0, most: 0 },
    });
    expect(after).toEqual(before);
  });

  it('tell how many have come and gone, where all hashes are kept', () => {
    const { added, removed } = differenceOf(setOf(range(0, 90)), setOf([...range(5, 90), 200, 201]));
    expect([added, removed]).toEqual([
      { rows: 2, most: 2 },
      { rows: 5, most: 5 },
    ]);
  });

  it('hold the same row as often as it comes', () => {
    const { added, removed } = differenceOf(setOf([1, 1, 1, 2]), setOf([1, 2, 2, 2]));
    expect([added.rows, removed.rows]).toEqual([2, 2]);
    expect(differenceOf(setOf([1, 1]), setOf([1])).removed.rows).toBe(1);
  });

  it.each([0, 10, 500, 5_000])(
    'of which a sample is kept are about as far apart as they are: %i rows',
    (apart) => {
      const all = 10_000;
      const before = setOf(range(0, all), 1_000);
      const after = setOf(range(apart, all + apart), 1_000);
      expect(after.hashes.length).toBe(1_000);
      for (const { rows, most } of Object.values(differenceOf(before, after))) {
        expect(Math.abs(rows - apart)).toBeLessThanOrEqual(apart / 5 + 20);
        expect(most).toBeGreaterThanOrEqual(apart);
        if (apart > 0) expect(most).toBeGreaterThan(0);
      }
    },
  );

  it('of many rows that are not equal are never taken for equal, however few are others', () => {
    const before = setOf(range(0, 10_000));
    const after = setOf([...range(1, 10_000), 20_000]);
    expect(driftOfSet(before, after, { unit: 'rows', rows: 0 })).toMatch(
      /^up to \d+ of the 10000 rows that it would change are not those that were approved$/,
    );
    expect(driftOfSet(before, after, { unit: 'percent', percent: 10 })).toBeNull();
    expect(driftOfSet(before, setOf(range(0, 10_000)), { unit: 'rows', rows: 0 })).toBeNull();
  });

  it('are read as they were written', () => {
    const set = setOf(range(0, 250));
    expect(decodeRowSet(encodeRowSet(set))).toEqual(set);
    expect(decodeRowSet(encodeRowSet(setOf([])))).toEqual(setOf([]));
    expect(decodeRowSet(Buffer.from('of another version'))).toBeNull();
    expect(decodeRowSet(Buffer.alloc(0))).toBeNull();
  });
});

describe('rows that are not those that were approved', () => {
  const known = (rows: readonly number[]) => ({ rows: rows.length, set: setOf(rows) });
  const none = { unit: 'rows', rows: 0 } as const;
  const tenth = { unit: 'percent', percent: 10 } as const;

  it.each([
    ['the same', range(0, 5), range(0, 5), tenth, null],
    [
      'some that are others',
      range(0, 5),
      [0, 1, 7, 8, 9],
      tenth,
      '3 of the 5 rows that it would change are not those that were approved',
    ],
    ['as many others as may be', range(0, 10), [...range(1, 10), 10], tenth, null],
    [
      'one other too many',
      range(0, 10),
      range(2, 12),
      tenth,
      '2 of the 10 rows that it would change are not those that were approved',
    ],
    [
      'fewer, of which some are others',
      range(0, 10),
      range(3, 11),
      { unit: 'rows', rows: 2 } as const,
      '3 of the 10 rows that were approved are not among those that it would change',
    ],
    [
      'another number',
      range(0, 5),
      range(0, 8),
      tenth,
      'it would change 8 rows, not 5, which is more than 10% apart',
    ],
    [
      'one of two that are alike',
      [1, 1, 2],
      [1, 2, 2],
      none,
      '1 of the 3 rows that it would change are not those that were approved',
    ],
  ])('are told: %s', (_, approved, now, tolerance, drift) => {
    expect(driftOfRows(known(approved), known(now), tolerance)).toBe(drift);
  });

  it('are compared by their number where it was not known which they are', () => {
    const number = { rows: 5, set: null };
    expect(driftOfRows(number, known(range(10, 15)), none)).toBeNull();
    expect(driftOfRows(number, { rows: 6, set: null }, none)).toMatch(/^it would change 6 rows, not 5/);
    expect(driftOfRows(null, known([1]), none)).toBeNull();
  });

  it('are others where it cannot be told which they are now', () => {
    expect(driftOfRows(known([1]), { rows: 1, set: null }, tenth)).toMatch(/^which rows .* is not known now/);
    expect(driftOfRows(known([1]), null, tenth)).toMatch(/^how many rows .* is not known now/);
  });
});
