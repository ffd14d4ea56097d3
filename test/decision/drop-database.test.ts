import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readableKey, trustedKeys } from '../../src/audit/key-file.ts';
import { openBlobStore } from '../../src/blobs/open.ts';
import { SealingStore } from '../../src/snapshot/sealing-store.ts';
import { findSnapshot } from '../../src/snapshot/snapshots.ts';
import { TrashSweeper } from '../../src/trash-sweeper.ts';
import { holdfast } from '../cli/support.ts';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: never, match: { role: [strict], risk: [critical], operation: ["alter database"] }, action: block }
  - { name: what goes, match: { operation: ["drop *"] }, action: snapshot }
  - { name: the rest, match: {}, action: allow }
`;

/** Without the places in the server's source. */
const shown = (messages: readonly BackendMessage[]) =>
  messages.map(({ type, body }) => {
    const fields = body.toString('latin1').split('\0');
    return `${type} ${(type === 'E' || type === 'N' ? fields.filter((field) => !/^[FLR]/.test(field)) : fields).join('|')}`;
  });

describe.each([18, 15] as const)('DROP DATABASE on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  let direct: RawClient;
  let place: string[];
  let env: Record<string, string>;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    direct = await RawClient.open(fixture.postgres.port);
    await direct.rows(
      `create role maker login createdb; create role keeper login; create role strict login superuser`,
    );
    const snapshots = `file:${join(fixture.gateway.directory, 'snapshots')}`;
    env = { HOLDFAST_AUDIT_SIGNING_KEY: join(fixture.gateway.directory, 'audit-key.pem') };
    place = ['--snapshots', snapshots, '--connection', fixture.postgres.url()];
  });
  afterAll(async () => {
    direct?.destroy();
    await fixture?.stop();
  });
  beforeEach(async () => {
    const found = await direct.rows(
      `select datname from pg_database where datname in ('doomed', 'held', 'model') or datname like 'holdfast_trash_%'`,
    );
    await direct.query('alter database model is_template false');
    for (const [name] of found) await direct.rows(`drop database "${name}" with (force)`);
    await direct.rows('create database doomed owner maker');
    const inside = await RawClient.open(fixture.postgres.port, { database: 'doomed', user: 'maker' });
    await inside.rows(`create schema s; create table s.t (v text); insert into s.t values ('here')`);
    await inside.terminate();
  });

  const names = async () =>
    (await direct.rows(
      `select datname, datallowconn from pg_database where datname ~ 'doomed|holdfast_trash' order by 1`,
    )) as [string, string][];
  const latest = async () => {
    const { out } = await holdfast(['snapshots', 'list', '--json', ...place.slice(0, 2)], { env });
    return (JSON.parse(out) as { items: { id: string; tables: string[]; operation: string }[] }).items[0]!;
  };

  it.each([
    ['a Query', 'drop database doomed'],
    ['one that is there, if it is', 'DROP DATABASE IF EXISTS doomed WITH (FORCE)'],
  ])('is a move that an undo takes back: %s', async (_, sql) => {
    const client = await fixture.client({ user: 'maker' });
    const messages = await client.query(sql);
    expect(shown(messages)).toEqual(['C DROP DATABASE|', 'Z I']);
    const [[name, allowed]] = (await names()) as [[string, string]];
    expect([name, allowed]).toEqual([expect.stringMatching(/^holdfast_trash_snap_/), 'f']);
    const { id, tables } = await latest();
    expect(tables).toEqual(['doomed']);
    await expect(RawClient.open(fixture.postgres.port, { database: name })).rejects.toThrow(
      /not currently accepting connections/,
    );
    expect((await holdfast(['trash', 'list', ...place], { env })).out).toMatch(
      /postgres +1 +\d+(\.\d)? MiB /,
    );
    await direct.rows('create database doomed');
    expect(await holdfast(['undo', id, '--yes', ...place], { env })).toMatchObject({
      code: 1,
      err: expect.stringContaining('database doomed: its name is taken by now'),
    });
    await direct.rows('drop database doomed');
    const undone = await holdfast(['undo', id, '--yes', ...place], { env });
    expect(undone.code, undone.err).toBe(0);
    expect(await names()).toEqual([['doomed', 't']]);
    const inside = await RawClient.open(fixture.postgres.port, { database: 'doomed', user: 'maker' });
    expect(await inside.rows('select * from s.t')).toEqual([['here']]);
    await inside.terminate();
    await client.terminate();
  });

  it('is one by the extended protocol as well', async () => {
    const client = await fixture.client({ user: 'maker' });
    client.write(fe.parse('', 'drop database doomed'), fe.bind(), fe.execute(), fe.sync());
    expect(shown(await client.untilReady())).toEqual(['1 ', '2 ', 'C DROP DATABASE|', 'Z I']);
    expect((await names())[0]![0]).toMatch(/^holdfast_trash_snap_/);
    await client.terminate();
  });

  it.each([
    ['is not there', 'maker', 'drop database nothing'],
    ['need not be there', 'maker', 'drop database if exists nothing'],
    ['belongs to somebody else', 'keeper', 'drop database doomed'],
    ['the session is in', 'postgres', 'drop database postgres'],
    ['is a template', 'postgres', 'drop database template1'],
    ['is dropped with another statement', 'maker', 'select 1; drop database doomed'],
  ])('is answered as the server answers it of one that %s', async (_, user, sql) => {
    const plain = await RawClient.open(fixture.postgres.port, { user });
    const wanted = await plain.query(sql);
    await plain.terminate();
    const client = await fixture.client({ user });
    const messages = await client.query(sql);
    if (sql.includes('select')) {
      expect(errorsOf(messages)).toHaveLength(1);
    } else expect(shown(messages)).toEqual(shown(wanted));
    expect(await names()).toEqual([['doomed', 't']]);
    expect(await client.rows('select 1')).toEqual([['1']]);
    await client.terminate();
  });

  it('runs in no transaction, which it leaves failed', async () => {
    const plain = await RawClient.open(fixture.postgres.port, { user: 'maker' });
    const client = await fixture.client({ user: 'maker' });
    for (const each of [plain, client]) await each.rows('begin');
    const messages = await client.query('drop database doomed');
    expect(shown(messages)).toEqual(shown(await plain.query('drop database doomed')));
    expect(statusOf(messages)).toBe('E');
    await plain.terminate();
    await client.terminate();
  });

  it.runIf(version === 18)('waits for those who are connected, and gives up as the server does', async () => {
    const other = await RawClient.open(fixture.postgres.port, { database: 'doomed', user: 'maker' });
    const client = await fixture.client({ user: 'maker' });
    const messages = await client.query('drop database doomed');
    expect(errorsOf(messages)).toMatchObject([
      {
        C: '55006',
        M: 'database "doomed" is being accessed by other users',
        D: 'There is 1 other session using the database.',
      },
    ]);
    expect(await names()).toEqual([['doomed', 't']]);
    await other.terminate();
    await client.terminate();
  });

  it('sends away those who are connected, by FORCE', async () => {
    const other = await RawClient.open(fixture.postgres.port, { database: 'doomed', user: 'maker' });
    const client = await fixture.client({ user: 'maker' });
    const sql = 'drop database doomed with (force)';
    expect(shown(await client.query(sql))).toEqual(['C DROP DATABASE|', 'Z I']);
    expect((await names())[0]![0]).toMatch(/^holdfast_trash_/);
    expect(errorsOf(await other.untilEnd())).toMatchObject([{ C: '57P01' }]);
    const [inside, plain] = await Promise.all([
      (async () => {
        await direct.rows('create database doomed');
        return await RawClient.open(fixture.postgres.port, { database: 'doomed' });
      })(),
      RawClient.open(fixture.postgres.port, { user: 'maker' }),
    ]);
    // A superuser is sent away by none but another.
    await direct.rows('alter database doomed owner to maker');
    const refused = await client.query(sql);
    expect(shown(refused)).toEqual(shown(await plain.query(sql)));
    expect(errorsOf(refused)).toMatchObject([{ C: '42501' }]);
    await inside.terminate();
    await plain.terminate();
    await client.terminate();
  });

  it('has no plan where the role may not give it another name, or it is in the trash', async () => {
    await direct.rows('alter database doomed owner to keeper');
    const client = await fixture.client({ user: 'keeper' });
    expect(errorsOf(await client.query('drop database doomed'))).toMatchObject([
      { C: 'HF002', D: expect.stringContaining('CREATEDB') },
    ]);
    await client.terminate();
    const boss = await fixture.client();
    await boss.query('drop database doomed');
    const [[name]] = (await names()) as [[string, string]];
    expect(errorsOf(await boss.query(`drop database "${name}"`))).toMatchObject([
      { C: 'HF002', D: expect.stringContaining('in the trash already') },
    ]);
    await boss.terminate();
    const strict = await fixture.client({ user: 'strict' });
    for (const sql of [
      `alter database "${name}" allow_connections true`,
      `alter database "${name}" rename to back`,
      `alter database "${name}" owner to strict`,
      `alter database "${name}" set work_mem = '1MB'`,
    ])
      expect(errorsOf(await strict.query(sql))).toMatchObject([{ C: '42501' }]);
    await strict.terminate();
    expect((await names()).map(([each]) => each)).toEqual([name]);
  });

  it('is dropped for good by its retention', async () => {
    const client = await fixture.client();
    await client.query('drop database doomed');
    await client.terminate();
    const files = openBlobStore({ kind: 'file', directory: join(fixture.gateway.directory, 'snapshots') });
    const store = new SealingStore(files, readableKey(env['HOLDFAST_AUDIT_SIGNING_KEY']!)!);
    const { id } = await findSnapshot(store, 'latest');
    const keys = trustedKeys({ signingKey: env['HOLDFAST_AUDIT_SIGNING_KEY']!, formerKeys: [] });
    const told: unknown[] = [];
    const log = (facts: unknown) => void told.push(facts);
    const sweeper = new TrashSweeper({
      store,
      audit: { begin: () => {}, finish: () => {}, flush: async () => true },
      log: { info: log, warn: log, error: log },
      connection: fixture.postgres.url(),
      ageMs: -1,
      archive: true,
      keys,
    });
    await sweeper.sweep();
    await sweeper.close();
    expect(told).toContainEqual({ snapshot: id, objects: 1 });
    expect(await names()).toEqual([]);
    expect((await holdfast(['undo', id, '--yes', ...place], { env })).err).toContain(
      'was purged from the trash',
    );
    await files.close();
  });
});
