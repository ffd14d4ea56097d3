import { expect, it } from 'vitest';
import { RecentNames } from '../../../src/session/known/recent-names.ts';

const find = (names: RecentNames, text: string, encoding: BufferEncoding = 'latin1') => {
  const bytes = Buffer.from(`..${text}..`, encoding);
  return names.find(bytes, 2, bytes.length - 2);
};

it('a name is found by its bytes, and by all of them', () => {
  const names = new RecentNames();
  expect(find(names, 'P0_1')).toBeNull();
  names.keep('P0_1');
  expect(find(names, 'P0_1')).toBe('P0_1');
  for (const other of ['P1_1', 'P0_11', '0_1', 'p0_1', 'P0_A', 'P0_Q']) expect(find(names, other)).toBeNull();
});

it('names that end alike take the place of one another', () => {
  const names = new RecentNames();
  names.keep('first');
  names.keep('last');
  expect(find(names, 'first')).toBeNull();
  expect(find(names, 'last')).toBe('last');
});

it('bytes above 127 are nobody’s', () => {
  const names = new RecentNames();
  names.keep('a1');
  expect(find(names, 'á1')).toBeNull();
  expect(find(names, 'a±')).toBeNull();
  expect(find(names, 'á', 'utf8')).toBeNull();
});
