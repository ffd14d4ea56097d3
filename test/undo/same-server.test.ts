import { describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/snapshot/manifest.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { previewUndo, undo } from '../../src/undo/undo.ts';
import { startPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { snap } from './put-back.ts';
import { type UndoByTest, undoByTest } from './undo-by-test.ts';

describe.each([15, 18] as const)(
  'an undo on another server than that of the snapshot, PostgreSQL %i',
  (version) => {
    let under: UndoByTest;
    undoByTest(version, (each) => {
      under = each;
    });
    const USERS = 'CREATE TABLE users (id int PRIMARY KEY, name text)';
    const LOG = 'CREATE TABLE log (id int PRIMARY KEY, line text)';
    const ROWS = `INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 5) i; INSERT INTO log VALUES (1, 'a line')`;

    async function deleted(): Promise<Manifest> {
      await under.client.rows(`DROP TABLE IF EXISTS users, log, people; ${USERS}; ${LOG}; ${ROWS}`);
      const snapped = await snap(under, { sql: 'DELETE FROM users WHERE id > 3', parameters: [] });
      if (snapped.kind === 'without') throw new Error(snapped.reason);
      return snapped.manifest;
    }

    it('puts no rows into a table that has the OID there', async () => {
      const { client } = under;
      // What a server has seen that is in use for a while, and one into which a dump of it was restored has not.
      for (let i = 0; i < 50; i++) await client.rows('SELECT pg_current_xact_id()');
      const manifest = await deleted();
      const restored = await startPostgres({ version });
      const there = await RawClient.open(restored.port);
      const session = await connectForUndo(restored.url());
      try {
        // A dump has them in another order than they were made in.
        await there.rows(`${LOG}; ${USERS}; ${ROWS}`);
        expect(await there.rows(`SELECT 'log'::regclass::oid`)).toEqual([[String(manifest.tables[0]!.oid)]]);
        const refused = {
          kind: 'refused',
          problems: [{ reason: expect.stringContaining('it is another server, or its data was restored') }],
        };
        expect(await undo({ ...under, session, manifest })).toMatchObject(refused);
        expect(await previewUndo({ ...under, session, manifest })).toMatchObject(refused);
        expect(await there.rows('SELECT count(*) FROM log')).toEqual([['1']]);
      } finally {
        await session.close();
        there.destroy();
        await restored.stop();
      }
    });

    it('nor where that has come further, unless the table may have been renamed since', async () => {
      const manifest = await deleted();
      const [table] = manifest.tables;
      const elsewhere = { ...manifest, tables: [{ ...table!, name: 'people' }] };
      expect(await undo({ ...under, manifest: elsewhere })).toMatchObject({
        kind: 'refused',
        problems: [
          {
            table: 'public.people',
            reason: expect.stringContaining('public.users has its OID here and was not renamed since'),
          },
        ],
      });
      await under.client.rows('ALTER TABLE users RENAME TO people');
      expect(await undo({ ...under, manifest })).toMatchObject({ kind: 'done', tables: [{ putBack: 2 }] });
    });

    it('is none where the schema was renamed', async () => {
      await under.client.rows('DROP SCHEMA IF EXISTS shop, store CASCADE; CREATE SCHEMA shop');
      await under.client.rows(
        'CREATE TABLE shop.users (id int PRIMARY KEY); INSERT INTO shop.users VALUES (1)',
      );
      const snapped = await snap(under, { sql: 'DELETE FROM shop.users', parameters: [] });
      if (snapped.kind === 'without') throw new Error(snapped.reason);
      await under.client.rows('ALTER SCHEMA shop RENAME TO store');
      expect(await undo({ ...under, manifest: snapped.manifest })).toMatchObject({ kind: 'done' });
    });
  },
);
