import { afterAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/base/limits.ts';
import { AnalysisCache } from '../../../src/sql/cache.ts';
import { DEFAULT_TEXT_FACTS, type TextFacts } from '../../../src/sql/effects.ts';
import { ParsePool } from '../../../src/sql/parsing/parse-pool.ts';
import { Parser } from '../../../src/sql/parsing/parser.ts';

const cache = new AnalysisCache();
afterAll(() => cache.close());

const deepSum = Buffer.from(`select ${'1+'.repeat(20_000)}1`);

describe('the parser', () => {
  test('goes on after 200 stack overflows', { timeout: 120_000 }, async () => {
    const parser = await Parser.create();
    for (let i = 0; i < 200; i++) {
      await parser.whenReady();
      expect(parser.parse(deepSum).kind).toBe('broken');
    }
    await parser.whenReady();
    expect(parser.parse(Buffer.from('select 1')).kind).toBe('tree');
    expect(parser.replaced).toBe(200);
  });

  test('is not replaced by what the grammar refuses', async () => {
    const parser = await Parser.create();
    for (let i = 0; i < 100; i++) expect(parser.parse(Buffer.from(`selec ${i}`)).kind).toBe('refused');
    expect(parser.replaced).toBe(0);
  });
});

describe('a text that is not understood is critical, never less', () => {
  const closed: readonly [string, Buffer | string, string][] = [
    ['nonsense', 'selec 1', 'unparsable'],
    ['a zero byte', 'select 1; \0delete from t', 'opaque'],
    ['a zero byte alone', '\0', 'opaque'],
    ['invalid UTF-8', Buffer.from([0x73, 0x65, 0x6c, 0x65, 0x63, 0x74, 0x20, 0x27, 0xff, 0x27]), 'opaque'],
    ['deep brackets', `select ${'('.repeat(600)}1${')'.repeat(600)}`, 'opaque'],
    ['deep array subscripts', `select ${'array['.repeat(600)}1${']'.repeat(600)}`, 'opaque'],
    ['nested comments', `${'/*'.repeat(600)}${'*/'.repeat(600)} select 1`, 'opaque'],
    ['a chain of operators', `select ${'1+'.repeat(2_100)}1`, 'opaque'],
    ['a chain of NOT', `select ${'not '.repeat(2_100)} true`, 'opaque'],
    ['a chain of UNION', `select 1 ${'union select 1 '.repeat(600)}`, 'parsed'],
    ['an unclosed literal', "select 'abc", 'unparsable'],
    ['an unclosed comment', 'select 1 /* abc', 'unparsable'],
  ];

  test.each(closed)('%s', async (_, text, status) => {
    const bytes = Buffer.from(text);
    const analysis = await cache.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS);
    expect(analysis.status).toBe(status);
    if (status === 'parsed') return;
    expect(analysis.risk).toBe('critical');
    expect(analysis.operation).toBe('unknown');
    expect(analysis.problem).not.toBe('');
    expect(analysis.statements).toHaveLength(1);
  });

  test('more than the longest text', async () => {
    const text = Buffer.alloc(LIMITS.parseBytes + 1, ' ');
    const analysis = await cache.analyze(text, 0, text.length, DEFAULT_TEXT_FACTS);
    expect([analysis.status, analysis.risk]).toEqual(['opaque', 'critical']);
  });
});

describe('a text without a statement is empty', () => {
  test.each(['', ' \n\t', ';', ' ; ;', '-- nothing', '/* nothing /* at */ all */', '/*a*/;--b'])(
    '%j',
    async (text) => {
      const { status, risk, statements } = await cache.analyzeText(text);
      expect([status, risk, statements]).toEqual(['empty', 'safe', []]);
    },
  );
});

