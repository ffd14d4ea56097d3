import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

/** What may write and has no snapshot is refused, but for what brings or replaces functions here. */
const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: functions come and go, match: { operation: [create function, drop trigger] }, action: allow }
  - { name: FunctionCall, match: { risk: [forbidden] }, action: allow }
  - { name: what replaces, match: { function: [app.planned] }, action: allow }
`;

const READS = `create or replace function app.x() returns int language sql as 'select 1'`;
const WIPES = `create or replace function app.x() returns int language sql as 'select app.wipe()'`;
const SWAPS = `
create function app.swap() returns int language plpgsql as $f$ begin ${WIPES}; return 1; end $f$;
create function app.planned() returns int language plpgsql immutable as $$ begin return app.swap(); end $$;
`;

const SETUP = `
create schema app;
create table precious (id int primary key);
create function app.wipe() returns int language plpgsql as $$ begin delete from precious; return 1; end $$;
${SWAPS}create function app.hung() returns trigger language plpgsql as $f$ begin ${WIPES}; return new; end $f$;
create table hung (id int); create trigger hung before insert on hung for each row execute function app.hung();
create table later (id int);
create constraint trigger later after insert on later deferrable initially deferred for each row execute function app.hung();
`;

const bound = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()] as const;
const REFUSED = [expect.stringContaining('There is no exact plan, because')];
const CALL = 'select app.x()';

describe('a function that was found to read, and is another by now', () => {
  let fixture: DecisionFixture;
  let client: RawClient;
  let other: RawClient;

  const past = async (text: string) => await fixture.postgres.sql(text);
  const why = (messages: Awaited<ReturnType<RawClient['query']>>) =>
    errorsOf(messages).map(({ D, M }) => D ?? M ?? '');
  const says = async (text: string, by = client) => why(await by.query(text));

  beforeAll(async () => {
    const prepared = { max_prepared_transactions: '2' };
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, 18, prepared);
    await past('drop table if exists precious, other cascade');
    await past(SETUP);
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    await past(`${READS}; insert into precious select generate_series(1, 10) on conflict do nothing`);
    client = await fixture.client();
    other = await fixture.client();
    return async () => {
      client.destroy();
      other.destroy();
      expect(await fixture.preciousRows()).toBe(10);
    };
  });

  describe('because it was taken back', () => {
    beforeEach(async () => {
      await past(WIPES);
    });

    it('to a savepoint', async () => {
      await client.query('begin; savepoint s');
      expect(await says(READS)).toEqual([]);
      expect(await says(CALL)).toEqual([]);
      expect(await says('rollback to s')).toEqual([]);
      expect(await says(CALL)).toEqual(REFUSED);
    });

    it.each(['rollback', 'rollback and chain', 'rollback to s'])('by a %s just ahead', async (end) => {
      await client.query('begin; savepoint s');
      await client.query(READS);
      expect(await says(CALL)).toEqual([]);
      client.write(fe.query(end), fe.query(CALL));
      await client.untilReady();
      expect(why(await client.untilReady())).toEqual(REFUSED);
    });

    it.each(['rollback', 'commit'])('by a %s of a transaction that has failed', async (end) => {
      await client.query('begin');
      await client.query(READS);
      expect(await says(CALL)).toEqual([]);
      client.write(fe.query('select 1/0'), fe.query(end), fe.query(CALL));
      for (let i = 0; i < 2; i++) await client.untilReady();
      expect(why(await client.untilReady())).toEqual(REFUSED);
    });

    it.each([
      ['', [] as const],
      [', in a block that ends in it', bound('rollback')],
    ])('by the Sync just ahead, behind an error%s', async (_, ends) => {
      if (ends.length > 0) await client.query('begin');
      client.write(
        ...ends,
        ...bound(READS),
        ...bound(CALL),
        ...bound('select 1/0'),
        fe.sync(),
        fe.query(CALL),
      );
      expect(why(await client.untilReady())).toEqual(['division by zero']);
      expect(why(await client.untilReady())).toEqual(REFUSED);
    });

    it('with the trigger that replaces it', async () => {
      await past(READS);
      await client.query('begin; savepoint s');
      expect(await says('drop trigger hung on hung')).toEqual([]);
      expect(await says('insert into hung values (1)')).toEqual([]);
      await client.query('rollback to s');
      expect(await says(CALL)).toEqual([]);
      expect(await says('insert into hung values (1)')).toEqual([]);
      expect(await says(CALL)).toEqual(REFUSED);
    });
  });

  describe('because code has run that replaces it', () => {
    const replaces: Record<string, () => Promise<void>> = {
      'in a trigger': async () => {
        expect(await says('insert into hung values (1)')).toEqual([]);
      },
      'in a trigger of a constraint, when it is committed': async () => {
        expect(await says('insert into later values (1)')).toEqual([]);
      },
      'by a FunctionCall': async () => {
        const oid = Number((await past(`select 'app.swap'::regproc::oid`))[0]![0]);
        client.write(fe.functionCall(oid, []));
        expect(why(await client.untilReady())).toEqual([]);
      },
      'as a Bind is planned': async () => {
        client.write(fe.parse('', 'select app.planned()'), fe.bind(), fe.sync());
        expect(why(await client.untilReady())).toEqual([]);
      },
    };

    it.each(Object.entries(replaces))('%s', async (_, replace) => {
      expect(await says(CALL)).toEqual([]);
      expect(await says(CALL, other)).toEqual([]);
      await replace();
      expect(await says(CALL, other)).toEqual(REFUSED);
      expect(await says(CALL)).toEqual(REFUSED);
    });

    it('at SET CONSTRAINTS', async () => {
      await client.query('begin');
      expect(await says('insert into later values (1)')).toEqual([]);
      expect(await says(CALL)).toEqual([]);
      expect(await says('set constraints all immediate')).toEqual([]);
      expect(await says(CALL)).toEqual(REFUSED);
    });
  });

  describe('because another session has committed', () => {
    beforeEach(async () => {
      await client.query('begin');
      expect(await says(WIPES)).toEqual([]);
      expect(await says(CALL, other)).toEqual([]);
    });

    it('what was prepared before', async () => {
      expect(await says(`prepare transaction 'later'`)).toEqual([]);
      expect(await says(CALL, other)).toEqual([]);
      expect(await says(`commit prepared 'later'`)).toEqual([]);
      expect(await says(CALL, other)).toEqual(REFUSED);
    });

    it.each(['commit and chain', 'commit; begin'])('and has begun again: %s', async (end) => {
      expect(await says(end)).toEqual([]);
      expect(await says(CALL, other)).toEqual(REFUSED);
    });

    it('and something else is under way by now', async () => {
      client.write(fe.query('commit'), fe.query('select pg_sleep(60)'));
      await client.untilReady();
      expect(await says(CALL, other)).toEqual(REFUSED);
    });

    it('and was never told so', async () => {
      client.write(fe.query('commit; select pg_sleep(60)'));
      await eventually('the commit', async () => {
        const [row] = await past(`select prosrc from pg_proc where oid = 'app.x'::regproc`);
        return row![0] === 'select app.wipe()' ? null : 'is not there';
      });
      await past(
        `select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(60)' and pid <> pg_backend_pid()`,
      );
      await client.untilEnd();
      expect(await says(CALL, other)).toEqual(REFUSED);
    });
  });
});
