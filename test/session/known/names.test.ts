import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/base/limits.ts';
import { Names, nameKey, sqlNameKey, UNSETTLED } from '../../../src/session/known/names.ts';
import { isCatalogFirst } from '../../../src/sql/facts/search-path.ts';

describe('nameKey', () => {
  it('cuts at 63 bytes, as NAMEDATALEN has it', () => {
    const bytes = Buffer.from('x'.repeat(70));
    expect(nameKey(bytes, 0, 62)).toHaveLength(62);
    expect(nameKey(bytes, 0, 63)).toHaveLength(63);
    expect(nameKey(bytes, 0, 64)).toHaveLength(63);
    expect(nameKey(bytes, 5, 70)).toHaveLength(63);
    expect(nameKey(bytes, 5, 5)).toBe('');
  });

  it('counts bytes and not characters, and tells all bytes apart', () => {
    const name = Buffer.from('ä'.repeat(40));
    expect(nameKey(name, 0, name.length)).toHaveLength(63);
    const keys = new Set(Array.from({ length: 255 }, (_, i) => nameKey(Buffer.from([i + 1]), 0, 1)));
    expect(keys.size).toBe(255);
  });

  it('of a name in SQL is that of the same name in a message', () => {
    for (const name of ['', 'x', 'Größe', 'n'.repeat(80)]) {
      const bytes = Buffer.from(name);
      expect(sqlNameKey(name)).toBe(nameKey(bytes, 0, bytes.length));
    }
  });
});

describe('Names', () => {
  const one = { is: 'one' };
  const two = { is: 'two' };
  const three = { is: 'three' };
  const holding = (...names: string[]) => {
    const held = new Names<object>();
    for (const name of names) held.make(name, one);
    return held;
  };

  it('know nothing that was not made', () => {
    const names = new Names<object>();
    for (const name of ['', 'x', '__proto__', 'constructor']) expect(names.lookup(name)).toBeNull();
  });

  it('keep no more than a certain length of texts, but for a single one', () => {
    const half = LIMITS.namedTextChars / 2;
    const names = new Names<{ chars: number }>(({ chars }) => chars);
    expect(names.fullFor('x', half * 3)).toBeNull();
    for (const name of ['a', 'b', 'a']) names.make(name, { chars: half });
    expect(names.fullFor('x', 1)).toBe('texts');
    expect(names.fullFor('', 1)).toBeNull();
    names.make('a', null);
    expect(names.fullFor('x', half)).toBeNull();
    names.forget('b');
    names.make('a', { chars: half * 4 });
    names.make(null, null);
    expect(names.fullFor('x', half * 3)).toBeNull();
  });

  it('tell within a segment what it has asked for, and in the next that it is not settled', () => {
    const names = holding('x');
    names.ask('x', two);
    expect(names.lookup('x')).toBe(two);
    names.closeSegment();
    expect(names.lookup('x')).toBe(UNSETTLED);
    names.answer('x', two, false);
    expect(names.lookup('x')).toBe(one);
  });

  it('settle when the last that asked is answered', () => {
    const names = holding('x');
    names.ask('x', two);
    names.closeSegment();
    names.ask('x', three);
    names.closeSegment();
    names.answer('x', two, false);
    expect(names.lookup('x')).toBe(UNSETTLED);
    names.answer('x', three, true);
    expect(names.lookup('x')).toBe(three);
  });

  it('are taken away like they are made', () => {
    const names = holding('x', 'y');
    names.ask('x', null);
    expect(names.lookup('x')).toBeNull();
    names.closeSegment();
    names.answer('x', null, true);
    expect([names.lookup('x'), names.lookup('y'), names.size]).toEqual([null, one, 1]);
  });

  it('are none of them settled while SQL of an earlier segment may change any', () => {
    const names = holding('x');
    names.askSql([{ name: 'y', value: two }], false);
    names.closeSegment();
    expect(names.lookup('x')).toBe(UNSETTLED);
    names.make('y', two);
    names.answerSql(false);
    expect([names.lookup('x'), names.lookup('y')]).toEqual([one, two]);
  });

  it('that SQL of the open segment changes are told at once', () => {
    const names = holding('x', 'y');
    names.askSql([{ name: 'x', value: null }], true);
    names.askSql([{ name: 'z', value: two }], true);
    expect([names.lookup('x'), names.lookup('y'), names.lookup('z')]).toEqual([null, one, two]);
    names.answerSql(true);
    names.answerSql(true);
    expect(names.lookup('y')).toBe(one);
  });

  it('are taken away all at once, but for the unnamed one', () => {
    const names = holding('x', '');
    names.askSql([{ name: null, value: null }], true);
    expect([names.lookup('x'), names.lookup('')]).toEqual([null, one]);
    names.make(null, null);
    names.answerSql(true);
    names.closeSegment();
    expect([names.lookup('x'), names.lookup('')]).toEqual([null, one]);
  });

  it('that the open segment has made unnamed outlive its DEALLOCATE ALL', () => {
    const names = new Names<object>();
    names.ask('', two);
    names.askSql([{ name: null, value: null }], true);
    expect(names.lookup('')).toBe(two);
  });
});

describe('Names keep nothing of a name', () => {
  const value = { is: 'value' };

  it('that was asked for and refused, or taken away, whether it was answered before its segment closed or after', () => {
    const names = new Names<object>();
    for (let i = 0; i < 100; i++) {
      names.ask(`failed ${i}`, value);
      names.answer(`failed ${i}`, value, false);
      names.ask(`closed ${i}`, value);
      names.answer(`closed ${i}`, value, true);
      names.ask(`closed ${i}`, null);
      names.answer(`closed ${i}`, null, true);
      names.closeSegment();
      names.ask(`late ${i}`, null);
      names.closeSegment();
      names.answer(`late ${i}`, null, true);
      names.askSql([{ name: `sql ${i}`, value }], true);
      names.answerSql(true);
      names.closeSegment();
    }
    expect(names.size).toBe(0);
  });

  it('when the transaction that made it is over', () => {
    const names = new Names<object>();
    for (let i = 0; i < 100; i++) {
      names.ask(`portal ${i}`, value);
      names.closeSegment();
      names.answer(`portal ${i}`, value, true);
    }
    names.make('', value);
    names.clearMade();
    expect([names.size, names.lookup(''), names.lookup('portal 7')]).toEqual([0, null, null]);
  });
});

describe('isCatalogFirst', () => {
  it.each<[string, boolean]>([
    ['', true],
    ['public', true],
    ['"$user", public', true],
    ['pg_catalog, public', true],
    ['"pg_catalog"', true],
    ['PG_CATALOG, x', true],
    ['public, pg_catalog', false],
    ['evil,pg_catalog', false],
    ['"$user", public, "pg_catalog"', false],
    // Schemas that only look like pg_catalog.
    ['"PG_CATALOG", pg_catalog', false],
    ['"pg_cat""alog", pg_catalog', false],
    ['"pg_catalog,x", pg_catalog', false],
    ['"pg_catalog', false],
    [' evil , pg_catalog ', false],
  ])('%s', (path, first) => {
    expect(isCatalogFirst(path)).toBe(first);
  });

  it('takes a quoted name with a comma for no more than it is', () => {
    // The comma is part of one schema's name: pg_catalog stands second and must not be taken for first.
    expect(isCatalogFirst('"a,b", pg_catalog')).toBe(false);
  });
});
