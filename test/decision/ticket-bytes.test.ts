import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { grant_for: 10m }
rules:
  - { name: waits, match: { application: [waits], risk: [high, critical, forbidden] }, action: hold, hold: { mode: live }, snapshot: off }
  - { name: comes again, match: { application: ["agent*"], risk: [high, critical, forbidden] }, action: hold, hold: { mode: ticket }, snapshot: off }
`;

let fixture: DecisionFixture;
let client: RawClient;
beforeAll(async () => {
  fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'off' });
});
afterAll(async () => await fixture?.stop());
beforeEach(async () => {
  await fixture.reset();
  client = await fixture.client({ application_name: 'agent' });
  return () => client.terminate();
});

/** The approval that a client is told to wait for. */
async function ticketOf(who: RawClient, ...messages: Buffer[]): Promise<string> {
  who.write(...messages);
  const errors = errorsOf(await who.untilReady());
  expect(errors).toMatchObject([{ C: 'HF001' }]);
  return (JSON.parse(errors[0]!['D']!) as { approval_id: string }).approval_id;
}

async function refusal(...messages: Buffer[]): Promise<Record<string, string>> {
  client.write(...messages);
  const [error] = errorsOf(await client.untilReady());
  expect(error).toMatchObject({ C: '42501', D: expect.stringContaining('no ticket can be given') });
  return error!;
}

describe('a text that is not UTF-8', () => {
  const green = Buffer.from("delete from precious where note = 'gr\xfcn'", 'latin1');
  const other = Buffer.from("delete from precious where note = 'gr\xf6n'", 'latin1');
  const bound = (text: Buffer) => [fe.parse('', text), fe.bind(), fe.execute(), fe.sync()];

  beforeEach(async () => {
    await fixture.postgres.sql("insert into precious values (20, 'grün'), (21, 'grön')");
    await client.query('set client_encoding = LATIN1');
  });

  it.each([
    ['a Query', (text: Buffer) => [fe.query(text)]],
    ['a Parse', bound],
  ])('gets a ticket in %s, for its bytes alone', async (_, sent) => {
    const id = await ticketOf(client, ...sent(green));
    expect(await ticketOf(client, ...sent(green))).toBe(id);
    expect((await fixture.approval(id))['statement']).toBe("delete from precious where note = 'gr\ufffdfcn'");
    await fixture.resolve(id, 'approve');
    expect(await ticketOf(client, ...sent(other))).not.toBe(id);
    client.write(...sent(green));
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await fixture.postgres.sql('select id from precious where id >= 20')).toEqual([['21']]);
  });

  it('is not what it would be in another encoding', async () => {
    const id = await ticketOf(client, fe.query(green));
    await fixture.resolve(id, 'approve');
    await client.query('set client_encoding = LATIN2');
    expect(await ticketOf(client, fe.query(green))).not.toBe(id);
    // What it is shown as can be sent as well, and is another statement.
    await client.query('set client_encoding = UTF8');
    const shown = "delete from precious where note = 'gr\ufffdfcn'";
    expect(await ticketOf(client, fe.query(shown))).not.toBe(id);
    expect(await fixture.preciousRows()).toBe(12);
  });

  it('that a PREPARE has made is refused with what to do', async () => {
    await client.query(Buffer.from("prepare it as delete from precious where note = 'gr\xfcn'", 'latin1'));
    expect((await refusal(fe.query('execute it')))['H']).toMatch(/extended query protocol/);
  });
});

describe('a FunctionCall', () => {
  const oid = async () =>
    Number((await fixture.postgres.sql("select 'public.wipe_precious'::regproc::oid"))[0]![0]);

  it('gets a ticket that names the function, and runs once when it was approved', async () => {
    const call = fe.functionCall(await oid(), []);
    const id = await ticketOf(client, call);
    expect(await ticketOf(client, call)).toBe(id);
    expect((await fixture.approval(id))['statement']).toBe(
      `-- FunctionCall, without SQL text, of the function with the OID ${await oid()}\npublic.wipe_precious()\nwith ()`,
    );
    await fixture.resolve(id, 'approve');
    client.write(call);
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await fixture.preciousRows()).toBe(0);
    expect(await ticketOf(client, call)).not.toBe(id);
  });

  it('is approved with its arguments, which are shown', async () => {
    const id = await ticketOf(client, fe.functionCall(177, ['1', "it's"]));
    expect((await fixture.approval(id))['statement']).toMatch(
      /OID 177\npg_catalog\.int4pl\(.*\)\nwith \('1', 'it''s'\)$/,
    );
    await fixture.resolve(id, 'approve');
    expect(await ticketOf(client, fe.functionCall(177, ['1', '2']))).not.toBe(id);
    expect(await ticketOf(client, fe.functionCall(178, ['1', "it's"]))).not.toBe(id);
  });

  it('is asked for anew where its function is another by now', async () => {
    const id = await ticketOf(client, fe.functionCall(await oid(), []));
    await fixture.resolve(id, 'approve');
    await fixture.postgres.sql(
      "create or replace function wipe_precious() returns int language sql as 'delete from precious; delete from other; select 1'",
    );
    expect(await ticketOf(client, fe.functionCall(await oid(), []))).not.toBe(id);
    expect(await fixture.preciousRows()).toBe(10);
  });
});

it('an Execute that would run something else than its Bind is refused with what to do, which then gets a ticket', async () => {
  await client.query('create schema if not exists scratch');
  await client.query('prepare it as select 1');
  client.write(fe.query('begin'));
  await client.untilReady();
  client.write(fe.parse('', 'execute it'), fe.bind({ portal: 'p' }), fe.sync());
  expect(errorsOf(await client.untilReady())).toEqual([]);
  await client.query('deallocate it');
  await client.query('prepare it as delete from precious');
  const error = await refusal(fe.execute('p'), fe.sync());
  expect(error['D']).toMatch(/what it names has come to mean something else since its Bind/);
  expect(error['H']).toMatch(/Send its Bind again/);
  await client.query('rollback');
  const again = [fe.parse('', 'execute it'), fe.bind({ portal: 'p' }), fe.execute('p'), fe.sync()];
  await fixture.resolve(await ticketOf(client, ...again), 'approve');
  client.write(...again);
  expect(errorsOf(await client.untilReady())).toEqual([]);
  expect(await fixture.preciousRows()).toBe(0);
});

describe('a setting that is read', () => {
  const makeReader = (body: string) =>
    fixture.postgres.sql(
      `create or replace function reads() returns text language plpgsql as $f$ ${body} $f$`,
    );

  it.each([
    ["delete from precious where note = current_setting('app.' || 'tenant', true)"],
    ["delete from precious where note = current_setting(E'app\\x2etenant', true)"],
    ["delete from precious where note = current_setting /* 'x' */ ('app.tenant', true)"],
    ['delete from precious where note = U&"current\\005fsetting"(\'app.tenant\')'],
  ])('by a name that is made as it runs gets no ticket, with the reason: %s', async (text) => {
    const error = await refusal(fe.query(text));
    expect(error['D']).toMatch(/reads a setting whose name is not written out/);
    expect(error['H']).toMatch(/give the name as a literal.*mode: live/);
  });

  it('by such a name waits live, for this session alone', async () => {
    const waiting = await fixture.client({ application_name: 'waits' });
    await waiting.query("set app.tenant = 'row 1'");
    waiting.write(fe.query("delete from precious where note = current_setting('app.' || 'tenant')"));
    const id = await heldId(waiting);
    expect(await fixture.approval(id)).toMatchObject({ mode: 'live', state: 'pending' });
    await fixture.resolve(id, 'approve');
    expect(errorsOf(await waiting.untilReady())).toEqual([]);
    expect(await fixture.preciousRows()).toBe(9);
    await waiting.terminate();
  });

  it.each([
    ["begin return current_setting('app.' || 'tenant', true); end"],
    ["begin return current_setting(lower('APP.TENANT'), true); end"],
  ])('by such a name in a function gets none either: %s', async (body) => {
    await makeReader(body);
    const error = await refusal(fe.query('delete from precious where note = reads()'));
    expect(error['D']).toMatch(/reads a setting whose name is not written out/);
  });

  it('by such a name in a policy of its table gets none either', async () => {
    await fixture.postgres.sql(
      `create policy p on precious using (note = current_setting('app.' || id::text, true)); alter table precious enable row level security`,
    );
    await refusal(fe.query('delete from precious'));
    await fixture.postgres.sql(
      `alter policy p on precious using (note = current_setting('app.tenant'::text, true))`,
    );
    await ticketOf(client, fe.query('delete from precious'));
  });

  it.each([
    ["begin return current_setting('app.tenant', true); end", {}],
    [
      "declare v text; begin execute 'select current_setting(''app.tenant'', true)' into v; return v; end",
      {},
    ],
    ['begin return current_setting($n$app.tenant$n$, true); end', {}],
    ["begin return current_setting('application_name'); end", { application_name: 'agent 2' }],
  ])('by a name that is written out is what the ticket is bound to: %s', async (body, parameters) => {
    await makeReader(body);
    const text = 'delete from precious where note = reads()';
    const id = await ticketOf(client, fe.query(text));
    await fixture.resolve(id, 'approve');
    const other = await fixture.client({ application_name: 'agent', ...parameters });
    await other.query("set app.tenant = 'two'");
    expect(await ticketOf(other, fe.query(text))).not.toBe(id);
    await other.terminate();
    client.write(fe.query(text));
    expect(errorsOf(await client.untilReady())).toEqual([]);
  });

  it('by a parameter is bound by its value', async () => {
    const bound = (name: string) => [
      fe.parse('', 'delete from precious where note = current_setting($1, true)'),
      fe.bind({ parameters: [name] }),
      fe.execute(),
      fe.sync(),
    ];
    await client.query("select set_config('app.tenant', 'one', false)");
    const id = await ticketOf(client, ...bound('app.tenant'));
    await fixture.resolve(id, 'approve');
    await client.query("select set_config('app.tenant', 'row 3', false)");
    expect(await ticketOf(client, ...bound('app.tenant'))).not.toBe(id);
    await client.query("select set_config('app.tenant', 'one', false)");
    client.write(...bound('app.tenant'));
    expect(errorsOf(await client.untilReady())).toEqual([]);
  });
});

describe('what runs behind the text is bound:', () => {
  const more = `
    create or replace function harmless() returns int language sql as 'select 1';
    create or replace function "x.y"() returns int language sql as 'select 1';
    create or replace function outside() returns int language sql begin atomic; select harmless(); end;
    create or replace function transition(int, int) returns int language sql as 'select 1';
    drop aggregate if exists total(int); create aggregate total(int) (sfunc = transition, stype = int);
    create or replace function checks(int) returns boolean language sql as 'select true';
    drop domain if exists small; create domain small as int check (checks(value));
    drop operator if exists public.= (varchar, varchar);
    create or replace function alike(varchar, varchar) returns boolean language sql as 'select true'`;
  beforeEach(async () => void (await fixture.postgres.sql(more)));

  const wipes = (head: string, value: string) =>
    `create or replace function ${head} language sql as 'delete from precious; select ${value}'`;

  it.each([
    ['a function whose name has a dot', 'select "x.y"()', wipes('"x.y"() returns int', '1')],
    ['what a function of SQL calls', 'select outside()', wipes('harmless() returns int', '1')],
    [
      'what an aggregate calls',
      'select total(id) from other',
      wipes('transition(int, int) returns int', '1'),
    ],
    [
      'the check of a domain',
      'delete from other where id = (1::small)::int',
      wipes('checks(int) returns boolean', 'true'),
    ],
    [
      'an operator that was not there',
      "insert into other select 1 from precious where note::varchar = 'row 1'::varchar returning wipe_precious()",
      'create operator public.= (leftarg = varchar, rightarg = varchar, function = alike)',
    ],
  ])('%s', async (_, text, after) => {
    const id = await ticketOf(client, fe.query(text));
    await fixture.resolve(id, 'approve');
    await fixture.postgres.sql(after);
    expect(await ticketOf(client, fe.query(text))).not.toBe(id);
    expect(await fixture.preciousRows()).toBe(10);
  });
});

describe('literals that were read when their statement was prepared', () => {
  const text = "delete from dated where day < '02/03/2026'";
  const bound = [fe.bind({ statement: 's' }), fe.execute(), fe.sync()];
  const prepare = async (who: RawClient) => {
    who.write(fe.parse('s', text), fe.sync());
    expect(errorsOf(await who.untilReady())).toEqual([]);
  };
  beforeEach(async () => {
    await fixture.postgres.sql(
      "drop table if exists dated; create table dated (day date); insert into dated select date '2026-01-01' + n from generate_series(1, 90) n",
    );
  });
  const left = async () => (await fixture.postgres.sql('select count(*) from dated'))[0]![0];

  it.each([
    ['SET', ["set datestyle = 'ISO, DMY'"], ["set datestyle = 'ISO, MDY'"]],
    [
      'SET LOCAL, which its transaction takes back',
      ['begin', "set local datestyle = 'ISO, DMY'"],
      ['commit'],
    ],
    ['a SET that fails', ['begin', "set datestyle = 'ISO, DMY'"], ['rollback']],
    [
      'a SET that a savepoint takes back',
      ['begin', 'savepoint a', "set datestyle = 'ISO, DMY'"],
      ['rollback to a'],
    ],
  ])('by other settings than it would run with are not approved: %s', async (_, before, after) => {
    await prepare(client);
    const id = await ticketOf(client, ...bound);
    await fixture.resolve(id, 'approve');
    for (const application_name of ['agent', 'waits']) {
      const other = await fixture.client({ application_name });
      for (const one of before) await other.query(one);
      await prepare(other);
      for (const one of after) await other.query(one);
      other.write(...bound);
      expect(errorsOf(await other.untilReady())).toMatchObject([
        {
          C: '42501',
          D: expect.stringContaining('DateStyle'),
          H: expect.stringContaining('Prepare it again'),
        },
      ]);
      await other.terminate();
    }
    expect(await left()).toBe('90');
    client.write(...bound);
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await left()).not.toBe('90');
  });

  it('of a PREPARE are not either', async () => {
    await client.query("set datestyle = 'ISO, DMY'");
    await client.query(`prepare s as ${text}`);
    await client.query("set datestyle = 'ISO, MDY'");
    client.write(fe.query('execute s'));
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
  });
});
