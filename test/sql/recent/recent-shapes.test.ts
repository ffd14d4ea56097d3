import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AnalysisCache } from '../../../src/sql/cache.ts';
import { type Analysis, DEFAULT_TEXT_FACTS } from '../../../src/sql/effects.ts';
import { RecentShapes } from '../../../src/sql/recent/recent-shapes.ts';
import { hasShape, takeApart } from '../../../src/sql/recent/shape-pieces.ts';
import { readShape, shape } from '../../../src/sql/recent/template.ts';
import { cases, riskCases } from '../corpus.ts';
import { seed } from '../seed.ts';

const scratch = Buffer.alloc(20_000);

/** The shape as bytes, where it is known and has none above 127. */
function plainShapeOf(text: string): Buffer | null {
  const bytes = Buffer.from(`1'${text}'1`);
  readShape(bytes, 2, bytes.length - 2, scratch);
  if (!shape.known || shape.highBytes) return null;
  return Buffer.from(shape.length === 0 ? text : scratch.subarray(0, shape.length));
}

function isOf(shapeBytes: Buffer, text: string): boolean {
  const bytes = Buffer.from(`1'${text}'1`);
  return hasShape(takeApart(shapeBytes), bytes, 2, bytes.length - 2);
}

const literal = fc.oneof(
  fc.nat(999).map(String),
  fc.bigInt(0n, 10n ** 12n).map(String),
  fc.constantFrom(
    '2147483647',
    '1234567890',
    '3000000000',
    '0000000001',
    '1.',
    '.5',
    '1e5',
    '0x1',
    '1_0',
    '5a',
    '2147483648',
    '1.5.2',
    '1..2',
    '00000000001',
    '9'.repeat(40),
    '9'.repeat(41),
  ),
  fc.tuple(fc.nat(99), fc.nat(99)).map(([a, b]) => `${a}.${b}`),
  fc.string({ maxLength: 6 }).map((text) => `'${text.replaceAll("'", "''")}'`),
  fc.constantFrom("''", "''''", "'é'", "'password=x'", "'a\\'", "'", "'a"),
);
const word = fc.constantFrom(
  ...[
    'select ',
    ' ',
    '\n',
    ',',
    '(',
    ')',
    '+',
    '-',
    '::int',
    ' from t',
    '"a"',
    '"',
    'a',
    'é',
    'E',
    'U&',
    '&',
  ],
  ...['$1', '$12', '$', '$$', '.', ';', 'date ', '[', ']', '--', '/*', '*/', '\\', '\x01', '\x04', '1', '9'],
  ...[
    '$a$',
    'a$1',
    '$1a',
    '\v',
    '\x7f',
    '"\x01"',
    '"1"',
    "'a'\n'b'",
    '; ',
    '..',
    'float(',
    "&'a'",
    'UESCAPE ',
  ],
);
const LITERAL = /'(?:[^']|'')*'|\d+(?:\.\d+)?/g;
const statements = [
  ...riskCases().map((each) => each.sql),
  ...cases('scoped.txt').map((where) => `update t set a = 1, b = 'x' where ${where}`),
];
const someText = fc.oneof(
  fc.constantFrom(...statements),
  fc.array(fc.oneof(literal, word), { maxLength: 8 }).map((pieces) => `select ${pieces.join('')}`),
);
/** Another text that is mostly the same. */
const change = fc.oneof(
  fc.array(literal, { minLength: 4, maxLength: 4 }).map((literals) => (text: string) => {
    let next = 0;
    return text.replace(LITERAL, () => literals[next++ % literals.length]!);
  }),
  fc.tuple(fc.nat(60), fc.oneof(word, literal)).map(([at, piece]) => (text: string) => {
    return text.slice(0, at) + piece + text.slice(at);
  }),
  fc.tuple(fc.nat(60), word).map(([at, piece]) => (text: string) => {
    return text.slice(0, at) + piece + text.slice(at + 1);
  }),
  fc.nat(60).map((at) => (text: string) => text.slice(0, at)),
);

describe('a text', () => {
  it('has a shape that is known if and only if it would be read as that', () => {
    let alike = 0;
    fc.assert(
      fc.property(someText, change, (text, changed) => {
        const known = plainShapeOf(text);
        if (known === null) return;
        expect(isOf(known, text), text).toBe(true);
        const other = changed(text);
        const read = plainShapeOf(other);
        const isAlike = read?.equals(known) === true;
        if (isAlike) alike++;
        expect(isOf(known, other), `${text}\n${other}`).toBe(isAlike);
      }),
      { numRuns: 20_000, seed },
    );
    expect(alike).toBeGreaterThan(1_000);
  });
});

const analysis = { status: 'parsed' } as Analysis;

/** Asks for a text as the cache does. */
function ask(shapes: RecentShapes, text: string, shelf = 1): boolean {
  const bytes = Buffer.from(text);
  const found = shapes.find(bytes, 0, bytes.length, shelf);
  if (found !== null) return true;
  const known = plainShapeOf(text)!;
  shapes.missed(known, 0, known.length, shelf, analysis);
  return false;
}

describe('recent shapes', () => {
  it('are found from the third time on, whatever the literals', () => {
    const shapes = new RecentShapes();
    const texts = ["a 1 'x'", "a 22 'it''s'", "a 3 ''", "a 4 'y'"];
    expect(texts.map((text) => ask(shapes, text))).toEqual([false, false, true, true]);
    expect([ask(shapes, "a 4 'y'", 2), ask(shapes, "a 4.5 'y'"), ask(shapes, "a 5 'y' ")]).toEqual([
      false,
      false,
      false,
    ]);
  });

  it('are two of one statement, where one has a minus', () => {
    const shapes = new RecentShapes();
    for (let i = 0; i < 2; i++)
      for (const text of ['set a = 1', 'set a = 1', 'set a = -1', 'set a = -1']) ask(shapes, text);
    expect([ask(shapes, 'set a = 7'), ask(shapes, 'set a = -7'), ask(shapes, 'set a = 8')]).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('are not kept of long texts', () => {
    const shapes = new RecentShapes();
    const long = `select ${'x'.repeat(510)}`;
    expect([1, 2, 3, 4].map(() => ask(shapes, long))).toEqual([false, false, false, false]);
  });
});

describe('the cache', () => {
  it('says the same of a text the third time, by its shape, as the first', async () => {
    const cache = new AnalysisCache();
    await cache.ready();
    const read = (text: string) => {
      const bytes = Buffer.from(text);
      return cache.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS) as Analysis;
    };
    for (const text of [
      'delete from t where a = 1',
      "delete from t where a = 'x'",
      'delete from t where 1 = 1',
      'begin',
    ]) {
      const first = read(text);
      for (let i = 0; i < 4; i++) expect(read(text), text).toBe(first);
    }
    expect(read('delete from t where 1 = 2').risk).not.toBe(read('delete from t where a = 2').risk);
    const shadowed = { ...DEFAULT_TEXT_FACTS, catalogFirst: false };
    const bytes = Buffer.from('select lower(a) from t where b = 1');
    for (let i = 0; i < 4; i++) {
      expect((cache.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS) as Analysis).risk).toBe('safe');
      expect((cache.analyze(bytes, 0, bytes.length, shadowed) as Analysis).risk).toBe('high');
    }
    await cache.close();
  });
});
