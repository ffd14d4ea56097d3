import { join } from 'node:path';
import pg from 'pg';
import { beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';
import { TICKET_POLICY, ticketIn, ticketOf, tickets } from './tickets.ts';

const DELETE = 'delete from precious';

const under = tickets();
const { agent } = under;
let fixture: DecisionFixture;
beforeAll(() => {
  ({ fixture } = under);
});

describe('a ticket', () => {
  it('is an error that a program can read, and its statement runs once when it was approved', async () => {
    const client = await agent();
    const ticket = await ticketOf(client, fe.query(DELETE));
    expect(ticket).toMatchObject({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/v1\/approvals\/apr_[0-9a-z]{20}$/),
      retry_after_s: 5,
    });
    const id = String(ticket['id']);
    expect(await fixture.approval(id)).toMatchObject({ state: 'pending', mode: 'ticket', grant: null });
    // Asking again is no new request, whatever connection asks.
    expect(await ticketOf(client, fe.query(DELETE))).toEqual(ticket);
    const other = await agent();
    expect(await ticketOf(other, fe.query(DELETE))).toEqual(ticket);
    await fixture.resolve(id, 'approve');
    expect(await fixture.preciousRows()).toBe(10);
    expect(await fixture.approval(id)).toMatchObject({ state: 'approved', grant: { consumed_at: null } });
    const done = await other.query(DELETE);
    expect(done.map((m) => m.type)).toEqual(['C', 'Z']);
    expect(await fixture.preciousRows()).toBe(0);
    const { grant } = await fixture.approval(id);
    expect(grant).toMatchObject({ consumed_at: expect.any(String), consumed_by: expect.any(String) });
    expect((await ticketOf(client, fe.query(DELETE)))['id']).not.toBe(id);
    const [event] = await fixture.auditEvents((e) => e['approval_id'] === id && e['end'] === 'completed', 1);
    expect(event).toMatchObject({ rows: 10 });
    await client.terminate();
    await other.terminate();
  });

  it('is good for one of many that come at once', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => agent()));
    const text = "update precious set note = note || '!'";
    const { id } = (await ticketOf(clients[0]!, fe.query(text))) as { id: string };
    await fixture.resolve(id, 'approve');
    const answers = await Promise.all(clients.map(async (client) => errorsOf(await client.query(text))));
    expect(answers.filter((errors) => errors.length === 0)).toHaveLength(1);
    const refused = answers.filter((errors) => errors.length > 0).map((errors) => ticketIn(errors).id);
    expect(new Set(refused).size).toBe(1);
    expect(refused[0]).not.toBe(id);
    expect(await fixture.postgres.sql("select count(*) from precious where note like '%!!'")).toEqual([
      ['0'],
    ]);
    for (const client of clients) await client.terminate();
  });

  it('fails a transaction as any error does, which can be begun anew', async () => {
    const client = await agent();
    await client.query('begin');
    await client.query('insert into other values (1)');
    client.write(fe.query(DELETE));
    const refused = await client.untilReady();
    const { id } = ticketIn(errorsOf(refused));
    expect(statusOf(refused)).toBe('E');
    // What the server would not run is asked for of nobody.
    expect(errorsOf(await client.query('truncate precious'))).toMatchObject([{ C: '25P02' }]);
    await client.query('rollback');
    await fixture.resolve(id, 'approve');
    await client.query('begin');
    await client.query('insert into other values (1)');
    expect(errorsOf(await client.query(DELETE))).toEqual([]);
    expect(statusOf(await client.query('commit'))).toBe('I');
    expect(await fixture.preciousRows()).toBe(0);
    await client.terminate();
  });

  it.each([
    ['a literal', `${DELETE} where id > 5`, `${DELETE} where id > 4`],
    ['a password', "alter role robot password 'one'", "alter role robot password 'two'"],
    ['another statement behind it', DELETE, `${DELETE}; drop table other`],
    ['a space', DELETE, `${DELETE} `],
  ])('is for the statement as it was, down to %s', async (_, asked, run) => {
    const client = await agent();
    const { id } = (await ticketOf(client, fe.query(asked))) as { id: string };
    await fixture.resolve(id, 'approve');
    expect((await ticketOf(client, fe.query(run)))['id']).not.toBe(id);
    expect(await fixture.preciousRows()).toBe(10);
    expect(errorsOf(await client.query(asked))).toEqual([]);
    await client.terminate();
  });

  it('is for the role, the database and the parameters that asked', async () => {
    const bound = (value: Buffer | null, types: number[] = [], formats: number[] = []) => [
      fe.parse('', 'delete from precious where id = $1', types),
      fe.bind({ parameters: [value], parameterFormats: formats }),
      fe.execute(),
      fe.sync(),
    ];
    const client = await agent();
    const { id } = (await ticketOf(client, ...bound(Buffer.from('3')))) as { id: string };
    await fixture.resolve(id, 'approve');
    const robot = await agent({ user: 'robot' });
    const others = [
      await ticketOf(robot, ...bound(Buffer.from('3'))),
      await ticketOf(client, ...bound(Buffer.from('4'))),
      await ticketOf(client, ...bound(null)),
      await ticketOf(client, ...bound(Buffer.from('3'), [23])),
      await ticketOf(client, ...bound(Buffer.from([0, 0, 0, 3]), [], [1])),
      await ticketOf(client, fe.query('delete from precious where id = $1')),
    ].map((ticket) => ticket['id']);
    expect(new Set([id, ...others]).size).toBe(7);
    expect(await fixture.preciousRows()).toBe(10);
    client.write(...bound(Buffer.from('3')));
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await fixture.preciousRows()).toBe(9);
    await client.terminate();
    await robot.terminate();
  });

  it('of a pipeline refuses what stands before it in the same segment as well', async () => {
    const client = await agent();
    const segment = [
      ...[fe.parse('', 'insert into other values (7)'), fe.bind(), fe.execute()],
      ...[fe.parse('', DELETE), fe.bind(), fe.execute()],
      ...[fe.parse('', 'insert into other values (8)'), fe.bind(), fe.execute()],
      fe.sync(),
    ];
    const { id } = (await ticketOf(client, ...segment)) as { id: string };
    expect(await fixture.postgres.sql('select count(*) from other')).toEqual([['0']]);
    await fixture.resolve(id, 'approve');
    client.write(...segment);
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await fixture.postgres.sql('select count(*) from other')).toEqual([['2']]);
    expect(await fixture.preciousRows()).toBe(0);
    await client.terminate();
  });

  it('of an EXECUTE is for the statement that its name stood for', async () => {
    const client = await agent();
    await client.query(`prepare it as ${DELETE} where id = 1`);
    const { id } = (await ticketOf(client, fe.query('execute it'))) as { id: string };
    await fixture.resolve(id, 'approve');
    await client.query('deallocate it');
    await client.query(`prepare it as ${DELETE}`);
    expect((await ticketOf(client, fe.query('execute it')))['id']).not.toBe(id);
    await client.query('deallocate it');
    await client.query(`prepare it as ${DELETE} where id = 1`);
    expect(errorsOf(await client.query('execute it'))).toEqual([]);
    expect(await fixture.preciousRows()).toBe(9);
    await client.terminate();
  });

  it('of an EXECUTE is for the types that its statement was prepared with, which the approver is shown', async () => {
    const text = 'delete from precious where $1 < $2';
    const prepared = async (client: RawClient, type: number) => {
      client.write(fe.parse('it', text, [type, type]), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
    };
    const client = await agent();
    await prepared(client, 23);
    const { id } = (await ticketOf(client, fe.query("execute it('10', '9')"))) as { id: string };
    expect((await fixture.approval(id))['statement']).toBe(
      `execute it('10', '9')\n\n-- EXECUTE "it" runs, with parameters of the types 23, 23 (pg_type.oid):\n${text}`,
    );
    await fixture.resolve(id, 'approve');
    const other = await agent();
    await prepared(other, 25);
    expect((await ticketOf(other, fe.query("execute it('10', '9')")))['id']).not.toBe(id);
    expect(await fixture.preciousRows()).toBe(10);
    expect(errorsOf(await client.query("execute it('10', '9')"))).toEqual([]);
    expect(await fixture.preciousRows()).toBe(10);
    await client.terminate();
    await other.terminate();
  });

  it('shows no password of what an EXECUTE runs', async () => {
    const client = await agent();
    client.write(fe.parse('it', "alter role robot password 'sesame'"), fe.sync());
    await client.untilReady();
    const { id } = (await ticketOf(client, fe.query('execute it'))) as { id: string };
    const { statement } = await fixture.approval(id);
    expect(statement).toMatch(/^execute it\n\n-- EXECUTE "it" runs:\nalter role robot password /i);
    expect(statement).not.toContain('sesame');
    await client.terminate();
  });

  it('is for the statement as its backslashes were read', async () => {
    const bound = [fe.bind({ statement: 'it' }), fe.execute(), fe.sync()];
    const text = "do 'begin perform 1; --\\' /*\ndelete from precious; end' --*/";
    const client = await agent();
    client.write(fe.parse('it', text), fe.sync());
    await client.untilReady();
    const { id } = (await ticketOf(client, ...bound)) as { id: string };
    await fixture.resolve(id, 'approve');
    const other = await agent();
    await other.query('set standard_conforming_strings = off');
    other.write(fe.parse('it', text), fe.sync());
    await other.untilReady();
    await other.query('set standard_conforming_strings = on');
    expect((await ticketOf(other, ...bound))['id']).not.toBe(id);
    expect(await fixture.preciousRows()).toBe(10);
    await client.terminate();
    await other.terminate();
  });

  it('is not given for what another request could look like', async () => {
    const client = await agent();
    await client.query('begin');
    await client.query('declare c cursor for select * from precious for update');
    await client.query('fetch c');
    const errors = errorsOf(await client.query('delete from precious where current of c'));
    expect(errors).toMatchObject([{ C: '42501', D: expect.stringContaining('a cursor stands at') }]);
    await client.terminate();
  });

  it('that is denied refuses the same for a while, with the reason', async () => {
    const client = await agent();
    const { id } = (await ticketOf(client, fe.query(DELETE))) as { id: string };
    await fixture.resolve(id, 'deny');
    for (let i = 0; i < 2; i++) {
      expect(errorsOf(await client.query(DELETE))).toMatchObject([
        { C: '42501', M: 'statement denied by tests', D: expect.stringContaining('by a test') },
      ]);
    }
    expect((await ticketOf(client, fe.query(`${DELETE} where true`)))['id']).not.toBe(id);
    await client.terminate();
  });

  it('is what auto gives inside a transaction, and outside of one it waits', async () => {
    const client = await fixture.client();
    await client.query('begin');
    const { id } = (await ticketOf(client, fe.query(DELETE))) as { id: string };
    await client.query('rollback');
    client.write(fe.query(DELETE));
    // It waits for what has been asked already.
    expect(await heldId(client)).toBe(id);
    await fixture.resolve(id, 'approve');
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await fixture.preciousRows()).toBe(0);
    expect(await fixture.approval(id)).toMatchObject({ grant: { consumed_by: expect.any(String) } });
    await client.terminate();
  });
});

