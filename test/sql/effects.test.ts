import { afterAll, describe, expect, test } from 'vitest';
import { AnalysisCache } from '../../src/sql/cache.ts';
import { cases, riskCases } from './corpus.ts';

const cache = new AnalysisCache();
afterAll(() => cache.close());

describe('the risk and the operation of a statement', () => {
  test.each(riskCases())('$sql is $risk', async ({ risk, operation, sql }) => {
    const analysis = await cache.analyzeText(sql);
    expect(analysis.status).toBe('parsed');
    expect(
      { risk: analysis.risk, operation: analysis.operation },
      analysis.statements[0]?.reasons.join('; '),
    ).toEqual({
      risk,
      operation,
    });
  });
});

describe('a predicate that bounds nothing', () => {
  test.each(cases('tautologies.txt'))('delete … where %s', async (where) => {
    const { risk, statements } = await cache.analyzeText(`delete from t where ${where}`);
    expect(statements[0]?.predicate).toBe('tautology');
    expect(risk).toBe('critical');
  });

  test.each(cases('tautologies.txt'))('update … where (%s)', async (where) => {
    const { statements } = await cache.analyzeText(`update t set x = 1 where (${where})`);
    expect(statements[0]?.predicate).toBe('tautology');
  });
});

describe('a predicate that bounds the write', () => {
  test.each(cases('scoped.txt'))('delete … where %s', async (where) => {
    const { risk, statements } = await cache.analyzeText(`delete from t where ${where}`);
    expect(statements[0]?.predicate).toBe('scoped');
    expect(risk).toBe('high');
  });
});
