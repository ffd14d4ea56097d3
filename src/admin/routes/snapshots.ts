import { z } from 'zod';
import { LIMITS } from '../../base/limits.ts';
import { shownManifestSchema, withoutRows } from '../../snapshot/manifest.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema } from '../problems.ts';
import { instant, limit, pageOf, secured, tokenProblems } from '../route-schema.ts';

/** Whole ids only: what a beginning stands for may be another snapshot tomorrow. */
export const snapshotId = z
  .string()
  .regex(/^snap_[0-9a-z]{20}$/, 'expected the whole id of a snapshot, snap_ and 20 letters and digits');

const snapshotProblems = {
  ...tokenProblems,
  404: problemSchema,
  422: problemSchema,
  503: problemSchema,
} as const;

/** What an undo needs of a database may be missing, or refused. */
export const databaseProblems = { ...snapshotProblems, 409: problemSchema, 502: problemSchema } as const;

const summary = z
  .object({
    id: snapshotId,
    created_at: z.string(),
    role: z.string(),
    database: z.string(),
    application: z.string(),
    client: z.string(),
    operation: z.string().describe('That of the statement, or `undo`.'),
    statement: z.string().describe('As sent, or with its secrets masked.'),
    tables: z
      .array(z.string())
      .readonly()
      .describe(`Those that the statement named first; ${LIMITS.snapshotTablesNamed} at most.`),
    table_count: z.int(),
    dropped: z.int().describe('How many objects a DROP moved into the trash; 0 for everything else.'),
    rows_before: z.int().describe('Rows as they were before the statement.'),
    rows_after: z.int().describe('Rows as the statement has left them.'),
    bytes: z.int().describe('Of its files.'),
    rolled_back: z.boolean().describe('The statement was taken back with its transaction: nothing to undo.'),
    undone: z.boolean().describe('It was undone, and that was not undone since.'),
  })
  .meta({ id: 'SnapshotSummary' });

const undone = z
  .object({
    undone_at: z.string(),
    by: z.string(),
    xid: z.string().describe('The transaction of the undo.'),
    undo_snapshot: snapshotId.nullable().describe('The snapshot of the undo, which undoes it.'),
  })
  .nullable()
  .describe('By whom it was undone, unless that was undone since.');

const unreadable = z
  .object({ id: z.string(), problem: z.string().describe('Why its manifest cannot be read.') })
  .meta({ id: 'UnreadableSnapshot' });

const verification = z.object({
  ok: z.boolean(),
  files: z.int(),
  rows: z.int(),
  bytes: z.int(),
  faults: z.array(z.object({ blob: z.string(), reason: z.string() })).readonly(),
  signature: z
    .enum(['valid', 'none', 'of an unknown key', 'wrong'])
    .describe('Of the manifest, by the key of the audit.'),
});

export const offset = z
  .string()
  .regex(/^\d{1,15}$/, 'expected a whole number')
  .transform(Number)
  .optional();

const rowsQuery = z.strictObject({
  table: z
    .string()
    .max(300)
    .optional()
    .describe('With its schema or without; else the one that the statement named.'),
  which: z
    .enum(['before', 'after'])
    .default('before')
    .describe('As they were before the statement, or after it.'),
  values: z
    .enum(['json', 'text'])
    .default('json')
    .describe('Each value as JSON has it, or as the text that the database writes.'),
  limit,
  cursor: offset,
});

const word = z.string().min(1).max(300).optional();

const listQuery = z.strictObject({
  since: instant.optional().describe('From this time on.'),
  until: instant.optional().describe('Before this time.'),
  table: word.describe('With its schema, or in any; also reached by a foreign key, or dropped.'),
  role: word,
  database: word,
  operation: word.describe('Such as `delete`, `drop table`, `undo`.'),
  mark: z
    .enum(['undone', 'rolled_back', 'none'])
    .optional()
    .describe('`none`: neither undone nor rolled back.'),
  limit,
  cursor: snapshotId.optional(),
});

