import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { SNAPSHOTS, startGateway } from '../support/gateway.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { type KeptRows, keptRows } from './kept-rows.ts';
import { EVERY_CHANGE, typesOf } from './snapshots-taken.ts';

/** A Query that changes one row runs behind its capture, in the same round trip, where the plan is foreseen. */
describe.each([15, 18] as const)(
  'a Query of one row that runs behind its capture, on PostgreSQL %i',
  (version) => {
    const kept = keptRows(version);
    const { row } = kept;
    let { taken, client, other }: KeptRows = kept;

    beforeEach(async () => {
      ({ taken, client, other } = kept);
      // So that there is a plan.
      await client.rows(`update kept set note = 'new' where id = 1`);
      taken.clear();
    });

    /** Those of the only snapshot. */
    async function images(): Promise<{ before: string[]; after: string[] }> {
      const [only, ...more] = await taken.images();
      expect(more).toEqual([]);
      return only!;
    }

    it.each([
      `update kept set note = 'late' where id = 3`,
      `  UPDATE public.kept k SET note = 'late' WHERE 3 = k.id AND note = 'row 3' ; \n`,
      `update only kept as "K" set (note, amount) = ('late', 3) where "K".id = '3'::int`,
      `update kept set note = 'late' where id = 3 -- and so on`,
      `update kept set note = 'late' where id = 3 returning id`,
    ])('keeps the row before it and after it: %s', async (sql) => {
      const messages = await client.query(sql);
      expect(typesOf(messages)).toBe(sql.includes('returning') ? 'TDCZ' : 'CZ');
      expect(statusOf(messages)).toBe('I');
      expect(await row(3)).toEqual(['late', '3']);
      const { before, after } = await images();
      expect([before.length, after.length]).toEqual([1, 1]);
      expect(before[0]).toContain('row 3');
      expect(after[0]).toContain('late');
      const proof = (await taken.all())[0]!.tables[0]!.proof;
      expect(proof).toEqual({ captured: 1, affected: null, server_delta: 1 });
    });

    it('keeps what it deletes, and nothing of what is not there', async () => {
      expect(typesOf(await client.query('delete from kept where id = 4'))).toBe('CZ');
      expect(await row(4)).toBeUndefined();
      const { before, after } = await images();
      expect([before.length, after.length]).toEqual([1, 0]);
      taken.clear();
      for (const sql of ['delete from kept where id = 4', `update kept set note = 'x' where id = 4`]) {
        const messages = await client.query(sql);
        expect(messages[0]!.body.toString('latin1')).toMatch(/^(DELETE|UPDATE) 0\0$/);
      }
      expect(await taken.all()).toEqual([]);
    });

    it('is recorded as any other', async () => {
      const named = await taken.fixture.client({ application_name: 'recorded' });
      for (const id of [5, 6]) await named.query(`update kept set note = 'recorded' where id = ${id}`);
      await named.terminate();
      const events = await taken.fixture.auditEvents((event) => event['application'] === 'recorded', 2);
      const ids = (await taken.all()).map(({ id }) => id);
      const asAny = { end: 'completed', rows: 1, transaction_status: 'I' };
      expect(events).toMatchObject(ids.map((snapshot) => ({ ...asAny, snapshot })));
    });

    it('is recorded once where it is decided anew, because there is no plan any more', async () => {
      const options = { upstreamPort: taken.fixture.postgres.port, policy: EVERY_CHANGE };
      const first = await startGateway({ ...options, environment: SNAPSHOTS });
      const named = await RawClient.open(first.port);
      for (const id of [5, 6]) await named.query(`update kept set note = 'kept' where id = ${id}`);
      await other.rows(`create function noted() returns trigger language plpgsql as $$ begin return null; end $$;
        create constraint trigger noted after update on kept deferrable initially deferred for each row execute function noted()`);
      const refused = await named.query(`update kept set note = 'late' where id = 3`);
      expect(errorsOf(refused)).toMatchObject([{ C: 'HF002' }]);
      await named.terminate();
      expect(await first.terminate()).toBe(0);
      const store = { HOLDFAST_STORE: `sqlite:${join(first.directory, 'h.db')}` };
      const next = await startGateway({ ...options, environment: { ...SNAPSHOTS, ...store } });
      const { body } = await next.http('/v1/audit');
      const { items } = body as { items: { end: string }[] };
      expect(items.map(({ end }) => end)).toEqual(['blocked', 'completed', 'completed']);
      for (const gateway of [next, first]) await gateway.stop();
    });

    it('runs no code that another session has given its table meanwhile, before that is planned for', async () => {
      await other.rows(`drop table if exists spare; create table spare as select 1 as id;
        create sequence if not exists runs; select setval('runs', 1, false);
        create function noted() returns trigger language plpgsql as
          $$ begin perform nextval('runs'); truncate spare; return new; end $$;
        create trigger noted before update on kept for each row execute function noted()`);
      const messages = await client.query(`update kept set note = 'late' where id = 3`);
      expect(errorsOf(messages)).toHaveLength(1);
      expect(await other.rows('select id from spare')).toEqual([['1']]);
      // Once, with its plan, and taken back; or not at all.
      expect((await other.rows('select last_value from runs'))[0]).toEqual(['1']);
    });

    it.each([
      ['another row has the value', `update kept set amount = 7 where id = 3`],
      ['a check forbids it', `update kept set amount = 1000 where id = 3`],
      ['a value is missing', `update kept set note = null where id = 3`],
      ['it is too large', `update kept set amount = amount * 2000000000 where id = 3`],
      ['it divides by zero', `update kept set amount = 1 / (amount - 3) where id = 3`],
      ['a column is not there', `update kept set note = 'x', missing = 1 where id = 3`],
      ['a parameter is not given', `update kept set note = $1 where id = 3`],
      ['its value is of another type', `update kept set note = 'x' where id = 'three'`],
    ])('fails as it would directly where %s', async (_, sql) => {
      const messages = await client.query(sql);
      expect(errorsOf(messages)).toEqual(errorsOf(await other.query(sql)));
      expect([errorsOf(messages).length, statusOf(messages)]).toEqual([1, 'I']);
      expect(await row(3)).toEqual(['row 3', '3']);
      expect(await taken.all()).toEqual([]);
      expect(typesOf(await client.query(`update kept set note = 'x' where id = 3`))).toBe('CZ');
    });

    it('reads the same blanks as its server', async () => {
      const sql = `update kept set note = 'late' where id = 3\v`;
      expect(errorsOf(await client.query(sql))).toEqual(errorsOf(await other.query(sql)));
      expect((await row(3))![0]).toBe(version < 16 ? 'row 3' : 'late');
    });

    it('takes the unnamed statement away, as a Query does', async () => {
      const bound = [fe.bind({}), fe.execute(), fe.sync()];
      client.write(Buffer.concat([fe.parse('', 'select 7'), fe.sync()]));
      await client.untilReady();
      await client.rows(`update kept set note = 'late' where id = 3`);
      client.write(Buffer.concat(bound));
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '26000' }]);
      // As one does in the place of which something else is done.
      await other.rows('create table if not exists gone (id int)');
      client.write(Buffer.concat([fe.parse('', 'select 7'), fe.sync()]));
      await client.untilReady();
      await client.rows('drop table gone');
      client.write(Buffer.concat(bound));
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '26000' }]);
      // The next one is there again, also where nothing comes of the statement in between.
      for (const sql of [`update kept set amount = 7 where id = 3`, 'delete from kept where id = 3']) {
        const between = [fe.parse('', 'select 7'), fe.sync(), fe.query(sql), ...bound];
        client.write(Buffer.concat([...between, fe.parse('', 'select 8'), ...bound]));
        for (let i = 0; i < 2; i++) await client.untilReady();
        expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '26000' }]);
        expect(typesOf(await client.untilReady())).toBe('12DCZ');
      }
    });

    it.each([
      ['a default', `update kept set amount = 7, run = default where id = 3`],
      ['a default among several', `update kept set (amount, run) = (7, default) where id = 3`],
      [
        'a function that is written as a column',
        `update kept set amount = 7, note = kept.taking where id = 3`,
      ],
    ])('takes a number once for %s where it fails', async (_, sql) => {
      await other.rows(`create sequence taken;
        alter table kept add column run int default nextval('taken');
        create or replace function taking(kept) returns text language sql volatile as
          $$ select nextval('taken')::text $$`);
      const next = await taken.fixture.client();
      try {
        // So that there is a plan.
        for (let i = 0; i < 2; i++) await next.rows(`update kept set note = 'new' where id = 1`);
        await other.rows(`select setval('taken', 1, false)`);
        expect(errorsOf(await next.query(sql))).toMatchObject([{ C: '23505' }]);
        expect(await other.rows('select last_value, is_called from taken')).toEqual([['1', 't']]);
      } finally {
        await next.terminate();
        await other.rows('drop function taking(kept); drop sequence taken cascade');
      }
    });

    it('keeps what others have made of the row while it waited for them', async () => {
      await other.rows(`begin; update kept set note = 'theirs' where id = 3`);
      const run = client.query(`update kept set note = note || ' and ours' where id = 3`);
      await taken.fixture.postgres.sql('select pg_sleep(0.2)');
      await other.rows('commit');
      expect(typesOf(await run)).toBe('CZ');
      expect((await row(3))![0]).toBe('theirs and ours');
      expect((await images()).before[0]).toContain('theirs');
    });

    it('ends where it is cancelled as it waits for others, or where they keep it for too long', async () => {
      await other.rows('begin; select from kept where id = 3 for update');
      const run = client.query(`update kept set note = 'late' where id = 3`);
      await taken.fixture.postgres.sql('select pg_sleep(0.2)');
      await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
      expect(errorsOf(await run)).toMatchObject([{ C: '57014' }]);
      await client.rows(`set lock_timeout = '50ms'`);
      expect(errorsOf(await client.query(`update kept set note = 'late' where id = 3`))).toMatchObject([
        { C: '55P03' },
      ]);
      await other.rows('rollback');
      expect(await row(3)).toEqual(['row 3', '3']);
      expect(typesOf(await client.query(`update kept set note = 'late' where id = 3`))).toBe('CZ');
    });

    it('commits nothing where it cannot be stored', async () => {
      await taken.whileUnstorable(async () => {
        const messages = await client.query(`update kept set note = 'late' where id = 3`);
        expect(errorsOf(messages)).toMatchObject([{ C: 'HF002' }]);
        expect(statusOf(messages)).toBe('I');
        expect(await row(3)).toEqual(['row 3', '3']);
      });
      expect(typesOf(await client.query(`update kept set note = 'late' where id = 3`))).toBe('CZ');
    });
  },
);
