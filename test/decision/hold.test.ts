import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { DEFAULT_POLICY, startGateway } from '../support/gateway.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

describe('with the default policy', () => {
  let fixture: DecisionFixture;

  beforeAll(async () => {
    fixture = await DecisionFixture.start(DEFAULT_POLICY);
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.reset();
  });

  it('an unscoped DELETE waits, and runs after an approve', async () => {
    const client = await fixture.client({ application_name: 'hold-test' });
    client.write(fe.query('delete from precious'));
    const id = await heldId(client);
    expect(await fixture.preciousRows()).toBe(10);
    const approval = await fixture.approval(id);
    expect(approval).toMatchObject({ id, state: 'pending', role: 'postgres', database: 'postgres' });
    await fixture.resolve(id, 'approve');
    const messages = await client.untilReady();
    expect(messages.map((m) => m.type)).toEqual(['C', 'Z']);
    expect(messages[0]!.body.toString()).toBe('DELETE 10\0');
    expect(await fixture.preciousRows()).toBe(0);
    await fixture.untilApprovalIs(id, 'approved');
    const events = await fixture.auditEvents((e) => e['approval_id'] === id, 1);
    expect(events[0]).toMatchObject({ rows: 10 });
    await client.terminate();
  });

  it('an unscoped DELETE is refused after a deny, and the session goes on', async () => {
    const client = await fixture.client();
    client.write(fe.query('delete from precious'));
    const id = await heldId(client);
    await fixture.resolve(id, 'deny');
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toMatchObject([{ S: 'ERROR', C: '42501' }]);
    expect(statusOf(messages)).toBe('I');
    expect(await fixture.preciousRows()).toBe(10);
    expect(await client.rows('select 1')).toEqual([['1']]);
    await client.terminate();
  });

  it('a hold in the extended protocol holds what is behind it as well', async () => {
    const client = await fixture.client();
    client.write(
      fe.parse('', 'delete from precious'),
      fe.bind(),
      fe.execute(),
      fe.parse('', 'select count(*) from precious'),
      fe.bind(),
      fe.execute(),
      fe.sync(),
    );
    const id = await heldId(client);
    await fixture.resolve(id, 'approve');
    const messages = await client.untilReady();
    expect(messages.map((m) => m.type).join('')).toBe('2C12DCZ');
    expect(await fixture.preciousRows()).toBe(0);
    await client.terminate();
  });

  it('a cancel ends the hold with 57014 and leaves no trace', async () => {
    const client = await fixture.client();
    client.write(fe.query('delete from precious'));
    const id = await heldId(client);
    await cancel(fixture.gateway.port, client.processId, client.secretKey);
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toMatchObject([{ S: 'ERROR', C: '57014' }]);
    await fixture.untilApprovalIs(id, 'canceled');
    expect(await fixture.preciousRows()).toBe(10);
    expect(await client.rows('select 1')).toEqual([['1']]);
    const late = await fixture.gateway.http(`/v1/approvals/${id}/approve`, { method: 'POST', body: {} });
    expect(late.status).toBe(409);
    expect(await fixture.preciousRows()).toBe(10);
    await client.terminate();
  });

  it.each(['by FIN', 'by RST'])('a client that goes away %s ends the hold', async (how) => {
    const client = await fixture.client();
    client.write(fe.query('delete from precious'));
    const id = await heldId(client);
    if (how === 'by FIN') client.destroy();
    else client.reset();
    await fixture.untilApprovalIs(id, 'disconnected');
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('a statement in an open transaction does not wait in it, which fails as after any error', async () => {
    const client = await fixture.client();
    await client.query('begin');
    await client.query('insert into other values (1)');
    const refused = await client.query('truncate precious');
    expect(errorsOf(refused)).toMatchObject([{ S: 'ERROR', C: 'HF001' }]);
    expect(statusOf(refused)).toBe('E');
    expect(errorsOf(await client.query('select 1'))).toMatchObject([{ C: '25P02' }]);
    expect(statusOf(await client.query('rollback'))).toBe('I');
    expect(await fixture.postgres.sql('select count(*) from other')).toEqual([['0']]);
    await client.terminate();
  });

  it('statements that read, insert or update with a predicate do not wait', async () => {
    const client = await fixture.client();
    for (const sql of [
      'select * from precious',
      "insert into precious values (11, 'x')",
      "update precious set note = 'y' where id = 11",
      'delete from precious where id = 11',
      'begin; savepoint a; rollback',
    ]) {
      expect(errorsOf(await client.query(sql)), sql).toEqual([]);
    }
    await client.terminate();
  });

  it('two sessions hold apart: one waits, the other works', async () => {
    const [held, working] = [await fixture.client(), await fixture.client()];
    held.write(fe.query('delete from precious'));
    const id = await heldId(held);
    expect(await working.rows('select count(*) from precious')).toEqual([['10']]);
    await fixture.resolve(id, 'deny');
    await held.untilReady();
    await held.terminate();
    await working.terminate();
  });

  it('passwords reach neither the store, the log nor the API', async () => {
    const client = await fixture.client();
    await client.query("select 'control-word-that-is-no-secret'");
    const secrets = [
      'hunter2-simple',
      'hunter2-extended',
      'hunter2-broken',
      'hunter2-context',
      'hunter2-prep',
    ];
    await client.query(`create role secret_a password '${secrets[0]}'`);
    client.write(
      fe.parse('', `alter role secret_a with encrypted password '${secrets[1]}'`),
      fe.bind(),
      fe.execute(),
      fe.sync(),
    );
    await client.untilReady();
    client.write(fe.query(`create role secret_b passwrd password '${secrets[2]}'`));
    await heldOrReady(fixture, client);
    client.write(fe.query(`select 1; alter user secret_a password $pw$${secrets[3]}$pw$`));
    await heldOrReady(fixture, client);
    client.write(fe.query(`do $$ begin execute 'alter role secret_a password ''${secrets[4]}'''; end $$`));
    await heldOrReady(fixture, client);
    await client.terminate();
    await fixture.auditEvents((e) => String(e['sql'] ?? e['text'] ?? e['statement']).includes('secret_a'), 2);
    const places: Record<string, string> = {
      log: fixture.gateway.log(),
      audit: (await fixture.gateway.http('/v1/audit?limit=500')).text,
      approvals: (await fixture.gateway.http('/v1/approvals?limit=500')).text,
    };
    for (const entry of readdirSync(fixture.gateway.directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) places[path] = readFileSync(path).toString('latin1');
    }
    places['store, unpacked'] = unpackedStore(join(fixture.gateway.directory, 'h.db'));
    expect(places['store, unpacked']).toContain('control-word-that-is-no-secret');
    const leaks = Object.entries(places).flatMap(([place, bytes]) =>
      secrets.filter((secret) => bytes.includes(secret)).map((secret) => `${secret} in ${place}`),
    );
    expect(leaks).toEqual([]);
  });
});

describe('a gateway that is killed while it holds', () => {
  it('has let nothing through, and the hold can be approved after its next start, to be run by asking again', async () => {
    const fixture = await DecisionFixture.start(DEFAULT_POLICY);
    try {
      const client = await fixture.client();
      client.write(fe.query('delete from precious'));
      const id = await heldId(client);
      await fixture.gateway.killHard();
      expect((await client.untilEnd()).filter((m) => m.type === 'C')).toEqual([]);
      client.destroy();
      const next = await startGateway({
        upstreamPort: fixture.postgres.port,
        policy: DEFAULT_POLICY,
        environment: { HOLDFAST_STORE: `sqlite:${join(fixture.gateway.directory, 'h.db')}` },
      });
      try {
        const { body } = await next.http(`/v1/approvals/${id}`);
        expect(body).toMatchObject({ id, state: 'pending', mode: 'ticket' });
        const late = await next.http(`/v1/approvals/${id}/approve`, { method: 'POST', body: {} });
        expect(late.body).toMatchObject({ state: 'approved', grant: { consumed_at: null } });
        expect(await fixture.preciousRows()).toBe(10);
        const again = await RawClient.open(next.port, {});
        expect(errorsOf(await again.query('delete from precious'))).toEqual([]);
        expect(await fixture.preciousRows()).toBe(0);
        await again.terminate();
      } finally {
        await next.stop();
      }
      expect(await fixture.postgres.clientSessions()).toBe(0);
    } finally {
      await fixture.stop();
    }
  });
});

/** Every value of every table, blobs unpacked where they are packed: what a thief of the file would read. */
function unpackedStore(path: string): string {
  // The gateway has locked its own; what a thief copies is readable all the same.
  const copy = join(mkdtempSync(join(tmpdir(), 'holdfast-copy-')), 'h.db');
  for (const suffix of ['', '-wal']) {
    if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
  }
  const database = new DatabaseSync(copy);
  try {
    const tables = database.prepare("select name from sqlite_master where type = 'table'").all();
    const values = tables.flatMap(({ name }) =>
      database
        .prepare(`select * from "${String(name)}"`)
        .all()
        .flatMap((row) => Object.values(row)),
    );
    return values
      .map((value) => {
        if (!(value instanceof Uint8Array)) return String(value);
        try {
          return zstdDecompressSync(value).toString('latin1');
        } catch {
          return Buffer.from(value).toString('latin1');
        }
      })
      .join('\n');
  } finally {
    database.close();
    rmSync(dirname(copy), { recursive: true, force: true });
  }
}

/** Denies what waits, and reads to the end of the answer. */
async function heldOrReady(
  fixture: DecisionFixture,
  client: Awaited<ReturnType<DecisionFixture['client']>>,
): Promise<void> {
  for (;;) {
    const message = await client.next();
    if (message === null || message.type === 'Z') return;
    if (message.type !== 'N' || !message.body.includes('held for approval')) continue;
    const { body } = await fixture.gateway.http('/v1/approvals?state=pending');
    for (const { id } of (body as { items: { id: string }[] }).items) await fixture.resolve(id, 'deny');
  }
}