type Deps = Pick<AdminDeps, 'snapshots'>;

/** What was there before destructive statements. */
export function snapshotRoutes(app: AdminApp, { snapshots }: Deps): void {
  app.get(
    '/v1/snapshots',
    {
      config: { scope: 'snapshot:read' },
      schema: {
        summary: 'List snapshots, the newest first',
        ...secured('snapshot:read'),
        querystring: listQuery,
        response: {
          200: pageOf(z.union([summary, unreadable])),
          ...tokenProblems,
          404: problemSchema,
          503: problemSchema,
        },
      },
    },
    async ({ query: { limit, cursor, since, until, ...asked } }) => {
      const filter = { ...asked, sinceMs: since, untilMs: until };
      return await snapshots.list({ filter, before: cursor ?? null, limit });
    },
  );
  app.get(
    '/v1/snapshots/:id',
    {
      config: { scope: 'snapshot:read' },
      schema: {
        summary: 'Show the manifest of a snapshot',
        ...secured('snapshot:read'),
        params: z.object({ id: snapshotId }),
        response: {
          200: shownManifestSchema
            .extend({ folder: z.string(), rolled_back: z.boolean(), undone })
            .meta({ id: 'Snapshot' }),
          ...snapshotProblems,
        },
      },
    },
    async ({ params }) => {
      const { manifest, folder, rolledBack, undone } = await snapshots.get(params.id);
      return { ...withoutRows(manifest), folder, rolled_back: rolledBack, undone };
    },
  );
  app.post(
    '/v1/snapshots/:id/verify',
    {
      config: { scope: 'snapshot:read' },
      schema: {
        summary: 'Read a snapshot whole, and say what is not as it was written',
        ...secured('snapshot:read'),
        params: z.object({ id: snapshotId }),
        body: z.strictObject({}).nullish(),
        response: { 200: verification, ...snapshotProblems, 415: problemSchema },
      },
    },
    async ({ params }) => {
      const verified = await snapshots.verify(params.id);
      return { ok: verified.faults.length === 0 && verified.signature !== 'wrong', ...verified };
    },
  );
  rowsRoute(app, { snapshots });
  app.delete(
    '/v1/snapshots/:id',
    {
      config: { scope: 'snapshot:write' },
      schema: {
        summary: 'Remove a snapshot for good',
        ...secured('snapshot:write'),
        params: z.object({ id: snapshotId }),
        response: { 200: z.object({ id: snapshotId, removed: z.literal(true) }), ...snapshotProblems },
      },
    },
    async ({ params: { id }, principal, ip }) => {
      await snapshots.remove(id, { name: principal?.name ?? 'unknown', client: ip });
      return { id, removed: true as const };
    },
  );
}

/** The rows are JSON as the database wrote it, whose numbers may be longer than those of JavaScript. */
function rowsRoute(app: AdminApp, { snapshots }: Deps): void {
  app.get(
    '/v1/snapshots/:id/rows',
    {
      config: { scope: 'snapshot:rows' },
      schema: {
        summary: 'Show rows of a snapshot',
        ...secured('snapshot:rows'),
        params: z.object({ id: snapshotId }),
        querystring: rowsQuery,
        response: {
          200: pageOf(z.record(z.string(), z.unknown())).extend({
            table: z.string(),
            which: z.enum(['before', 'after']),
            total: z.int(),
          }),
          ...databaseProblems,
        },
      },
    },
    async ({ params, query: { table, which, values: form, limit, cursor: from = 0 } }, reply) => {
      const page = await snapshots.rows(params.id, { table, which, form, from, limit });
      const next = page.next === null ? null : String(page.next);
      const head = JSON.stringify({ table: page.table, which, total: page.total, next }).slice(0, -1);
      // Fastify would serialise what it is given, by the schema.
      const text = `${head},"items":[${page.rows.join(',')}]}`;
      return reply
        .type('application/json; charset=utf-8')
        .serializer(() => text)
        .send({ items: [], next, table: page.table, which, total: page.total });
    },
  );
}
