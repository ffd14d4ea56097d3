import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { analyzeBytes, asTemplate } from '../../../src/sql/analyze.ts';
import { AnalysisCache } from '../../../src/sql/cache.ts';
import { type Analysis, DEFAULT_TEXT_FACTS } from '../../../src/sql/effects.ts';
import { Parser } from '../../../src/sql/parsing/parser.ts';
import { readShape, shape } from '../../../src/sql/recent/template.ts';
import { cases, riskCases } from '../corpus.ts';
import { seed } from '../seed.ts';

const scratch = Buffer.alloc(20_000);

function shapeOf(text: string): string | null {
  const bytes = Buffer.from(`xx${text}xx`);
  readShape(bytes, 2, bytes.length - 2, scratch);
  if (!shape.known) return null;
  return shape.length === 0 ? text : scratch.toString('latin1', 0, shape.length);
}

const [I, B, D, S] = ['\x01', '\x02', '\x03', '\x04'];

describe('the shape of a text', () => {
  test.each([
    ['select 1', `select ${I}`],
    ['select 1;', `select ${I};`],
    ["select 'a', 'it''s', ''", `select ${S}, ${S}, ${S}`],
    ['select 1.5, 00012, 123456789', `select ${D}, ${I}, ${I}`],
    [
      'select 1234567890, 2147483647, 2147483648, 3000000000, 12345678901',
      `select ${I}, 2147483647, 2147483648, ${B}, ${B}`,
    ],
    ['select $1, $23', 'select $1, $23'],
    ['select a1, "b 2", t.c3 from d4', 'select a1, "b 2", t.c3 from d4'],
    ['select -5, a-5, a - 5, a*-5', `select -${I}, a-${I}, a - ${I}, a*-${I}`],
    ["select interval '1 day', '1'::int", `select interval ${S}, ${S}::int`],
    ["select 'a'\n'b'", `select ${S}\n${S}`],
    ['select numeric(10,2), a[1:2]', `select numeric(${I},${I}), a[${I}:${I}]`],
    ['select \'é\', "ü", é', `select ${S}, "\xc3\xbc", \xc3\xa9`],
    ["where a='x'and b=5", `where a=${S}and b=${I}`],
  ])('%j is %j', (text, expected) => {
    expect(Buffer.from(shapeOf(text) ?? '', shapeOf(text) === text ? 'utf8' : 'latin1')).toEqual(
      Buffer.from(expected, expected === text ? 'utf8' : 'latin1'),
    );
  });

  test.each([
    "select E'a'",
    "select e'a'",
    "select B'1'",
    "select X'1'",
    "select N'a'",
    "select U&'a'",
    "select u& 'a' , U&'b'",
    "select date'2020-01-01'",
    "select 1'a'",
    'select $$a$$',
    'select $a$ 1 $a$',
    'select $1$$a$$',
    'select 5$$a$$',
    'select 1 -- c',
    'select 1 /* c */',
    "select 'a\\b'",
    'select \\ 1',
    "select 'a\0b'",
    'select 1\0',
    'select \x01',
    'select "a\x01b"',
    "select 'a",
    'select "a',
    'select 1e5',
    'select 1e-5',
    'select 0x1F',
    'select 1_000',
    'select .5',
    'select 5.',
    'select 1.5.2',
    'select 1..2',
    'select 5a',
    'select $1a',
    'select 1; select 2',
    'select a"b"5',
    "select 'password=x'",
    "select 'postgres://a:b@c/d'",
    "select 'alter role x password ''y'''",
    "select 'alter role x password $$y$$'",
  ])('%j has none that is surely known', (text) => {
    expect(shapeOf(text)).toBeNull();
  });
});

// --- the property: what is shared says what the text itself says ---

const cache = new AnalysisCache();
const parser = await Parser.create();
beforeAll(() => cache.ready());
afterAll(() => cache.close());

function analyzed(text: string): Analysis {
  const bytes = Buffer.from(text);
  return cache.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS) as Analysis;
}

