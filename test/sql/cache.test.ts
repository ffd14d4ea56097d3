import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { AnalysisCache } from '../../src/sql/cache.ts';
import { type Analysis, DEFAULT_TEXT_FACTS, READ_OFTEN } from '../../src/sql/effects.ts';
import { BoundedStore } from '../../src/sql/recent/bounded-store.ts';

async function started(bytesMax: number = LIMITS.analysisCacheBytes): Promise<AnalysisCache> {
  const cache = new AnalysisCache({ bytesMax });
  await cache.ready();
  return cache;
}

function analyze(cache: AnalysisCache, text: string, facts = DEFAULT_TEXT_FACTS): Analysis {
  const bytes = Buffer.from(`..${text}..`);
  return cache.analyze(bytes, 2, bytes.length - 2, facts) as Analysis;
}

describe('the cache', () => {
  test('gives the same object for the same text, and for texts that differ in literals', async () => {
    const cache = await started();
    expect(analyze(cache, 'select $1')).toBe(analyze(cache, 'select $1'));
    expect(analyze(cache, "select a from t where b = 1 and c = 'x'")).toBe(
      analyze(cache, "select a from t where b = 22 and c = 'it''s'"),
    );
    expect(analyze(cache, 'select 1')).not.toBe(analyze(cache, "select 'x'"));
    expect(cache.counts).toMatchObject({ hits: 2, misses: 4 });
  });

  test('keeps ways to read a text apart', async () => {
    const cache = await started();
    const shadowed = { ...DEFAULT_TEXT_FACTS, catalogFirst: false };
    for (let i = 0; i < 2; i++) {
      expect(analyze(cache, 'select lower(a) from t where b = 1').risk).toBe('safe');
      expect(analyze(cache, 'select lower(a) from t where b = 1', shadowed).risk).toBe('high');
      expect(
        analyze(cache, "select 'a\\b'", { ...DEFAULT_TEXT_FACTS, standardConformingStrings: false }).status,
      ).toBe('opaque');
      expect(analyze(cache, "select 'a\\b'").status).toBe('parsed');
      expect(analyze(cache, "select 'é'", { ...DEFAULT_TEXT_FACTS, encoding: 'ascii-only' }).status).toBe(
        'opaque',
      );
      expect(analyze(cache, "select 'é'").status).toBe('parsed');
    }
  });

  test('gives promises until the parser is there, and the same answers', async () => {
    const cache = new AnalysisCache();
    const bytes = Buffer.from('delete from t');
    const early = cache.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS);
    expect(early).toBeInstanceOf(Promise);
    bytes.fill(0);
    expect((await early).operation).toBe('delete');
  });

  test('never keeps more than its budget, however much it reads', async () => {
    const cache = await started(200_000);
    for (let i = 0; i < 5_000; i++) {
      analyze(cache, `select a${i} from t where b = ${i}`);
      expect(cache.counts.bytes).toBeLessThanOrEqual(200_000);
    }
    expect(cache.counts.entries).toBeGreaterThan(50);
  });

  test('gives frozen values, but for the lists that every statement has read', async () => {
    const cache = await started();
    const check = (value: unknown, name = ''): void => {
      if (typeof value !== 'object' || value === null) return;
      expect(Object.isFrozen(value), name).toBe(!(Array.isArray(value) && READ_OFTEN.has(name)));
      for (const [inner, of] of Object.entries(value)) check(of, inner);
    };
    for (const text of [
      'select a, f(b) from t where c = 1',
      'prepare p as delete from t',
      'selec',
      'set a.b = 1',
    ]) {
      check(analyze(cache, text));
    }
  });
});

describe('the bounded store', () => {
  test('gives what was used another round, and drops what was not', () => {
    const store = new BoundedStore<string>(100);
    for (const key of ['a', 'b', 'c', 'd']) store.set(0, key, key, 25);
    store.get(0, 'a');
    store.set(0, 'e', 'e', 25);
    expect(['a', 'b', 'c', 'd', 'e'].map((key) => store.get(0, key) ?? '-')).toEqual([
      'a',
      '-',
      'c',
      'd',
      'e',
    ]);
    store.set(1, 'f', 'f', 100);
    expect([store.size, store.bytes]).toEqual([1, 100]);
    store.set(1, 'g', 'g', 101);
    expect(store.get(1, 'g')).toBeUndefined();
  });
});
