import { expect, it } from 'vitest';
import { about, bytes, duration, plural, span } from '../../src/console/parts/words.ts';
import { hrefOf, parseRoute } from '../../src/console/state/route.ts';

it('writes spans, sizes and counts as people say them', () => {
  expect([0, 59_999, 61_000, 1_800_000, 7_260_000, 90_000_000].map(span)).toEqual([
    '0 s',
    '59 s',
    '1 min 1 s',
    '30 min',
    '2 h 1 min',
    '1 d 1 h',
  ]);
  expect([0, 59_999, 61_000, 7_260_000, 200_000_000].map(about)).toEqual([
    '0 s',
    '59 s',
    '1 min',
    '2 h',
    '2 d',
  ]);
  expect([0.0123, 4.5678, 1234, 75_000].map(duration)).toEqual([
    '12.3 µs',
    '4.57 ms',
    '1.23 s',
    '1 min 15 s',
  ]);
  expect([1, 1000, 1536, 5_000_000_000].map(bytes)).toEqual(['1 byte', '1,000 bytes', '1.5 KiB', '4.66 GiB']);
  expect([plural(1, 'row'), plural(1200, 'row')]).toEqual(['1 row', '1,200 rows']);
});

it('finds its way by what stands behind the #', () => {
  const { view, id, query } = parseRoute('#/audit?text=a%26b&role=etl');
  expect([view, id, query.get('text'), query.get('role')]).toEqual(['audit', null, 'a&b', 'etl']);
  expect(parseRoute('#/approvals/apr_1')).toMatchObject({ view: 'queue', id: 'apr_1' });
  expect(parseRoute('#/nowhere')).toMatchObject({ view: 'queue', id: null });
  expect(parseRoute('')).toMatchObject({ view: 'queue', id: null });
  expect(parseRoute('#/queue/%E0%A4%A')).toMatchObject({ view: 'queue', id: '%E0%A4%A' });
  expect(hrefOf('audit', null, { text: 'a&b', role: '' })).toBe('#/audit?text=a%26b');
});
