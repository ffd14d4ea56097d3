import { describe, expect, it } from 'vitest';
import { Names, nameKey, sqlNameKey } from '../../src/session/names.ts';
import { isCatalogFirst } from '../../src/session/state.ts';

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
  it('set and delete give what stood there, and restore puts it back', () => {
    const names = new Names<string>();
    expect(names.set('x', 'one')).toBeUndefined();
    expect(names.set('x', 'two')).toBe('one');
    names.restore('x', 'one');
    expect(names.get('x')).toBe('one');
    expect(names.delete('x')).toBe('one');
    expect(names.delete('x')).toBeUndefined();
    names.restore('x', 'one');
    names.restore('y', undefined);
    expect([names.get('x'), names.get('y'), names.size]).toEqual(['one', undefined, 1]);
  });

  it('keep apart names that JavaScript objects share', () => {
    const names = new Names<number>();
    for (const name of ['__proto__', 'constructor', 'toString']) {
      expect(names.get(name)).toBeUndefined();
      names.set(name, 1);
    }
    expect(names.size).toBe(3);
  });

  it('drop what has ended', () => {
    const names = new Names<number>();
    for (const value of [1, 2, 3, 4]) names.set(`n${value}`, value);
    names.drop((value) => value < 3);
    expect([names.get('n2'), names.get('n3'), names.size]).toEqual([undefined, 3, 2]);
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
    [' evil , pg_catalog ', false],
  ])('%s', (path, first) => {
    expect(isCatalogFirst(path)).toBe(first);
  });

  it('takes a quoted name with a comma for no more than it is', () => {
    // The comma is part of one schema's name: pg_catalog stands second and must not be taken for first.
    expect(isCatalogFirst('"a,b", pg_catalog')).toBe(false);
  });
});