describe('a driver', () => {
  it('of Node has the code, the ticket and the retry', async () => {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: fixture.gateway.port,
      user: 'postgres',
      database: 'postgres',
      application_name: 'agent',
    });
    await client.connect();
    try {
      const run = () => client.query('delete from precious where id < $1', [4]);
      const error = await run().then(
        () => null,
        (thrown: pg.DatabaseError) => thrown,
      );
      expect(error?.code).toBe('HF001');
      const { approval_id: id } = JSON.parse(error!.detail!) as { approval_id: string };
      await fixture.resolve(id, 'approve');
      expect((await run()).rowCount).toBe(3);
      await expect(run()).rejects.toMatchObject({ code: 'HF001' });
    } finally {
      await client.end();
    }
  });
});

describe('a restart', () => {
  it('loses no ticket and no grant', async () => {
    const own = await DecisionFixture.start(TICKET_POLICY);
    try {
      const client = await own.client({ application_name: 'agent' });
      const pending = (await ticketOf(client, fe.query(DELETE))) as { id: string };
      const granted = (await ticketOf(client, fe.query('truncate other'))) as { id: string };
      await own.resolve(granted.id, 'approve');
      await own.gateway.killHard();
      client.destroy();
      const next = await startGateway({
        upstreamPort: own.postgres.port,
        policy: TICKET_POLICY,
        environment: { HOLDFAST_STORE: `sqlite:${join(own.gateway.directory, 'h.db')}` },
      });
      try {
        const again = await RawClient.open(next.port, {
          application_name: 'agent',
        });
        expect(errorsOf(await again.query('truncate other'))).toEqual([]);
        expect((await ticketOf(again, fe.query(DELETE)))['id']).toBe(pending.id);
        await next.http(`/v1/approvals/${pending.id}/approve`, { method: 'POST', body: {} });
        expect(errorsOf(await again.query(DELETE))).toEqual([]);
        await again.terminate();
      } finally {
        await next.stop();
      }
    } finally {
      await own.stop();
    }
  });
});
