import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/snapshot/manifest.ts';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { type DecisionFixture, heldId } from './fixture.ts';
import { SnapshotsTaken } from './snapshots-taken.ts';

const POLICY = `
mode: protect
hold: { mode: live }
rules:
  - { name: careful, match: { application: [careful], operation: ["drop *"] }, action: hold }
  - { name: strict, match: { application: [strict], operation: ["drop *"] }, action: snapshot, without_plan: block }
  - { name: loose, match: { application: [loose], operation: ["drop *"] }, action: snapshot, without_plan: allow }
  - { name: careless, match: { application: [careless] }, action: snapshot, snapshot: best_effort }
  - { name: what goes, match: { operation: ["drop *", "alter table"] }, action: snapshot }
  - { name: the rest, match: {}, action: allow }
`;

const SETUP = `create schema app; create table app.t (id int primary key, v text); insert into app.t values (1, 'one');
  create view app.w as select * from app.t; create table app.other (id int primary key, v text)`;

const shown = (messages: readonly BackendMessage[]) =>
  messages.map(({ type, body }) => `${type} ${body.toString('latin1').replace(/F\w+\.c\0L\d+\0R\w+\0/, '')}`);
const types = (messages: readonly BackendMessage[]) => messages.map(({ type }) => type).join('');
const run = (sql: string) => [fe.parse('', sql), fe.bind(), fe.describe('P'), fe.execute()];