function analyzedAlone(text: string): Analysis {
  return analyzeBytes(parser, Buffer.from(text), DEFAULT_TEXT_FACTS).analysis;
}

function withoutPositions(analysis: Analysis): unknown {
  const { problem: _, ...rest } = asTemplate(analysis);
  return rest;
}

const LITERAL = /'(?:[^']|'')*'|(?<![\w$."])\d+(?:\.\d+)?(?![\w$."'])/g;
const literal = fc.oneof(
  { weight: 3, arbitrary: fc.nat(999_999_999).map(String) },
  fc.bigInt(0n, 10n ** 20n).map(String),
  fc.tuple(fc.nat(9999), fc.nat(9999)).map(([a, b]) => `${a}.${b}`),
  {
    weight: 3,
    arbitrary: fc
      .string({ maxLength: 12 })
      .map((text) => `'${text.replaceAll("'", "''").replaceAll('\0', '')}'`),
  },
  fc.constantFrom(
    "'%'",
    "'{}'",
    "''",
    "'.*'",
    "'true'",
    "'replica'",
    "'session_replication_role'",
    "'password=x'",
    "'a\\'",
    "''''",
    '0',
    '1',
    "'--'",
    "'/*'",
  ),
);

const statements = [
  ...riskCases().map((each) => each.sql),
  ...cases('tautologies.txt').map((where) => `delete from t where ${where}`),
  ...cases('scoped.txt').map((where) => `update t set a = 1, b = 'x' where ${where}`),
];

test('the analysis of a shape is that of every text of it', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...statements),
      fc.array(literal, { minLength: 8, maxLength: 8 }),
      (text, literals) => {
        let next = 0;
        const changed = text.replace(LITERAL, () => literals[next++ % literals.length]!);
        const shared = analyzed(changed);
        expect(withoutPositions(shared)).toEqual(withoutPositions(analyzedAlone(changed)));
        if (shared.templated) expect(shared.statements).toHaveLength(1);
      },
    ),
    { numRuns: 6_000, seed },
  );
});

test('literals may stand against anything', () => {
  const piece = fc.oneof(
    literal,
    fc.constantFrom(
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
      'a',
      'E',
      'U&',
      '$1',
      '$$',
      '.',
      ';',
      'date ',
      '[',
      ']',
      '--',
      '/*',
      '*/',
      "'",
      '\\',
    ),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
      const text = `select ${pieces.join('')}`;
      const shared = analyzed(text);
      if (!shared.templated) return;
      expect(withoutPositions(shared)).toEqual(withoutPositions(analyzedAlone(text)));
    }),
    { numRuns: 20_000, seed },
  );
});

test('a shared analysis holds nothing of a literal', () => {
  const secret = 'zqxjkv';
  for (const text of statements) {
    const changed = text.replace(/'(?:[^']|'')*'/g, `'${secret}'`);
    analyzed(changed);
    const again = analyzed(changed);
    if (again.templated) expect(JSON.stringify(again)).not.toContain(secret);
  }
});

test('what depends on a literal is not shared', () => {
  const pairs: readonly [string, string][] = [
    ["delete from t where a like 'x'", "delete from t where a like '%'"],
    [
      "select set_config('timezone', 'UTC', false)",
      "select set_config('session_replication_role', 'replica', false)",
    ],
    ['delete from t where id < 5 or id > 10', 'delete from t where id < 10 or id > 5'],
    ["delete from t where id <> all ('{1}')", "delete from t where id <> all ('{}')"],
    ['select a::float(5) from t', 'select a::float(99) from t'],
  ];
  for (const [harmless, harmful] of pairs) {
    const first = analyzed(harmless);
    const second = analyzed(harmful);
    expect(first.templated ?? second.templated, harmless).toBeUndefined();
    expect(second.risk, harmful).toBe('critical');
    expect(first.risk).not.toBe('critical');
  }
});
