import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, fieldsOf, type RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';
import { typesOf } from './snapshots-taken.ts';

const POLICY = `
mode: protect
hold: { mode: live, timeout: 1m, approvals: 1 }
rules:
  - { name: agents, match: { application: [agent] , risk: [high] }, action: hold, hold: { mode: ticket } }
  - { name: as well as can be, match: { application: [careless] }, action: snapshot, snapshot: best_effort }
  - { name: only with, match: { application: [strict] }, action: snapshot, without_plan: block }
  - { name: if possible, match: { application: [loose], operation: [delete] }, action: snapshot, without_plan: allow }
  - { name: first a person, match: { application: [held], operation: [delete] }, action: hold }
  - { name: what changes, match: { operation: [update, delete, drop table] }, action: snapshot }
  - { name: the rest, match: {}, action: allow }
`;

/** What only the catalog tells: no plan goes through such a rule. */
const RULED = `drop table if exists ruled cascade; create table ruled (id int); insert into ruled values (1), (2);
  create rule more as on delete to ruled do also delete from other`;
const BY_TEXT = 'delete from precious where random() < 2 and id = 1';
const BY_CATALOG = 'delete from ruled where id = 1';

const one = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute()]);

describe.each([18, 15] as const)(
  'what has to have a snapshot and no exact plan, on PostgreSQL %i',
  (version) => {
    let fixture: DecisionFixture;
    let client: RawClient;
    beforeAll(async () => {
      fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    });
    afterAll(async () => {
      await fixture?.stop();
    });
    beforeEach(async () => {
      await fixture.reset();
      await fixture.postgres.sql(RULED);
      client = await fixture.client();
      return () => client.terminate();
    });

    const ruledRows = async () => (await fixture.postgres.sql('select count(*) from ruled'))[0]![0];

    async function approved(id: string, why: string): Promise<void> {
      const approval = await fixture.approval(id);
      expect(approval['reason']).toContain(`it will have no snapshot, because ${why}`);
      await fixture.resolve(id, 'approve');
    }

    async function recorded(id: string): Promise<Record<string, unknown>> {
      return (await fixture.auditEvents((event) => event['approval_id'] === id && 'end' in event, 1))[0]!;
    }

    it.each([
      [BY_TEXT, 'random may answer differently'],
      [BY_CATALOG, 'a rule rewrites what is done to ruled'],
      [
        'delete from precious where id = 1; discard plans',
        'it is one of several statements in one text, one of which is discard',
      ],
    ])('is held with the reason, and runs when it is approved: %s', async (sql, why) => {
      client.write(fe.query(sql));
      const id = await heldId(client);
      expect(await fixture.preciousRows()).toBe(10);
      await approved(id, why);
      expect(typesOf(await client.untilReady())).toMatch(/^C+Z$/);
      expect((await fixture.preciousRows()) + Number(await ruledRows())).toBeLessThan(12);
      expect(await recorded(id)).toMatchObject({
        action: 'hold',
        end: 'completed',
        rule: 'what changes',
        snapshot: expect.stringContaining(`none: ${why}`),
      });
    });

    it.each([
      [BY_TEXT, 'random may answer differently'],
      [BY_CATALOG, 'a rule rewrites what is done to ruled'],
    ])('is held at its Bind in the extended protocol: %s', async (sql, why) => {
      client.write(one(sql), one('select 1'), fe.sync());
      const id = await heldId(client);
      await approved(id, why);
      expect(typesOf(await client.untilReady())).toMatch(/^1?2C12DCZ$/);
      expect(await recorded(id)).toMatchObject({ end: 'completed', snapshot: `none: ${await noneOf(id)}` });
    });

    async function noneOf(id: string): Promise<string> {
      return String((await fixture.approval(id))['reason'])
        .split(', because ')
        .at(-1)!;
    }

    it('is held in the transaction of the client, which goes on', async () => {
      await client.query('begin');
      await client.query('delete from precious where id = 5');
      client.write(fe.query(BY_CATALOG));
      await approved(await heldId(client), 'a rule');
      expect(statusOf(await client.untilReady())).toBe('T');
      await client.query('commit');
      expect(await fixture.preciousRows()).toBe(9);
      expect(await ruledRows()).toBe('1');
    });

    it.each([BY_TEXT, BY_CATALOG])('is run by a ticket that says so: %s', async (sql) => {
      const agent = await fixture.client({ application_name: 'agent' });
      const ticketOf = async (): Promise<string> => {
        const errors = errorsOf(await agent.query(sql));
        expect(errors).toMatchObject([{ C: 'HF001' }]);
        return (JSON.parse(errors[0]!['D']!) as { approval_id: string }).approval_id;
      };
      const held = await ticketOf();
      await fixture.resolve(held, 'approve');
      // That there is no plan turns out when it is about to run, and is asked about by itself.
      const id = await ticketOf();
      expect(id).not.toBe(held);
      expect(await ticketOf()).toBe(id);
      expect((await fixture.approval(id))['binding']).toMatchObject({ without_snapshot: expect.any(String) });
      await fixture.resolve(id, 'approve');
      expect(errorsOf(await agent.query(sql))).toEqual([]);
      const isRun = (event: Record<string, unknown>) =>
        event['approval_id'] === id && event['end'] === 'completed';
      const [ran] = await fixture.auditEvents(isRun, 1);
      expect(ran).toMatchObject({ snapshot: expect.stringContaining('none: ') });
      await agent.terminate();
    });

    it('is denied, and nothing of it has run', async () => {
      client.write(fe.query(BY_CATALOG));
      await fixture.resolve(await heldId(client), 'deny');
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
      expect(await ruledRows()).toBe('2');
      client.write(one('insert into other values (7)'), one(BY_CATALOG), fe.sync());
      await fixture.resolve(await heldId(client), 'deny');
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
      expect((await fixture.postgres.sql('select count(*) from other'))[0]![0]).toBe('0');
      expect(statusOf(await client.query('select 1'))).toBe('I');
    });

    it('has a text that is read elsewhere, and is asked about once', async () => {
      client.write(fe.query(`${BY_TEXT} and '${'x'.repeat(100_000)}' <> ''`));
      await approved(await heldId(client), 'random may answer differently a second time');
      expect(typesOf(await client.untilReady())).toBe('CZ');
      client.write(one(`${BY_TEXT} and '${'x'.repeat(100_000)}' <> ''`), fe.sync());
      await approved(await heldId(client), 'random may answer differently a second time');
      expect(typesOf(await client.untilReady())).toMatch(/^1?2CZ$/);
    });

    it('waits for a person anyway, who is asked again where there turns out to be none', async () => {
      const held = await fixture.client({ application_name: 'held' });
      held.write(fe.query(BY_CATALOG));
      const first = await heldId(held);
      expect((await fixture.approval(first))['reason']).not.toContain('no snapshot');
      await fixture.resolve(first, 'approve');
      await approved(await heldId(held), 'a rule');
      expect(typesOf(await held.untilReady())).toBe('CZ');
      held.write(one(BY_TEXT), fe.sync());
      await fixture.resolve(await heldId(held), 'approve');
      await approved(await heldId(held), 'random');
      expect(typesOf(await held.untilReady())).toBe('2CZ');
      await held.terminate();
    });

    it('is refused where the policy blocks it', async () => {
      const strict = await fixture.client({ application_name: 'strict' });
      for (const sql of [BY_TEXT, BY_CATALOG]) {
        expect(errorsOf(await strict.query(sql))).toMatchObject([{ C: 'HF002' }]);
        strict.write(one(sql), fe.sync());
        expect(errorsOf(await strict.untilReady())).toMatchObject([{ C: 'HF002' }]);
      }
      await strict.terminate();
      expect([await fixture.preciousRows(), await ruledRows()]).toEqual([10, '2']);
    });

    it.each(['loose', 'careless'])('runs without where the policy lets it: %s', async (application) => {
      const loose = await fixture.client({ application_name: application });
      expect(typesOf(await loose.query(BY_CATALOG))).toBe('CZ');
      loose.write(one(BY_TEXT), fe.sync());
      expect(typesOf(await loose.untilReady())).toBe('12CZ');
      const events = await fixture.auditEvents(
        ({ application: by, snapshot }) => by === application && String(snapshot).startsWith('none: '),
        2,
      );
      expect(events.map(({ action }) => action)).toEqual(['snapshot', 'snapshot']);
      await loose.terminate();
    });

    describe('by the time of its Execute, and had one at its Bind,', () => {
      const SQL = 'delete from precious where id = 1';
      const LATE = `create table late () inherits (precious); insert into late values (1, 'late');
        create function late_row() returns trigger language plpgsql as $$ begin return null; end $$;
        create constraint trigger late after delete on late deferrable initially deferred
          for each row execute function late_row()`;
      beforeEach(() => async () => {
        await fixture.postgres.sql('drop table late; drop function late_row');
      });

      const rows = async () =>
        Number((await fixture.postgres.sql('select count(*) from only precious'))[0]![0]);

      async function bound(application: string): Promise<RawClient> {
        const by = await fixture.client({ application_name: application });
        by.write(fe.parse('', SQL), fe.bind(), fe.flush());
        await by.until('2');
        await fixture.postgres.sql(LATE);
        by.write(fe.execute(), fe.sync());
        return by;
      }

      it('is held with the reason, and runs when it is approved', async () => {
        const by = await bound('late');
        const id = await heldId(by);
        expect(await rows()).toBe(10);
        await approved(id, '');
        expect(typesOf(await by.untilReady())).toBe('CZ');
        expect(await rows()).toBe(9);
        expect(await recorded(id)).toMatchObject({ end: 'completed', snapshot: `none: ${await noneOf(id)}` });
        await by.terminate();
      });

      it('is denied, refused, or runs without', async () => {
        const by = await bound('late');
        await fixture.resolve(await heldId(by), 'deny');
        expect(errorsOf(await by.untilReady())).toMatchObject([{ C: '42501' }]);
        await by.terminate();
        for (const [application, code] of [
          ['strict', 'HF002'],
          ['loose', ''],
        ] as const) {
          await fixture.postgres.sql('drop table late; drop function late_row');
          const other = await bound(application);
          expect(errorsOf(await other.untilReady()).map(({ C }) => C)).toEqual(code === '' ? [] : [code]);
          await other.terminate();
        }
        expect(await rows()).toBe(9);
      });
    });

    it('is given up by a client that goes', async () => {
      const gone = await fixture.client();
      gone.write(fe.query(BY_CATALOG));
      const id = await heldId(gone);
      gone.destroy();
      await fixture.untilApprovalIs(id, 'disconnected');
      expect(await ruledRows()).toBe('2');
    });

    it('is told in the notice', async () => {
      client.write(fe.query(BY_CATALOG));
      const notice = fieldsOf((await client.until('N')).at(-1)!);
      expect(notice['D']).toContain(
        'it will have no snapshot, because a rule rewrites what is done to ruled',
      );
      client.destroy();
      client = await fixture.client();
    });
  },
);
