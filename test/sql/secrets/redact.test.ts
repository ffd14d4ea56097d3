import { afterAll, describe, expect, test } from 'vitest';
import { AnalysisCache } from '../../../src/sql/cache.ts';
import { secretParameters } from '../../../src/sql/secrets/secret-parameters.ts';

const cache = new AnalysisCache();
afterAll(() => cache.close());

describe('what is masked', () => {
  test.each([
    ["alter role x password 'abc'", "alter role x password '***'"],
    [
      "create user x with encrypted password 'abc' valid until '2030-01-01'",
      "create user x with encrypted password '***' valid until '2030-01-01'",
    ],
    [
      "create role x PASSWORD /* c */ E'a\\'bc' login",
      "create role x PASSWORD /* c */ E'***[5 characters]***' login",
    ],
    // What is put together, or put in by format().
    [
      "select dblink_connect('host=h user=u password=' || 'abc')",
      "select dblink_connect('host=h user=u password=' || '***[3 characters]***')",
    ],
    [
      "select dblink_connect(format('host=%s password=%s', 'h', 'abc'))",
      "select dblink_connect(format('host=%s password=***', '***[1 characters]***', '***[3 characters]***'))",
    ],
    [
      "select dblink_connect('postgres://u:' || 'abc' || '@h/db')",
      "select dblink_connect('postgres://u:' || '***[3 characters]***' || '***[5 characters]***')",
    ],
    [
      "select format('alter role %I password %L', 'u', 'abc')",
      "select format('alter role %I password %L', '***[1 characters]***', '***[3 characters]***')",
    ],
    // What is commented out.
    ["-- alter role x password 'abc'\nselect 1", "-- alter role x password '***'\nselect 1"],
    ["/* alter role x password 'abc'; */ select 1", "/* alter role x password '***'; */ select 1"],
    // Variables of code, whatever their type.
    [
      "do $$ declare v_password constant varchar(9) := 'abc'; begin null; end $$",
      "do $$ declare v_password constant varchar(9) := '***'; begin null; end $$",
    ],
    [
      "do $$ declare pw text default 'abc'; begin execute format('alter role x password %L', pw); end $$",
      "do $$ declare pw text default '***'; begin execute format('alter role x password %L', pw); end $$",
    ],
    ["select set_config('app.password', 'abc', true)", "select set_config('app.password', '***', true)"],
    [
      "select 1 from u where password in ('abc') or name = 'b'",
      "select 1 from u where password in ('***') or name = 'b'",
    ],
    ['alter role x password $a$b$a$', 'alter role x password $a$***$a$'],
    ["alter role x password U&'\\0061'", "alter role x password U&'***[5 characters]***'"],
    // The second literal is the end of the first, escapes and all.
    ["alter role x password E'a'\n  'b\\'c' login", "alter role x password E'***[10 characters]***' login"],
    [
      "create user mapping for u server s options (user 'a', password 'b')",
      "create user mapping for u server s options (user 'a', password '***')",
    ],
    [
      "create subscription s connection 'host=h password=p user=u' publication p",
      "create subscription s connection 'host=h password=*** user=u' publication p",
    ],
    [
      "select * from dblink('postgres://u:p@h/d', 'select 1') as x(a int)",
      "select * from dblink('postgres://u:***@h/d', 'select 1') as x(a int)",
    ],
    [
      "alter system set primary_conninfo = 'user=a password=''b c'' host=h'",
      "alter system set primary_conninfo = 'user=a password=***[7 characters]*** host=h'",
    ],
    [
      "do $$ begin execute 'alter role x password ''abc'''; end $$",
      "do $$ begin execute 'alter role x password ''***'''; end $$",
    ],
    ["update u set password = 'abc' where id = 1", "update u set password = '***' where id = 1"],
    // Columns that are named as what holds a secret.
    [
      "insert into users (id, user_password, name) values (1, 'abc', 'ana'), (2, E'd', 'ben')",
      "insert into users (id, user_password, name) values (1, '***', 'ana'), (2, E'***', 'ben')",
    ],
    [
      "insert into public.keys as k (\"apiKey\", note) overriding system value values ('abc'::text, 'api key') on conflict do nothing",
      "insert into public.keys as k (\"apiKey\", note) overriding system value values ('***'::text, 'api key') on conflict do nothing",
    ],
    [
      "insert into t (token) select 'abc' from s where a = 'b'",
      "insert into t (token) select '***' from s where a = 'b'",
    ],
    [
      "insert into t (id, secret_key) values (1, 'x') on conflict (id) do update set access_token = 'abc', n = 'd'",
      "insert into t (id, secret_key) values (1, 'x') on conflict (id) do update set access_token = '***', n = 'd'",
    ],
    [
      "update t set note = 'a', (n, api_key) = ('b', 'abc'), m = 'c' where token_kind = 'd'",
      "update t set note = 'a', (n, api_key) = ('b', '***'), m = 'c' where token_kind = 'd'",
    ],
    [
      "merge into t using s on t.id = s.id when matched then update set client_secret = 'abc' when not matched then insert (id, client_secret) values (1, 'def')",
      "merge into t using s on t.id = s.id when matched then update set client_secret = '***' when not matched then insert (id, client_secret) values (1, '***')",
    ],
    [
      "with x as (insert into t (token) values ('abc') returning id) insert into u (n) values ('d')",
      "with x as (insert into t (token) values ('***') returning id) insert into u (n) values ('d')",
    ],
    ["update t set password_hash = md5('abc')", "update t set password_hash = md5('***')"],
    [
      "update t set a = case when b then 'c' else 'd' end, e = f is distinct from 'g', token = 'abc'",
      "update t set a = case when b then 'c' else 'd' end, e = f is distinct from 'g', token = '***'",
    ],
    // Functions that are given one.
    [
      "update t set h = crypt('abc', gen_salt('bf')) where id = 1",
      "update t set h = crypt('***', gen_salt('bf')) where id = 1",
    ],
    [
      "select id from t where h = public.crypt('abc', h)",
      "select id from t where h = public.crypt('***', h)",
    ],
    [
      "insert into t (x) values (pgp_sym_encrypt(to_json('a'::text)::text, 'abc', 'cipher-algo=aes256'))",
      "insert into t (x) values (pgp_sym_encrypt(to_json('a'::text)::text, '***', 'cipher-algo=aes256'))",
    ],
    [
      "do $$ begin insert into t (n, token) values ('a', 'abc'); end $$",
      "do $$ begin insert into t (n, token) values ('a', '***'); end $$",
    ],
    // JSON.
    [
      `insert into t (j) values ('{"user": "ana", "password" : "a\\"b", "n": {"apiKey":"abc","pin_token": 1234}}')`,
      `insert into t (j) values ('{"user": "ana", "password" : "***[4 characters]***", "n": {"apiKey":"***","pin_token": ***}}')`,
    ],
    [`select '[{"token":"it''s"}]'::jsonb`, `select '[{"token":"***[5 characters]***"}]'::jsonb`],
    // Connection strings.
    [
      "select connect('host=h user_password=abc port=1')",
      "select connect('host=h user_password=*** port=1')",
    ],
    ["select connect(user_password => 'abc')", "select connect(user_password => '***')"],
  ])('%s', async (text, masked) => {
    expect((await cache.analyzeText(text)).redacted).toBe(masked);
  });

  test.each([
    'alter role x password null',
    "-- the user's password isn't here: see 'docs'\nselect 'a'",
    "select set_config('app.user', 'a', false), 'password'",
    "select 'abc'",
    'select * from passwords where id = 1',
    "insert into mails values ('a@b.c')",
    "insert into urls values ('https://example.org/a')",
    "insert into t (token_count, tokens, a) values ('1', '2', '3')",
    "delete from api_tokens where kind = 'a'",
    "update t set a = 'b' from tokens where token = 'c'",
    'insert into t (token) values ($1)',
    'select \'the token\' , \'["token"]\', \'{"tokens": "a"}\', \'{"token": null}\'',
  ])('nothing in %s', async (text) => {
    expect((await cache.analyzeText(text)).redacted).toBeNull();
  });

  test('a pair of the context comment', async () => {
    const text = "select 1 /* job='load', password='hunter2', db='postgres%3A%2F%2Fu%3Ahunter2%40h' */";
    const { context, redacted } = await cache.analyzeText(text);
    expect(context).toEqual({ job: 'load', password: '***', db: '***' });
    expect(redacted).not.toContain("password='hunter2'");
  });

  test('an error of the grammar does not quote what was masked', async () => {
    const { problem, redacted } = await cache.analyzeText('alter role x password hunter2');
    expect(`${problem} ${redacted}`).not.toContain('hunter2');
  });
});

