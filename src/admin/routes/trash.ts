import { z } from 'zod';
import { purgedJson, totalOf } from '../../undo/purge-trash.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { secured } from '../route-schema.ts';
import { databaseProblems, snapshotId } from './snapshots.ts';

const item = z
  .object({
    id: snapshotId.describe('The snapshot of the DROP.'),
    dropped_at: z.string(),
    purged_after: z.string().nullable().describe('Null where nothing is purged by age.'),
    archived: z.boolean().describe('Whether its rows are copied to the snapshots.'),
    database: z.string(),
    objects: z.int(),
    bytes: z.int().describe('What it takes on the disk of the database, with indexes.'),
    statement: z.string(),
    kept: z.object({ objects: z.int(), reason: z.string() }).nullable(),
  })
  .meta({ id: 'Trashed' });

const listed = z.object({
  items: z.array(item),
  total: z.object({ drops: z.int(), objects: z.int(), bytes: z.int() }),
  failures: z
    .array(z.object({ of: z.string(), reason: z.string() }))
    .describe('Databases that could not be reached, and snapshots that could not be read.'),
});

/** What DROPs have moved away. */
export function trashRoutes(app: AdminApp, { snapshots }: Pick<AdminDeps, 'snapshots'>): void {
  app.get(
    '/v1/trash',
    {
      config: { scope: 'snapshot:read' },
      schema: {
        summary: 'List what DROPs have left in the trash of all databases, the oldest first',
        ...secured('snapshot:read'),
        response: { 200: listed, ...databaseProblems },
      },
    },
    async () => {
      const { purged, failures } = await snapshots.trash();
      const items = purged.map((each) => purgedJson(each, snapshots.trashRetentionMs));
      return { items, total: totalOf(purged), failures: [...failures] };
    },
  );
}
