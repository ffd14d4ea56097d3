import { describe, expect, it } from 'vitest';
import { readTableName, writeTableName } from '../../src/snapshot/table-name.ts';

describe('the name of a table as people write it', () => {
  it.each([
    ['orders', null, 'orders'],
    ['Shop.Old orders', 'Shop', 'Old orders'],
    ['"Shop"."Old orders"', 'Shop', 'Old orders'],
    ['shop."a.""b"', 'shop', 'a."b'],
    ['"a.b"', null, 'a.b'],
  ])('%s', (text, schema, name) => {
    expect(readTableName(text)).toEqual({ schema, name });
    const whole = { schema: schema ?? 'public', name };
    expect(readTableName(writeTableName(whole))).toEqual(whole);
  });

  it.each(['', '.', 'a.', '.a', 'a.b.c', '"a', 'a"b', '""', '"a"b'])('is none: %s', (text) => {
    expect(readTableName(text)).toBe(null);
  });
});