test.each([
  ['insert into t (id, token, n) values ($1, $2::text, $3)', [2]],
  ['update t set password = $1, n = $2 where token = $3', [1]],
  ['update t set h = crypt($1, $2), pwd = lower($3) where id = $4', [1, 3]],
  ['select $1', []],
])('parameters that are secrets: %s', (text, numbers) => {
  expect([...secretParameters(text)]).toEqual(numbers);
});

describe('a mask hides no code', () => {
  const shown = async (text: string) => (await cache.analyzeText(text)).redacted ?? text;

  test.each([
    ['a value that a comment begins', "do $$ begin perform 1; -- pwd='\n delete from p; -- '\n end $$"],
    ['a word in a comment', "do $$ begin perform 1; /* password '*/ delete from p; end $$"],
    [
      'an address over two comments',
      'do $$ begin perform 1; /*x://a:*/delete/**/from/**/p;/*@*/ delete from p; end $$',
    ],
    ['a column of the name', "do $$ begin update u set password = 'x'; delete from p; end $$"],
    [
      'code in two levels of quotes',
      "do 'begin execute ''update u set pwd = ''''x''''; delete from p''; end'",
    ],
    ['code with escapes', "do E'begin update u set pwd = \\'x\\'; delete from p; end'"],
    ['code with a tag', "do $a$ begin execute $b$ set pwd to 'x'; delete from p $b$; end $a$"],
    ['code with characters by number', "do U&'begin update u set pwd = ''\\0078''; delete from p; end'"],
    [
      'what follows a place for a secret',
      "do $$ begin execute format('x password %L', 'y'); delete from p; end $$",
    ],
    ['what a secret is put to', "do $$ begin execute 'x password ' || 'y'; delete from p; end $$"],
    ['a literal that goes on', "do $$ begin x := E'a'\n'\\', password '; delete from p; end $$"],
    ['a type of the name', 'create function f() returns password language sql as $$ delete from p $$'],
    ['a language of the name', 'do language password $$ begin delete from p; end $$'],
    [
      'the body of a procedure',
      "create procedure f(password text) as 'begin delete from p; end' language plpgsql",
    ],
    ['nested comments', "do $$ begin /* a /* pwd='*/ '*/ delete from p; end $$"],
    ['a value without quotes', "do $$ begin execute 'delete from p where pwd=f()'; end $$"],
  ])('%s', async (_, text) => {
    expect(await shown(text)).toContain('delete from p');
  });

  test.each([
    ['a variable', "do $$ begin password := 'delete from p'; execute password; end $$", 13],
    ['an argument', "select run(password => 'delete from p')", 13],
    ['a comparison', "select run('select 1 where password=wipe()')", 6],
    ['words put together', "do $$ begin password := 'drop'; pwd := 'owned'; execute x; end $$", 9],
    ['literals behind one word', "do $$ begin execute concat_ws(password, 'drop', 'owned'); end $$", 9],
    [
      'values of a format',
      "do $$ begin execute format('%2$s %3$s --' || ' password %s', '', 'drop', 'owned'); end $$",
      9,
    ],
    [
      'a function that is made',
      "create function f() returns int as 'select run(secret => ''delete from p'')' language sql",
      13,
    ],
  ])('or its length is told: %s', async (_, text, chars) => {
    const { redacted, risk, statements } = await cache.analyzeText(text);
    expect(redacted).not.toContain('delete from p');
    expect([risk, statements[0]?.reasons[0]]).toEqual([
      'critical',
      `keeps ${chars} characters as a secret, which may be code`,
    ]);
  });

  test('a text that is not understood tells how much of it is not shown', async () => {
    const { redacted, status, statements } = await cache.analyzeText(
      "select 'a' , pwd; delete from p oh dear",
    );
    expect([status, redacted]).toEqual(['unparsable', "select 'a' , pwd ***[23 characters]***"]);
    expect(statements[0]?.reasons).toContain('keeps 23 characters as a secret, which may be code');
  });

  test('what a PREPARE keeps for later tells it too', async () => {
    const { statements } = await cache.analyzeText("prepare p as select run(password => 'delete from p')");
    expect(statements[0]?.session[0]).toMatchObject({ kind: 'prepare', effects: { risk: 'critical' } });
  });

  test.each([
    "insert into t (password, token) values ('a', 'b'), ('c', 'd')",
    "insert into t (token) values ('a long one with blanks; and more')",
    `insert into t (j) values ('{"password":"a","token":"b"}')`,
    "update t set password = 'correct horse battery', api_key = 'b' where id = 1 returning id",
  ])('but what is only stored makes it no more dangerous: %s', async (text) => {
    const { redacted, risk } = await cache.analyzeText(text);
    expect(redacted).toContain('***');
    expect(risk).not.toBe('critical');
  });

  test.each([
    ['a function behind RETURNING', "insert into t (token) values ('delete from p') returning run(token)"],
    [
      'a query behind it',
      "with x as (insert into t (token) values ('delete from p') returning token) select run(token) from x",
    ],
    [
      'another statement',
      "insert into t (token) values ('delete from p'); do $$ begin execute (select token from t); end $$",
    ],
    [
      'code around it',
      "do $$ begin insert into t (token) values ('delete from p'); execute (select token from t); end $$",
    ],
    [
      'an upsert',
      "insert into t (token) values ('delete from p') on conflict (token) do update set a = run(excluded.token)",
    ],
    ['a function of its own', "update t set token = run('delete from p')"],
    ['a function of the name', "select crypt('delete from p', 'a')"],
    ['JSON that is given to a function', `select run('{"token": "delete from p"}')`],
  ])('and tells its length where something may run it: %s', async (_, text) => {
    const { redacted, risk, statements } = await cache.analyzeText(text);
    expect(redacted).not.toContain('delete from p');
    expect(redacted).toContain('***[13 characters]***');
    expect([risk, statements.map(({ reasons }) => reasons.join()).join()]).toEqual([
      'critical',
      expect.stringContaining('keeps 13 characters as a secret, which may be code'),
    ]);
  });

  test.each([
    "insert into t (token) values (1, 'delete from p')",
    "insert into t (token, a) select a, 'delete from p' from s",
    "insert into t (token) values ((select run('x'))) on conflict do nothing; select 'delete from p'",
    "update t set (token, a) = (b, 'delete from p')",
    "update t set token = $1, a = 'delete from p'",
    "update t set token = null where a = 'delete from p'",
    "insert into t (token) values (default) returning run('delete from p')",
    'insert into t (token) values ("delete from p")',
    "insert into t (token) values (/* delete from p */ 'x')",
    "select crypt(a, 'delete from p')",
    `do $$ begin perform '{"token":"x"}'; delete from p; end $$`,
    `create function f() returns text language plv8 as $$ {"token": "delete from p"} $$`,
    `select run('select "token" : "delete from p"')`,
  ])('what stands beside a secret is shown: %s', async (text) => {
    expect(await shown(text)).toContain('delete from p');
  });

  test('one secret in code makes it no more dangerous than it is', async () => {
    const { risk } = await cache.analyzeText("do $$ begin alter role x password 'hunter2'; end $$");
    expect(risk).toBe('high');
  });
});
