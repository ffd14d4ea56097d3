import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBlobStore } from '../../src/blobs/open.ts';
import { fromManifest, readManifest } from '../../src/snapshot/manifest.ts';
import { readRows } from '../../src/snapshot/row-file-reader.ts';
import { allDays, listSnapshots, verifySnapshot } from '../../src/snapshot/snapshots.ts';
import { CuttingProxy } from '../support/cutting-proxy.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';

const POLICY = `
mode: protect
rules:
  - { name: what goes, match: { operation: [delete] }, action: snapshot }
  - { name: the rest, action: allow }
`;

const remove = (id: number) => `delete from precious where id = ${id}`;
const extended = (id: number) => [
  fe.parse('', 'delete from precious where id = $1'),
  fe.bind({ parameters: [String(id)] }),
  fe.execute(),
  fe.sync(),
];

/** So that there is a plan in this session, and what follows is sent ahead. */
const NONE = 0;

/** Ways in which a row is removed, each in one packet. */
const WAYS: Record<string, (id: number) => Buffer[]> = {
  'a Query': (id) => [fe.query(remove(id))],
  'an Execute': extended,
  'a block of Queries': (id) => [fe.query('begin'), fe.query(remove(id)), fe.query('commit')],
  'a block with an Execute': (id) => [fe.query('begin'), ...extended(id), fe.query('commit')],
  'a Query behind its capture': (id) => [fe.query(remove(NONE)), fe.query(remove(id))],
  'an Execute behind its capture': (id) => [...extended(NONE), ...extended(id)],
  'a block of Queries, captured at once': (id) =>
    [`begin`, remove(NONE), remove(id), 'commit'].map((sql) => fe.query(sql)),
};
const endsWithReady = (message: Buffer) => /[QS]/.test(String.fromCharCode(message[0]!));
/** What the server says at each step: rows, ends of statements, ends of segments. */
const TYPES = ['C', 'Z', '2', '3'];
const CUTS_MAX = 60;

describe.each([18, 15] as const)(
  'a server that dies under a captured statement, PostgreSQL %i',
  (version) => {
    let postgres: TestPostgres;
    let proxy: CuttingProxy;
    let gateway: TestGateway;
    let next = 1;
    beforeAll(async () => {
      postgres = await startPostgres({ version });
      await postgres.sql(
        `create table precious (id int primary key); insert into precious select generate_series(1, 5000)`,
      );
      proxy = await CuttingProxy.start(postgres.port);
      gateway = await startGateway({
        upstreamPort: proxy.port,
        policy: POLICY,
        environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on' },
      });
    });
    afterAll(async () => {
      await gateway?.stop();
      await proxy?.stop();
      await postgres?.stop();
    });

    /** The rows of which there is a whole snapshot. */
    async function recorded(): Promise<Map<number, boolean>> {
      const store = openBlobStore({ kind: 'file', directory: join(gateway.directory, 'snapshots') });
      const out = new Map<number, boolean>();
      for await (const { folder, rolledBack } of listSnapshots(store, allDays(Date.now()))) {
        const manifest = await readManifest(store, folder);
        expect((await verifySnapshot(store, manifest)).faults).toEqual([]);
        // The rows are of one number each, which the statement's text does not always have.
        for await (const row of readRows(store, fromManifest(manifest.tables[0]!.before!))) {
          out.set(row.readInt32BE(2 + 4), rolledBack);
        }
      }
      await store.close();
      return out;
    }

    it.each(Object.keys(WAYS))('%s: whatever was committed is recorded, and nobody waits', async (way) => {
      const told = new Map<number, boolean>();
      for (const type of TYPES) {
        for (let nth = 1; nth <= CUTS_MAX; nth++) {
          const id = next++;
          proxy.how = nth % 2 === 0 ? 'fin' : 'rst';
          proxy.cut = {
            kind: 'at-server-message',
            type,
            nth: nth + (type === 'Z' ? 1 : 0),
            within: nth % 3 === 0,
          };
          const client = await RawClient.open(gateway.port);
          const messages = WAYS[way]!(id);
          client.write(...messages);
          const answers = messages.filter(endsWithReady).length;
          let ready = 0;
          let tag = '';
          while (ready < answers) {
            const message = await client.next(8_000);
            if (message === null) break;
            if (message.type === 'Z') ready++;
            if (message.type === 'C') tag = message.body.toString();
          }
          const whole = ready === answers;
          told.set(id, whole && (tag.startsWith('DELETE 1') || tag.startsWith('COMMIT')));
          client.destroy();
          if (whole) break;
        }
      }
      proxy.cut = { kind: 'never' };
      await eventually('the ends of all sessions', async () => {
        const open = await postgres.clientSessions();
        return open === 0 ? null : `${open} are open`;
      });
      gateway.assertAlive();
      const left = new Set((await postgres.sql('select id from precious')).map(([id]) => Number(id)));
      const snapshots = await recorded();
      for (const [id, success] of told) {
        if (success) expect(left.has(id), `row ${id}, of which the client was told`).toBe(false);
        if (!left.has(id)) expect(snapshots.get(id), `snapshot of row ${id}, which is gone`).toBe(false);
      }
      expect([...told.values()].filter(Boolean).length).toBe(TYPES.length);
      expect(told.size).toBeGreaterThan(20);
    });
  },
);
