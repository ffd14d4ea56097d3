import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { AnalysisCache } from '../../../src/sql/cache.ts';
import { redact } from '../../../src/sql/secrets/redact.ts';
import { seed } from '../seed.ts';

const cache = new AnalysisCache();
afterAll(() => cache.close());

/** Letters that appear nowhere in the statements, so that whatever is left of a password shows. */
const password = fc
  .tuple(fc.string({ unit: fc.constantFrom(...'QZJXK07\'\\"$@:/=; \n%-*é'), minLength: 0, maxLength: 12 }))
  .map(([middle]) => `QZ${middle}JX`);

const quoted: readonly ((secret: string) => string)[] = [
  (secret) => `'${secret.replaceAll("'", "''")}'`,
  (secret) => `E'${secret.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`,
  (secret) => `$q$${secret}$q$`,
  (secret) => `U&'${secret.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`,
];

const statements: readonly ((literal: string, secret: string) => string)[] = [
  (literal) => `alter role x password ${literal}`,
  (literal) => `alter user x with encrypted  PASSWORD/*c*/${literal} login`,
  (literal) => `create role x login password\n-- comment\n${literal} valid until 'infinity'`,
  (literal) => `create group x password ${literal}; select 1`,
  (literal) => `create user mapping for x server s options (password ${literal})`,
  (literal) => `alter user mapping for x server s options (set password ${literal})`,
  (literal) => `do ${nest(`begin execute ${nest(`alter role x password ${literal}`)}; end`)}`,
  (literal) => `select dblink_exec('c', ${nest(`alter role x password ${literal}`)})`,
  (literal) => `do ${nest(`begin execute format('alter role x password %L', ${literal}); end`)}`,
  (literal) => `do ${nest(`begin execute 'alter role x password ' || quote_literal(${literal}); end`)}`,
  (literal) => `do $f$ begin execute $e$alter role x password $e$ || ${literal} || ' login'; end $f$`,
  (literal) => `create function f() returns int language sql as ${nest(`alter role x password ${literal}`)}`,
  (literal) => `alter role x password ${literal} oh dear this is not sql`,
  (literal) => `alter role x passwor ${literal}`,
  (literal) => `create user x pasword = ${literal} (`,
];

function nest(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A run of the password that no masking would leave by chance. */
function traces(secret: string): string[] {
  return ['QZ', 'JX'].filter((part) => secret.includes(part));
}

test('a password never survives', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...statements),
      fc.constantFrom(...quoted),
      password,
      async (statement, quote, secret) => {
        const text = statement(quote(secret), secret);
        const { redacted, problem } = await cache.analyzeText(text);
        for (const trace of traces(secret))
          expect(`${redacted ?? text} ${problem}`, text).not.toContain(trace);
      },
    ),
    { numRuns: 3_000, seed },
  );
});

test('a password in a connection string never survives', async () => {
  const simple = fc
    .string({ unit: fc.constantFrom(...'QZJXK07%*é-'), maxLength: 12 })
    .map((middle) => `QZ${middle}JX`);
  const strings: readonly ((secret: string) => string)[] = [
    (secret) => `host=h password=${secret} user=u`,
    (secret) => `host=h password = '${secret}' user=u`,
    (secret) => `postgres://u:${secret}@h:5432/d?sslmode=require`,
    (secret) => `postgresql://u:${secret}@h`,
    (secret) => `host=h sslpassword=${secret}`,
  ];
  const places: readonly ((literal: string) => string)[] = [
    (literal) => `create subscription s connection ${literal} publication p`,
    (literal) => `alter subscription s connection ${literal}`,
    (literal) => `select * from dblink(${literal}, 'select 1') as x(a int)`,
    (literal) => `alter system set primary_conninfo = ${literal}`,
    (literal) => `select set_config('primary_conninfo', ${literal}, false)`,
    (literal) => `insert into notes values (${literal})`,
    (literal) => `insert into notes values (${literal}`,
    (literal) => `do ${nest(`begin perform dblink_connect(${literal}); end`)}`,
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...strings),
      fc.constantFrom(...places),
      simple,
      async (string, place, secret) => {
        const text = place(nest(string(secret)));
        const { redacted, problem } = await cache.analyzeText(text);
        for (const trace of traces(secret))
          expect(`${redacted ?? text} ${problem}`, text).not.toContain(trace);
      },
    ),
    { numRuns: 2_000, seed },
  );
});

test('masking any bytes ends, and masks nothing twice', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...'pasword=\'"$/*-:@ \n\\E'), maxLength: 60 }),
      fc.boolean(),
      (text, understood) => {
        const once = redact(`password ${text}`, understood);
        if (once !== null) expect(once.text.length).toBeLessThan(text.length * 12 + 60);
      },
    ),
    { numRuns: 3_000, seed },
  );
});

describe('masking takes no longer for each character of a long text than of a short one', () => {
  const CHARS = 512 * 1024;
  const SHORTER = 4;
  /** What grows with the square of the length takes 16 times as long. */
  const FACTOR_MAX = 10;
  /** As much as a pause of the machine's that is nobody's fault. */
  const PAUSE_MS = 100;
  const tookMs = (text: string): number => {
    const started = performance.now();
    redact(text, true);
    redact(text, false);
    return performance.now() - started;
  };
  const parts = [
    'token,',
    '(',
    ',',
    '{"token":',
    '{"token":"\\',
    'crypt(',
    'set token=',
    'values(',
    'a',
    ' ',
    "''",
    '--',
    '/*',
    'x://a:',
    'postgres://a:',
    '/*pwd ',
    'pwd:=',
    'password ',
    "pwd=''a",
    'host=b ',
    '$a$',
    '@',
  ];
  const places: readonly ((part: string) => string)[] = [
    (part) => `select 'pwd ${part}'`,
    (part) => `select 'host=a password=${part}'`,
    (part) => `select 1 /* pwd=${part}`,
    (part) => `do '${part} pwd'`,
    (part) => `select pwd ${part}`,
    (part) => `insert into t (token) values ('{"token":"${part}`,
    (part) => `insert into t (token,${part}) values ('a')`,
  ];

  test.each(parts)('%j', (part) => {
    for (const place of places) {
      const long = place(part.repeat(CHARS / part.length));
      const short = place(part.repeat(CHARS / part.length / SHORTER));
      let [longMs, shortMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
      // The fastest of six is what it takes; most are known by the first.
      for (let tries = 0; tries < 6 && !(longMs < shortMs * FACTOR_MAX + PAUSE_MS); tries++) {
        shortMs = Math.min(shortMs, tookMs(short));
        longMs = Math.min(longMs, tookMs(long));
      }
      expect(longMs, long.slice(0, 60)).toBeLessThan(shortMs * FACTOR_MAX + PAUSE_MS);
    }
  });
});
