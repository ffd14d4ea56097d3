import { describe, expect, it } from 'vitest';
import { AnalysisCache } from '../../../src/sql/cache.ts';
import { type Analysis, DEFAULT_TEXT_FACTS } from '../../../src/sql/effects.ts';
import { RecentTexts } from '../../../src/sql/recent/recent-texts.ts';

const analysis = { status: 'parsed' } as Analysis;

/** Asks for a text as a session does: looks for it, and tells what it says where it was not found. */
function ask(texts: RecentTexts, text: string, shelf = 1, says = analysis): boolean {
  const bytes = Buffer.from(`before${text}behind`);
  const found = texts.find(bytes, 6, bytes.length - 6, shelf);
  if (found === null) texts.missed(bytes, 6, bytes.length - 6, shelf, { analysis: says, text });
  else expect(found.text).toBe(text);
  return found !== null;
}

describe('recent texts', () => {
  it('are found from the third time on', () => {
    const texts = new RecentTexts();
    expect([1, 2, 3, 4].map(() => ask(texts, 'select 1'))).toEqual([false, false, true, true]);
  });

  it('are told apart by every byte, and by the way they are read', () => {
    const texts = new RecentTexts();
    const long = 'x'.repeat(300);
    for (let i = 0; i < 3; i++) ask(texts, long);
    for (let at = 0; at < long.length; at++) {
      expect(ask(texts, `${long.slice(0, at)}y${long.slice(at + 1)}`)).toBe(false);
    }
    for (let i = 0; i < 3; i++) ask(texts, long);
    expect([ask(texts, long), ask(texts, long, 2), ask(texts, `${long}x`)]).toEqual([true, false, false]);
  });

  it('do not keep a text that the parser failed at, nor a long one', () => {
    const texts = new RecentTexts();
    const failed = { status: 'failed' } as Analysis;
    for (let i = 0; i < 4; i++) {
      expect(ask(texts, 'select 2', 1, failed)).toBe(false);
      expect(ask(texts, 'z'.repeat(513))).toBe(false);
    }
  });

  it('outlive the buffer that they came in', () => {
    const texts = new RecentTexts();
    const bytes = Buffer.from('select 3');
    for (let i = 0; i < 2; i++) {
      texts.find(bytes, 0, 8, 1);
      texts.missed(bytes, 0, 8, 1, { analysis, text: 'select 3' });
    }
    bytes.fill(0);
    expect(ask(texts, 'select 3')).toBe(true);
  });
});

describe('AnalysisCache.read', () => {
  it('gives the analysis that analyze gives, and the text', async () => {
    const cache = new AnalysisCache();
    await cache.ready();
    for (const text of ['select $1', 'delete from t', "select 'größer'", 'select 1', 'syntax error here']) {
      const bytes = Buffer.from(text);
      for (let i = 0; i < 4; i++) {
        const reading = cache.read(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS);
        expect(reading).toMatchObject({ text });
        expect((reading as { analysis: Analysis }).analysis).toBe(
          cache.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS),
        );
      }
    }
    await cache.close();
  });
});