describe.each([18, 15] as const)('a DROP by the extended protocol on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  let taken: SnapshotsTaken;
  let direct: RawClient;
  let client: RawClient;
  beforeAll(async () => {
    taken = await SnapshotsTaken.start(version, {}, POLICY);
    fixture = taken.fixture;
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    direct = await RawClient.open(fixture.postgres.port);
    await direct.rows(`drop schema if exists app, holdfast_trash cascade; ${SETUP}`);
    client = await fixture.client();
    return async () => {
      await direct.terminate();
      await client.terminate();
    };
  });

  const last = async (): Promise<Manifest> => (await taken.all()).at(-1)!;

  const there = async (name: string) =>
    (await direct.rows(`select to_regclass('${name}') is not null`))[0]![0] === 't';

  async function undone(): Promise<void> {
    expect(await taken.undone(await last())).toMatchObject({ kind: 'done' });
  }

  it.each([
    'drop table app.t cascade',
    'drop table if exists app.nothing, app.other',
    'drop table if exists app.nothing',
    'drop table app.t',
    'drop table app.nothing',
    'drop view app.t',
    'alter table app.other drop column v',
    'alter table app.other drop column nothing',
    'alter table app.t drop constraint t_pkey',
    'alter table app.t drop constraint if exists nothing, alter id set default 5',
  ])('is answered as it would be directly: %s', async (sql) => {
    await direct.rows('begin');
    direct.write(...run(sql), fe.sync());
    const wanted = shown(await direct.untilReady()).slice(0, -1);
    await direct.rows('rollback');
    const before = await fixture.postgres.sql('select count(*) from pg_class');
    await client.query('begin');
    client.write(...run(sql), fe.sync());
    const inBlock = await client.untilReady();
    expect(shown(inBlock).slice(0, -1)).toEqual(wanted);
    expect(statusOf(inBlock)).toBe(wanted.at(-1)!.startsWith('E') ? 'E' : 'T');
    await client.query('rollback');
    expect(await fixture.postgres.sql('select count(*) from pg_class')).toEqual(before);
    await client.writeSplit(Buffer.concat([...run(sql), fe.sync()]), [3]);
    const alone = await client.untilReady();
    expect(shown(alone).slice(0, -1)).toEqual(wanted);
    expect(statusOf(alone)).toBe('I');
    expect((await client.rows('select 1'))[0]).toEqual(['1']);
  });

  it('is moved, recorded, and brought back', async () => {
    const named = await fixture.client({ application_name: `prepared ${version}` });
    named.write(fe.parse('s', 'drop table app.t cascade'), fe.describe('S', 's'), fe.flush());
    expect(types(await named.until('n'))).toBe('1tn');
    named.write(fe.bind({ statement: 's' }), fe.execute(), fe.close('P', ''), fe.sync());
    expect(types(await named.untilReady())).toBe('2NC3Z');
    expect(await there('app.t')).toBe(false);
    const manifest = await last();
    expect(manifest.dropped!.objects.map(({ name }) => name).sort()).toEqual(['t', 't_pkey', 'w']);
    const [event] = await fixture.auditEvents((each) => each['snapshot'] === manifest.id, 1);
    expect(event).toMatchObject({ end: 'completed', transaction_status: 'I', protocol: 'extended' });
    await undone();
    expect(await direct.rows('select * from app.w')).toEqual([['1', 'one']]);
    // The same statement once more, in a segment that has begun a transaction.
    named.write(...run('begin'), fe.bind({ statement: 's' }), fe.execute(), fe.sync());
    const messages = await named.untilReady();
    expect(types(messages)).toBe('12nC2NCZ');
    expect(statusOf(messages)).toBe('T');
    await named.query('rollback');
    expect(await there('app.w')).toBe(true);
    await named.terminate();
  });

  const BESIDE: readonly (readonly [string, () => readonly Buffer[], string])[] = [
    [
      'behind something that its Sync commits',
      () => [...run('insert into app.other values (5)'), ...run('drop table app.t cascade'), fe.sync()],
      '12nC12nNCZ',
    ],
    [
      'in front of another',
      () => [...run('drop table app.t cascade'), ...run('insert into app.other values (5)'), fe.sync()],
      '12nNC12nCZ',
    ],
    [
      'that is flushed',
      () => [
        ...run('drop table app.t cascade'),
        fe.flush(),
        ...run('insert into app.other values (5)'),
        fe.sync(),
      ],
      '12nNC12nCZ',
    ],
    [
      'that is closed, in front of another',
      () => [
        ...run('drop table app.t cascade'),
        fe.close('P', ''),
        ...run('insert into app.other values (5)'),
        fe.sync(),
      ],
      '12nNC312nCZ',
    ],
  ];

  it.each([
    ...BESIDE,
    [
      'whose portal is executed twice',
      () => [...run('drop table app.t cascade'), fe.execute(), fe.sync()],
      '',
    ] as const,
    [
      'in front of a Query',
      () => [...run('drop table app.t cascade'), fe.query('insert into app.other values (5)'), fe.sync()],
      '',
    ] as const,
  ])('is refused with all of its segment %s, where the policy blocks it', async (_, messages) => {
    const strict = await fixture.client({ application_name: 'strict' });
    strict.write(...messages());
    const got = await strict.untilReady();
    expect(errorsOf(got)).toMatchObject([{ C: 'HF002', D: expect.stringContaining('up to its Sync') }]);
    expect(statusOf(got)).toBe('I');
    expect(await there('app.t')).toBe(true);
    expect(await direct.rows('select * from app.other')).toEqual([]);
    expect(await strict.rows('select 1')).toEqual([['1']]);
    await strict.terminate();
  });

  it.each(BESIDE)('runs without a snapshot %s, where the policy lets it', async (_, messages, wanted) => {
    const loose = await fixture.client({ application_name: 'loose' });
    await loose.writeSplit(Buffer.concat(messages()), [7]);
    expect(types(await loose.untilReady())).toBe(wanted);
    expect(await there('app.t')).toBe(false);
    expect(await direct.rows('select id from app.other')).toEqual([['5']]);
    expect(await loose.rows('select 1')).toEqual([['1']]);
    await loose.terminate();
  });

  it.each(BESIDE)(
    'waits for a person %s, who is told that it will have no snapshot',
    async (_, messages, wanted) => {
      client.write(...messages());
      const id = await heldId(client);
      expect((await fixture.approval(id))['reason']).toContain('only as all that runs up to its Sync');
      expect(await there('app.t')).toBe(true);
      await fixture.resolve(id, 'approve');
      const got = types(await client.untilReady());
      expect(wanted.endsWith(got)).toBe(true);
      expect(await there('app.t')).toBe(false);
      const [event] = await fixture.auditEvents((each) => each['approval_id'] === id && 'end' in each, 1);
      expect(event).toMatchObject({
        end: 'completed',
        snapshot: expect.stringContaining('none: by the extended'),
      });
    },
  );

  describe.each([['of a function, which is not moved away', 'drop function app.f() cascade']])(
    '%s',
    (_, sql) => {
      beforeEach(async () => {
        await direct.rows('create function app.f() returns int language sql as $$ select 1 $$');
      });
      const isThere = async () =>
        (await direct.rows(`select to_regproc('app.f') is not null`))[0]![0] === 't';
      const ways: readonly (readonly [string, () => readonly Buffer[]])[] = [
        ['', () => [...run(sql), fe.sync()]],
        ['with its portal closed', () => [...run(sql), fe.close('P', ''), fe.sync()]],
        [
          'by names',
          () => [fe.parse('s', sql), fe.bind({ portal: 'p', statement: 's' }), fe.execute('p'), fe.sync()],
        ],
      ];

      it.each(ways)('waits for a person %s', async (_way, messages) => {
        client.write(...messages());
        const id = await heldId(client);
        expect((await fixture.approval(id))['reason']).toContain('it will have no snapshot, because');
        expect(await isThere()).toBe(true);
        await fixture.resolve(id, 'approve');
        expect(errorsOf(await client.untilReady())).toEqual([]);
        expect(await isThere()).toBe(false);
      });

      it.each(ways)('is denied %s, in a block that fails with it', async (_way, messages) => {
        await client.query('begin');
        client.write(...messages());
        await fixture.resolve(await heldId(client), 'deny');
        const got = await client.untilReady();
        expect(errorsOf(got)).toMatchObject([{ C: '42501' }]);
        expect(statusOf(got)).toBe('E');
        expect(await isThere()).toBe(true);
      });

      it.each(ways)('runs without %s, or is refused, as the policy says', async (_way, messages) => {
        const strict = await fixture.client({ application_name: 'strict' });
        strict.write(...messages());
        expect(errorsOf(await strict.untilReady())).toMatchObject([{ C: 'HF002' }]);
        await strict.terminate();
        for (const application of ['loose', 'careless']) {
          const loose = await fixture.client({ application_name: application });
          await loose.query('begin');
          loose.write(...messages());
          expect(types(await loose.untilReady())).toMatch(/^12n?C3?Z$/);
          await loose.query('rollback');
          expect(await isThere()).toBe(true);
          loose.write(...(messages().length === 4 ? [fe.close('S', 's')] : []), ...messages());
          expect(types(await loose.untilReady())).toMatch(/^3?12n?C3?Z$/);
          expect(await isThere()).toBe(false);
          await direct.rows('create function app.f() returns int language sql as $$ select 1 $$');
          await loose.terminate();
        }
        const events = await fixture.auditEvents(
          (each) => each['application'] === 'loose' && String(each['sql']) === sql && 'end' in each,
          2,
        );
        for (const event of events) expect(event['snapshot']).toMatch(/^none: /);
      });
    },
  );

  it('runs not a second time by a portal that has moved it already', async () => {
    await client.query('begin');
    client.write(
      fe.parse('', 'drop table app.t cascade'),
      fe.bind({ portal: 'p' }),
      fe.execute('p'),
      fe.sync(),
    );
    expect(types(await client.untilReady())).toBe('12NCZ');
    await client.query('create table app.t ()');
    client.write(fe.execute('p'), fe.sync());
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: 'HF002' }]);
    await client.query('rollback');
    expect(await there('app.w')).toBe(true);
  });

  it('does nothing behind an error, or where the client is gone before its Sync', async () => {
    client.write(
      fe.parse('', 'drop table app.t cascade'),
      fe.bind({ parameters: ['1'] }),
      fe.execute(),
      fe.sync(),
    );
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '08P01' }]);
    await client.query('begin');
    await client.query('select 1/0');
    client.write(...run('drop table app.t cascade'), fe.sync());
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '25P02' }]);
    await client.query('rollback');
    // What comes then is read as what it is.
    client.write(
      fe.parse('', 'begin'),
      fe.bind(),
      fe.execute(),
      ...run('drop table app.t cascade'),
      fe.sync(),
    );
    expect(types(await client.untilReady())).toBe('12C12nNCZ');
    await client.query('rollback');
    const gone = await fixture.client({ application_name: 'gone' });
    gone.write(...run('drop table app.t cascade'));
    await gone.terminate();
    const [event] = await fixture.auditEvents((each) => each['application'] === 'gone', 1);
    expect(event).toMatchObject({ end: 'not-run' });
    expect(await client.rows('select 1')).toEqual([['1']]);
    expect(await there('app.t')).toBe(true);
  });

  it('that was held is moved once it is approved', async () => {
    const careful = await fixture.client({ application_name: 'careful' });
    careful.write(...run('drop table app.t cascade'), fe.sync());
    await fixture.resolve(await heldId(careful), 'approve');
    expect(types(await careful.untilReady())).toContain('C');
    expect((await last()).dropped!.objects.map(({ name }) => name)).toContain('t');
    await undone();
    expect(await there('app.w')).toBe(true);
    await careful.terminate();
  });

  it('is moved as well where its best is good enough', async () => {
    const careless = await fixture.client({ application_name: 'careless' });
    careless.write(...run('drop table app.t cascade'), fe.sync());
    expect(errorsOf(await careless.untilReady())).toEqual([]);
    expect(await there('app.t')).toBe(false);
    await undone();
    expect(await there('app.w')).toBe(true);
    await careless.terminate();
  });

  it('of a driver that prepares its statements is moved', async () => {
    const driver = new Client({
      host: '127.0.0.1',
      port: fixture.gateway.port,
      user: 'postgres',
      database: 'postgres',
    });
    await driver.connect();
    try {
      const dropped = await driver.query({ name: 'd', text: 'drop table app.t cascade' });
      expect(dropped.command).toBe('DROP');
      await undone();
      expect((await driver.query({ name: 'q', text: 'select * from app.w' })).rows).toEqual([
        { id: 1, v: 'one' },
      ]);
      await expect(driver.query({ name: 'e', text: 'drop table app.nothing' })).rejects.toMatchObject({
        code: '42P01',
      });
      await driver.query({ name: 'd', text: 'drop table app.t cascade' });
      expect(await there('app.t')).toBe(false);
    } finally {
      await driver.end();
    }
  });
});
