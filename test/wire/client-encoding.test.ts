import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { textToBytes } from '../../src/wire/client-encoding.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

describe('a text of ours in the encoding of a client', () => {
  it.each<[string | null, string, string]>([
    ['UTF8', 'größer ☃', 'größer ☃'],
    ['LATIN1', 'größer ☃', 'gr\xf6\xdfer ?'],
    ['LATIN9', '5 €', '5 \xa4'],
    ['WIN1252', '5 €', '5 \x80'],
    ['WIN1251', 'Ж ö', '\xc6 ?'],
    // One mark for one character, however many units or bytes it has elsewhere.
    ['LATIN1', '😀', '?'],
    ['SJIS', '表 \\ a', '? \\ a'],
    ['SQL_ASCII', 'größer', 'gr??er'],
    ['AN_ENCODING_OF_TOMORROW', 'größer', 'gr??er'],
    ['toString', 'größer', 'gr??er'],
    [null, 'größer', 'gr??er'],
    [null, 'plain', 'plain'],
  ])('%s: %s', (encoding, text, written) => {
    const bytes = encoding === 'UTF8' ? Buffer.from(written, 'utf8') : Buffer.from(written, 'latin1');
    expect(textToBytes(text, encoding)).toEqual(bytes);
  });
});

describe('what is written', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.sql(`
      create function as_written(code int, encoding text) returns text language plpgsql as $$
        begin return encode(convert_to(chr(code), encoding), 'hex'); exception when others then return null; end $$`);
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it.each([
    ...['LATIN1', 'LATIN2', 'LATIN3', 'LATIN4', 'LATIN5', 'LATIN6', 'LATIN7', 'LATIN8', 'LATIN9', 'LATIN10'],
    ...['ISO_8859_5', 'ISO_8859_6', 'ISO_8859_7', 'ISO_8859_8', 'KOI8R', 'WIN866', 'WIN874'],
    ...['WIN1250', 'WIN1251', 'WIN1252', 'WIN1253', 'WIN1254', 'WIN1255', 'WIN1256', 'WIN1257', 'WIN1258'],
  ])('is what PostgreSQL writes in %s', async (encoding) => {
    const rows = await postgres.sql(
      `select code, coalesce(as_written(code, '${encoding}'), '3f') from generate_series(160, 9999) code`,
    );
    expect(rows.filter(([, hex]) => hex !== '3f').length).toBeGreaterThan(50);
    const wrong = rows.filter(([code, hex]) => {
      const ours = textToBytes(String.fromCodePoint(Number(code)), encoding).toString('hex');
      // U+05BA is younger than PostgreSQL's table for it.
      return ours !== hex && !(encoding === 'WIN1255' && code === '1466');
    });
    expect(wrong).toEqual([]);
  });
});
