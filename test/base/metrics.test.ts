import { describe, expect, it } from 'vitest';
import { ENDS } from '../../src/audit/block-format.ts';
import { CounterGrid, Histogram, Metrics } from '../../src/base/metrics.ts';
import { RISKS } from '../../src/sql/effects.ts';

describe('a grid of counters', () => {
  it('counts each combination of labels by itself', () => {
    const grid = new CounterGrid([
      { name: 'a', values: ['x', 'y'] },
      { name: 'b', values: ['1', '2', '3'] },
    ]);
    const cells = ['x', 'y'].flatMap((a) => ['1', '2', '3'].map((b) => grid.cellOf(a, b)));
    expect(cells.toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
    grid.add(grid.cellOf('y', '2'), 4);
    expect(grid.cells[grid.cellOf('y', '2')]).toBe(4);
    for (const cell of cells) expect(grid.cellOf(...Object.values(grid.valuesOf(cell)))).toBe(cell);
    expect(() => grid.cellOf('z', '1')).toThrow('a has no value z');
  });
});

describe('a histogram', () => {
  it('counts up to and including each bound', () => {
    const histogram = new Histogram([1, 2]);
    for (const value of [0, 1, 1.5, 2, 2.5, 100]) histogram.observe(value);
    expect([...histogram.counts]).toEqual([2, 2, 2]);
    expect(histogram.sum).toBe(107);
  });
});

it('the labels of statements are all risks and all ends', () => {
  const [risk, , outcome] = new Metrics().statements.labels;
  expect(risk!.values).toEqual(RISKS);
  expect(outcome!.values).toEqual(ENDS);
});
