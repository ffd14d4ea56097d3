import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { type ExtendedByTest, extendedByTest } from './extended-by-test.ts';
import { heldId } from './fixture.ts';
import { typesOf } from './snapshots-taken.ts';

describe.each([18, 15] as const)(
  'a statement of the extended protocol that fails, waits or is refused on PostgreSQL %i',
  (version) => {
    const under = extendedByTest(version);
    const { asDirectly } = under;
    let { taken, client, direct }: ExtendedByTest = under;
    beforeEach(() => {
      ({ taken, client, direct } = under);
    });

    it('is followed in its segment by a failure, which takes it back', async () => {
      await asDirectly(
        fe.parse('', 'delete from precious where id = 1'),
        fe.bind(),
        fe.execute(),
        fe.parse('', 'select 1/0'),
        fe.bind(),
        fe.execute(),
        fe.parse('', 'delete from precious where id = 2'),
        fe.bind(),
        fe.execute(),
        fe.sync(),
      );
      expect(await taken.fixture.preciousRows()).toBe(10);
    });

    it('fails as it would directly', async () => {
      await asDirectly(
        fe.parse('', `update precious set id = 2 where id = $1`),
        fe.bind({ parameters: ['1'] }),
        fe.execute(),
        fe.sync(),
      );
      await asDirectly(fe.parse('', `delete from nowhere`), fe.bind(), fe.execute(), fe.sync());
      await asDirectly(fe.bind({ statement: 'unknown' }), fe.execute(), fe.sync());
      await asDirectly(
        fe.parse('', `truncate nowhere`),
        fe.bind(),
        fe.describe('P'),
        fe.execute(),
        fe.sync(),
      );
      for (const begin of ['begin', 'begin read only']) {
        const truncate = fe.parse('', 'truncate precious, nowhere');
        await asDirectly(...executed(begin), truncate, fe.bind(), fe.describe('P'), fe.execute(), fe.sync());
        await asDirectly(...executed('rollback'), fe.sync());
      }
      await asDirectly(
        fe.parse('', 'delete from precious where id = $1'),
        fe.bind(),
        fe.execute(),
        fe.sync(),
      );
      await asDirectly(
        fe.parse('', 'delete from precious where id = $1'),
        fe.bind({ parameters: ['x'] }),
        fe.execute(),
        fe.sync(),
      );
      expect(await taken.all()).toEqual([]);
      expect(await taken.fixture.preciousRows()).toBe(10);
    });

    it('fails as it would directly in a failed block', async () => {
      for (const each of [client, direct]) {
        await each.query('begin');
        await each.query('select 1/0');
      }
      await asDirectly(fe.parse('', 'delete from precious'), fe.bind(), fe.execute(), fe.sync());
      expect(statusOf(await client.query('rollback'))).toBe('I');
    });

    it('with no exact plan is refused before any of it is planned, unless its rule lets it run without', async () => {
      const segment = [
        fe.parse('', 'delete from precious where random() < 2'),
        fe.bind(),
        fe.describe('P'),
        fe.execute(),
        fe.sync(),
      ];
      client.write(...segment);
      const messages = await client.untilReady();
      expect(typesOf(messages)).toBe('1EZ');
      expect(errorsOf(messages)).toMatchObject([{ C: 'HF002' }]);
      expect(await taken.fixture.preciousRows()).toBe(10);
      const careless = await taken.fixture.client({ application_name: 'careless' });
      careless.write(...segment);
      expect(typesOf(await careless.untilReady())).toBe('12nCZ');
      expect(await taken.fixture.preciousRows()).toBe(0);
      await careless.terminate();
    });

    it.each(['', 'p'])(
      'does nothing without its Execute, which a Sync comes in place of, by the name "%s"',
      async (portal) => {
        const one = Buffer.concat([fe.parse('one', 'delete from precious where id = $1'), fe.sync()]);
        for (const each of [client, direct]) {
          each.write(one);
          await each.untilReady();
        }
        const bound = (id: string) => fe.bind({ statement: 'one', portal, parameters: [id] });
        await asDirectly(
          fe.parse('', 'update other set id = 1'),
          fe.bind(),
          fe.execute(),
          bound('1'),
          fe.sync(),
        );
        await asDirectly(
          bound('2'),
          fe.execute(portal),
          fe.close('P', portal),
          bound('3'),
          fe.describe('P', portal),
          fe.sync(),
        );
        await asDirectly(fe.parse('', 'select 1/0'), fe.bind(), fe.execute(), bound('4'), fe.sync());
        await asDirectly(bound('5'), fe.sync());
        expect(await taken.all()).toMatchObject([{ statement: { parameters: 1 } }]);
        expect(await taken.fixture.preciousRows()).toBe(9);
      },
    );

    it('cannot be run by a FETCH of its portal', async () => {
      await client.query('begin');
      client.write(fe.parse('', 'delete from precious returning id'), fe.bind({ portal: 'p' }), fe.sync());
      expect(typesOf(await client.untilReady())).toBe('12Z');
      const messages = await client.query('fetch all from p');
      expect(errorsOf(messages)).toMatchObject([{ C: 'HF002' }]);
      expect(statusOf(messages)).toBe('E');
      await client.query('rollback');
      await client.query('begin');
      client.write(
        fe.parse('', 'delete from precious returning id'),
        fe.bind({ portal: 'p' }),
        fe.parse('', 'fetch all from p'),
        fe.bind(),
        fe.execute(),
        fe.sync(),
      );
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: 'HF002' }]);
      await client.query('rollback');
      expect(await taken.fixture.preciousRows()).toBe(10);
      // A portal that was only described stands in nobody's way.
      await client.query('begin');
      client.write(fe.parse('', 'delete from precious returning id'), fe.bind(), fe.describe('P'), fe.sync());
      expect(typesOf(await client.untilReady())).toBe('12TZ');
      client.write(fe.parse('', 'select 1'), fe.bind(), fe.execute(), fe.sync());
      expect(typesOf(await client.untilReady())).toBe('12DCZ');
      await client.query('rollback');
    });

    it('is taken back with its segment where the capture is not what was changed', async () => {
      await taken.fixture.postgres.sql('insert into other values (1)');
      await direct.query('begin; insert into other values (3); update precious set note = note where id = 1');
      client.write(
        fe.parse('', 'delete from precious where id = 9'),
        fe.bind(),
        fe.execute(),
        fe.parse(
          '',
          `update precious set note = 'n' where exists (select from other where other.id = precious.id)`,
        ),
        fe.bind(),
        fe.execute(),
        fe.sync(),
      );
      await eventually('the wait', async () => {
        const waits = `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`;
        return (await taken.fixture.postgres.sql(waits))[0]![0] === '1' ? null : 'nobody waits';
      });
      await direct.query('commit');
      const messages = await client.untilReady();
      expect(errorsOf(messages)).toMatchObject([{ C: '40001' }]);
      expect(typesOf(messages)).toBe('12C12EZ');
      expect(statusOf(messages)).toBe('I');
      expect(await taken.fixture.preciousRows()).toBe(10);
    });

    it('that fails at its Sync has committed nothing', async () => {
      await taken.fixture.postgres.sql('alter table other add unique (id) deferrable initially deferred');
      await taken.fixture.postgres.sql('insert into other values (1), (2)');
      client.write(fe.parse('', 'update other set id = 3'), fe.bind(), fe.execute(), fe.sync());
      const messages = await client.untilReady();
      expect(typesOf(messages)).toBe('12CEZ');
      expect(errorsOf(messages)).toMatchObject([{ C: '23505' }]);
      expect(await client.rows('select count(*) from other where id = 3')).toEqual([['0']]);
    });

    it('can be cancelled while its rows are locked by others, and its segment with it', async () => {
      await direct.query('begin; update precious set note = note where id = 1');
      client.write(
        fe.parse('', 'delete from precious where id = $1'),
        fe.bind({ parameters: ['1'] }),
        fe.execute(),
        fe.sync(),
      );
      await eventually('the wait', async () => {
        const waits = `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`;
        return (await taken.fixture.postgres.sql(waits))[0]![0] === '1' ? null : 'nobody waits';
      });
      await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
      const messages = await client.untilReady();
      expect(typesOf(messages)).toBe('12EZ');
      expect(errorsOf(messages)).toMatchObject([{ C: '57014' }]);
      await direct.query('rollback');
      expect(await taken.fixture.preciousRows()).toBe(10);
    });

    it('that was held is captured when it has been approved, however it comes', async () => {
      const held = await taken.fixture.client({ application_name: 'held' });
      const segment = [
        fe.parse('', 'delete from precious where id = $1'),
        fe.bind({ parameters: ['2'] }),
        fe.execute(),
      ];
      for (const [messages, answers] of [
        [[fe.query('delete from precious where id = 1')], 'CZ'],
        [[...segment, fe.sync()], 'CZ'],
      ] as const) {
        held.write(...messages);
        const id = await heldId(held);
        await taken.fixture.resolve(id, 'approve');
        expect(typesOf(await held.untilReady()).slice(-2)).toBe(answers);
        const snapshot = (await taken.all()).at(-1)!;
        expect(snapshot).toMatchObject({ approval_id: id, decision: { rule: 'first a person' } });
        const [event] = await taken.fixture.auditEvents((e) => e['approval_id'] === id, 1);
        expect(event).toMatchObject({ action: 'hold', snapshot: snapshot.id, rows: 1 });
      }
      expect(await taken.fixture.preciousRows()).toBe(8);
      await held.terminate();
    });

    it('that was held fails as it would directly where it gives other columns by now', async () => {
      const held = await taken.fixture.client({ application_name: 'held' });
      for (const each of [held, direct]) {
        each.write(fe.parse('all', 'delete from precious where id = $1 returning *'), fe.sync());
        await each.untilReady();
        await each.query('begin');
      }
      await taken.fixture.postgres.sql('alter table precious add column extra int');
      const bound = [fe.bind({ statement: 'all', parameters: ['1'] }), fe.execute(), fe.sync()];
      direct.write(...bound);
      expect(errorsOf(await direct.untilReady())).toMatchObject([{ C: '0A000' }]);
      held.write(...bound);
      const id = await heldId(held);
      await eventually('the preview', async () => {
        const { status } = await taken.fixture.gateway.http(`/v1/approvals/${id}/preview`);
        return status === 200 ? null : 'is being made';
      });
      await taken.fixture.resolve(id, 'approve');
      expect(errorsOf(await held.untilReady())).toMatchObject([{ C: '0A000' }]);
      await direct.query('rollback');
      await held.terminate();
      await taken.fixture.postgres.sql('alter table precious drop column extra');
    });

    it('of which surely no snapshot can be taken waits for somebody who is told so, and runs without', async () => {
      const held = await taken.fixture.client({ application_name: 'held' });
      for (const table of ['other_a', 'other_c'])
        await taken.fixture.postgres.sql(`create table ${table} (n int)`);
      const before = (await taken.all()).length;
      for (const [messages, why] of [
        [[fe.query('drop table other_a; discard plans')], 'several statements'],
        [[fe.query(`comment on table other_c is 'c'`)], 'this version takes none of comment'],
      ] as const) {
        held.write(...messages);
        const id = await heldId(held);
        const { reason } = await taken.fixture.approval(id);
        expect(reason).toContain('it will have no snapshot, because');
        expect(reason).toContain(why);
        await taken.fixture.resolve(id, 'approve');
        expect(errorsOf(await held.untilReady())).toEqual([]);
        const [event] = await taken.fixture.auditEvents((e) => e['approval_id'] === id, 1);
        expect(event).toMatchObject({ action: 'hold', snapshot: expect.stringContaining(`none: `) });
        expect(event!['snapshot']).toContain(why);
      }
      expect(await taken.all()).toHaveLength(before);
      await held.terminate();
    });

    it('keeps nobody waiting where the server owes answers that it does not give before a Sync', async () => {
      // Each of these once waited for ever.
      const [parse, bind] = [fe.parse('', 'select 1'), fe.bind()];
      client.write(parse, bind, fe.query('delete from precious where id = 1'), fe.sync());
      // The server ends such a segment by itself, and takes the portal away.
      expect(typesOf(await client.untilReady())).toBe('12CZ');
      expect(typesOf(await client.untilReady())).toBe('Z');
      await client.query('begin');
      client.write(parse, fe.query('delete from precious where id = 2'), fe.sync());
      expect(typesOf(await client.untilReady())).toBe('1CZ');
      expect(statusOf(await client.untilReady())).toBe('T');
      await client.query('rollback');
      client.write(fe.parse('', 'select 1'), fe.bind(), fe.execute());
      client.write(fe.parse('', 'delete from precious where id = 1'), fe.bind(), fe.execute(), fe.sync());
      expect(typesOf(await client.untilReady())).toBe('12DC12CZ');
      const copy = [fe.parse('', 'copy other from stdin'), fe.bind(), fe.execute()];
      client.write(
        ...copy,
        fe.parse('', 'delete from precious where id = 2'),
        fe.bind(),
        fe.execute(),
        fe.sync(),
      );
      direct.write(
        ...copy,
        fe.parse('', 'delete from precious where id = 2'),
        fe.bind(),
        fe.execute(),
        fe.sync(),
      );
      const wanted = typesOf(await direct.untilEnd());
      expect(typesOf(await client.untilEnd())).toBe(wanted);
      client = await taken.fixture.client();
      direct = await RawClient.open(taken.fixture.postgres.port);
      client.write(fe.query('copy other from stdin'), fe.query('delete from precious where id = 2'));
      direct.write(fe.query('copy other from stdin'), fe.query('delete from precious where id = 2'));
      expect(typesOf(await client.untilEnd())).toBe(typesOf(await direct.untilEnd()));
      expect(await taken.fixture.preciousRows()).toBe(9);
      client = await taken.fixture.client();
      direct = await RawClient.open(taken.fixture.postgres.port);
    });

    it('keeps nobody waiting behind a COPY that has failed, which may have swallowed a Sync', async () => {
      client.write(
        fe.query('copy other from stdin'),
        fe.sync(),
        fe.copyData('1\t2\n'),
        fe.copyFail('enough'),
      );
      expect(typesOf(await client.untilReady())).toBe('GEZ');
      client.write(fe.query('delete from precious where id = 1'));
      const [refused] = errorsOf(await client.untilReady());
      expect(refused === undefined || refused['C'] === 'HF002').toBe(true);
      client.write(fe.query('select 1'), fe.query('delete from precious where id = 2'));
      await client.untilReady();
      expect(typesOf(await client.untilReady())).toBe('CZ');
    });
  },
);

const executed = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()];
