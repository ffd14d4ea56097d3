import { expect, it } from 'vitest';
import { highlight } from '../../src/console/sql/highlight.ts';
import { visibleParts } from '../../src/console/sql/visible.ts';

const kinds = (sql: string) =>
  highlight(sql)
    .filter(({ kind }) => kind !== 'plain')
    .map(({ kind, text }) => `${kind} ${text.trim()}`);

it.each([
  [
    'words',
    'delete from "Order" where id = 7',
    ['keyword delete', 'keyword from', 'name "Order"', 'keyword where', 'number 7'],
  ],
  ['strings', `E'it\\'s', 'it''s', U&'\\0041'`, [`string E'it\\'s'`, `string 'it''s'`, `string U&'\\0041'`]],
  ['quotes by dollars', `$a$ drop $b$ $a$ $1`, ['string $a$ drop $b$ $a$', 'parameter $1']],
  [
    'comments, which nest',
    `/* a /* b */ 'c' */ 1 -- '2'`,
    [`comment /* a /* b */ 'c' */`, 'number 1', `comment -- '2'`],
  ],
  ['what does not end', `select 'abc`, ['keyword select', `string 'abc`]],
  ['names that begin as words do', 'selection, from_here, tablé', []],
])('colours %s', (_, sql, expected) => {
  expect(kinds(sql)).toEqual(expected);
});

it('leaves out nothing of a text, whatever it is', () => {
  const odd = `'"$$ $x$ /* -- \\ e'\\ U&" $1a 1e+ .5.. 0x \u202e\ud83d\ude00 \ud800`;
  for (let from = 0; from < odd.length; from++) {
    const text = odd.slice(from);
    expect(
      highlight(text)
        .map((token) => token.text)
        .join(''),
    ).toBe(text);
  }
});

it('shows characters that nobody would see', () => {
  const shown = (text: string) =>
    visibleParts(text)
      .map(({ text, isMark }) => (isMark ? `[${text}]` : text))
      .join('');
  expect(shown('a\u202eb\u200bc\u0000d\u00a0e\u{e0041}\ud800')).toBe(
    'a[U+202E]b[U+200B]c[U+0000]d[U+00A0]e[U+E0041][U+D800]',
  );
  expect(shown('größe\t= \n日本 😀')).toBe('größe\t= \n日本 😀');
  expect(shown('')).toBe('');
});