describe('how the session reads text', () => {
  const on = DEFAULT_TEXT_FACTS;
  const of = (facts: Partial<TextFacts>): TextFacts => ({ ...on, ...facts });
  const status = async (text: string, facts: TextFacts) => (await cache.analyzeText(text, facts)).status;

  test('a backslash is opaque where standard_conforming_strings is off', async () => {
    const off = of({ standardConformingStrings: false });
    expect(await status("select '\\''; delete from victim; --'", off)).toBe('opaque');
    expect(await status("select U&'a'", off)).toBe('opaque');
    expect(await status("select 'a'", off)).toBe('parsed');
    expect(await status("select '\\''", on)).toBe('unparsable');
  });

  test('bytes above 127 are opaque in an encoding that is not read', async () => {
    const sjis = of({ encoding: 'ascii-only' });
    expect(await status("select 'é'", sjis)).toBe('opaque');
    expect(await status("select 'e'", sjis)).toBe('parsed');
  });

  test('latin1 is read byte by byte, and positions are bytes of the text', async () => {
    const latin1 = of({ encoding: 'latin1' });
    const analysis = await cache.analyzeText("select 'é'; delete from é", latin1);
    expect(analysis.statements.map((each) => [each.startByte, each.lengthBytes])).toEqual([
      [0, 10],
      [12, 13],
    ]);
    expect(analysis.tables).toEqual(['é']);
  });

  test('functions and operators are not trusted where another schema comes before pg_catalog', async () => {
    const shadowed = of({ catalogFirst: false });
    for (const text of [
      'select lower(a) from t',
      'select 1 + 1',
      'select a between 1 and 2 from t',
      'select * from t join u using (a)',
    ]) {
      const analysis = await cache.analyzeText(text, shadowed);
      expect([analysis.risk, analysis.touchesSession], text).toEqual(['high', true]);
      expect((await cache.analyzeText(text, on)).risk, text).toBe('safe');
    }
    for (const text of [
      'select a from t',
      'select pg_catalog.lower(a) from t',
      'select 1 operator(pg_catalog.+) 2',
    ]) {
      expect((await cache.analyzeText(text, shadowed)).risk, text).toBe('safe');
    }
  });
});

describe('large texts', () => {
  const large = (count: number) =>
    `insert into t values ${Array.from({ length: count }, (_, i) => `(${i}, 'x')`).join(',')}`;

  test('are analysed in a worker, once for all who ask', async () => {
    const own = new AnalysisCache();
    const bytes = Buffer.from(large(5_000));
    const asked = [1, 2, 3].map(() => own.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS));
    const [first, ...others] = await Promise.all(asked);
    expect(first?.operation).toBe('insert');
    expect(Object.isFrozen(first) && Object.isFrozen(first?.statements[0]?.writes)).toBe(true);
    for (const other of others) expect(other).toBe(first);
    expect(own.counts.misses).toBe(1);
    expect(await own.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS)).toBe(first);
    await own.close();
  });

  test('that take too long fail, and the next one is read by a new worker', async () => {
    const own = new AnalysisCache({ timeoutMs: 1 });
    const bytes = Buffer.from(large(100_000));
    const analysis = await own.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS);
    expect([analysis.status, analysis.risk]).toEqual(['failed', 'critical']);
    await own.close();

    const endless = new AnalysisCache({
      workerUrl: new URL('./endless-worker.ts', import.meta.url),
      timeoutMs: 300,
    });
    const results = await Promise.all([1, 2].map((i) => endless.analyzeText(large(5_000 + i))));
    expect(results.map((each) => each.status)).toEqual(['failed', 'failed']);
    await endless.close();
  });

  test('need no thread for long', async () => {
    const pool = new ParsePool({ idleMs: 50 });
    for (const count of [5_000, 5_001]) {
      const analysis = await pool.analyze(Buffer.from(large(count)), DEFAULT_TEXT_FACTS);
      expect(analysis.operation).toBe('insert');
      expect(pool.hasWorker).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(pool.hasWorker).toBe(false);
    }
    await pool.close();
  });

  test('that kill the worker fail', async () => {
    const own = new AnalysisCache({ workerUrl: new URL('./dying-worker.ts', import.meta.url) });
    expect((await own.analyzeText(large(5_000))).status).toBe('failed');
    expect((await own.analyzeText(large(5_001))).status).toBe('failed');
    await own.close();
  });

  test('are refused when too many wait', async () => {
    const own = new AnalysisCache();
    const waiting = Array.from({ length: LIMITS.parseQueueMax + 10 }, (_, i) =>
      own.analyzeText(large(2_500 + i)),
    );
    const results = await Promise.all(waiting);
    expect(results.filter((each) => each.status === 'failed').length).toBeGreaterThanOrEqual(9);
    await own.close();
  }, 60_000);
});
