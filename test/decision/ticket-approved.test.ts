import { beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { type DecisionFixture, heldId } from './fixture.ts';
import { ticketOf, tickets } from './tickets.ts';

const DELETE = 'delete from precious';

const under = tickets();
const { agent } = under;
let fixture: DecisionFixture;
beforeAll(() => {
  ({ fixture } = under);
});

describe('what has been approved runs only', () => {
  const asked = async (client: RawClient): Promise<string> => {
    const { id } = (await ticketOf(client, fe.query(DELETE))) as { id: string };
    await fixture.resolve(id, 'approve');
    return id;
  };
  const asksAnew = async (client: RawClient, why: RegExp): Promise<void> => {
    const ticket = await ticketOf(client, fe.query(DELETE));
    expect(ticket['message']).toMatch(why);
    const { drift } = await fixture.approval(String(ticket['id']));
    expect(drift).toEqual([expect.stringMatching(why)]);
    expect(await fixture.preciousRows()).toBe(10);
  };

  it('while its tables are as they were', async () => {
    const client = await agent();
    await asked(client);
    await fixture.postgres.sql('alter table precious add column more int');
    await asksAnew(client, /a table or function that it names has been altered/);
    await client.terminate();
  });

  describe('while what its tables rest on is as it was:', () => {
    beforeAll(async () => {
      await fixture.postgres.sql(`
        create table base (id int, note text); create table logged (id int, note text);
        create view inner_view as select * from base where id = 1; create view outer_view as select * from inner_view;
        create function fires() returns trigger language plpgsql as $$ begin return old; end $$;
        create trigger fires before delete on logged for each row execute function fires();
        create function sees(id int) returns bool language sql as 'select $1 = 1';
        create table guarded (id int); alter table guarded enable row level security;
        create policy p on guarded using (sees(id)); grant all on guarded to public;
        create domain small as int; create function is_small(int) returns bool immutable language sql as 'select $1 < 10';
        create table checked (id int check (is_small(id)), note text default 'x' || sees(1));
        create table parent (id int primary key); create view parents as select * from parent`);
    });

    it.each([
      [
        'a view below it',
        'delete from outer_view',
        'create or replace view inner_view as select * from base',
      ],
      [
        'the function of a trigger',
        'delete from logged',
        'create or replace function fires() returns trigger language plpgsql as $$ begin delete from base; return old; end $$',
      ],
      [
        'the function of a policy',
        'delete from guarded',
        "create or replace function sees(id int) returns bool language sql as 'select true'",
      ],
      [
        'the function of a check',
        'update checked set id = 1',
        "create or replace function is_small(int) returns bool immutable language sql as 'select true'",
      ],
      [
        'the function of a default',
        'update checked set note = default',
        "create or replace function sees(id int) returns bool language sql as 'select false'",
      ],
      [
        'what refers to the table of a view',
        'delete from parents',
        'create table child (id int references parent on delete cascade)',
      ],
    ])('%s', async (_, text, change) => {
      const client = await agent();
      const { id } = (await ticketOf(client, fe.query(text))) as { id: string };
      await fixture.resolve(id, 'approve');
      await fixture.postgres.sql(change);
      const ticket = await ticketOf(client, fe.query(text));
      expect(ticket['message']).toMatch(/a table or function that it names has been altered/);
      await fixture.resolve(String(ticket['id']), 'approve');
      // What has nothing to do with it does no harm.
      await fixture.postgres.sql(`create table beside_${id} (id int); analyze base, logged`);
      expect(errorsOf(await client.query(text))).toEqual([]);
      await client.terminate();
    });
  });

  it('by the search_path that it was asked with, which finds the same tables', async () => {
    const client = await agent();
    const id = await asked(client);
    await client.query('set search_path = elsewhere, public');
    await asksAnew(client, /the search_path is "elsewhere, public"/);
    await client.query('reset search_path');
    expect(errorsOf(await client.query(DELETE))).toEqual([]);
    expect(await fixture.approval(id)).toMatchObject({ grant: { consumed_by: expect.any(String) } });
    await client.terminate();
  });

  describe('with the settings that it was asked with,', () => {
    beforeAll(async () => {
      await fixture.postgres.sql(`
        create table rented (id int, tenant text); insert into rented select g, g % 2 from generate_series(1, 10) g;
        create view mine as select * from rented where tenant = current_setting('app.tenant', true);
        create table lent (id int, tenant text); alter table lent enable row level security;
        create policy own on lent using (tenant = current_setting('app.tenant', true)); grant all on lent to public;
        create function tenant() returns text language plpgsql stable as $$ begin return current_setting('app.tenant'); end $$`);
    });

    it.each([
      ['its own text', "delete from rented where tenant = current_setting('app.tenant')"],
      ['a name in dollars', 'delete from rented where tenant = current_setting($n$app.tenant$n$)'],
      ['a view', 'delete from mine'],
      ['a policy', 'delete from lent'],
      ['a function that it calls', 'delete from rented where tenant = tenant()'],
    ])('which are read by %s', async (_, text) => {
      const client = await agent();
      await client.query("set app.tenant = '2'");
      const { id } = (await ticketOf(client, fe.query(text))) as { id: string };
      await fixture.resolve(id, 'approve');
      await client.query("set app.tenant = '1'");
      expect((await ticketOf(client, fe.query(text)))['message']).toMatch(/a setting that it depends on/);
      await client.query("set app.tenant = '2'");
      await client.query("set app.other = '2'");
      expect(errorsOf(await client.query(text))).toEqual([]);
      expect(await fixture.postgres.sql('select count(*) from rented')).toEqual([['10']]);
      await client.terminate();
    });
  });

  it('with the rights that it was asked with', async () => {
    const client = await fixture.client({ application_name: 'careful' });
    await asked(client);
    await client.query('set role robot');
    await asksAnew(client, /the rights of "robot", not of "postgres"/);
    await client.terminate();
  });

  it('under the rule that it was asked under', async () => {
    const client = await agent();
    await asked(client);
    const other = await fixture.client({ application_name: 'pair' });
    await asksAnew(other, /the rule "two people" holds it, not "agents ask"/).catch(() => {});
    await other.terminate();
    await client.terminate();
  });

  it('where nothing has drifted while somebody waited', async () => {
    const client = await fixture.client({ application_name: 'waits' });
    client.write(fe.query(DELETE));
    const id = await heldId(client);
    await fixture.postgres.sql('alter table precious add column more int');
    await fixture.resolve(id, 'approve');
    const again = await heldId(client);
    expect(again).not.toBe(id);
    expect(await fixture.preciousRows()).toBe(10);
    expect((await fixture.approval(again))['drift']).toEqual([
      expect.stringContaining('a table or function that it names has been altered'),
    ]);
    await fixture.resolve(again, 'approve');
    expect(errorsOf(await client.untilReady())).toEqual([]);
    await client.terminate();
  });
});
