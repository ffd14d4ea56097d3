import { z } from 'zod';
import { LIMITS } from '../../base/limits.ts';
import { readTableName } from '../../snapshot/table-name.ts';
import { addedJson, broughtBackJson, conflictJson, countsJson } from '../../undo/outcome-json.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema } from '../problems.ts';
import { secured } from '../route-schema.ts';
import { grants, type Token } from '../tokens.ts';
import { databaseProblems, offset, snapshotId } from './snapshots.ts';

const onConflict = z
  .enum(['fail', 'skip', 'overwrite'])
  .default('fail')
  .describe('What becomes of rows that are not as the statement left them.');

const counts = z
  .object({
    table: z.string(),
    put_back: z.int().describe('Rows that are gone, and come again.'),
    set_back: z.int().describe('Rows that were changed, and become what they were.'),
    removed: z.int().describe('Rows that the statement added.'),
    already: z.int().describe('Rows that are as they were before the statement.'),
    conflicts: z.int().describe('Rows that are not as the statement left them.'),
  })
  .meta({ id: 'UndoCounts' });

const shownRow = z.record(z.string(), z.string().nullable()).readonly().nullable();

const conflict = z
  .object({
    table: z.string(),
    undoing: z.enum(['put_back', 'set_back', 'remove']),
    kind: z
      .enum(['taken', 'held', 'changed', 'gone'])
      .describe('`taken`: another row has its key; `held`: another row has a unique value of it.'),
    key: z
      .array(z.string())
      .describe('The columns that tell its rows apart, by their names of now; none where it has no key.'),
    before: shownRow.describe('Values as text, cut short; null where there is no row.'),
    after: shownRow,
    current: shownRow,
  })
  .meta({ id: 'UndoConflict' });

const triggers = z
  .enum(['fire', 'skip'])
  .default('fire')
  .describe('Whether the triggers of the tables fire.');

const force = z
  .boolean()
  .default(false)
  .describe('Also where it is undone already, or its statement was rolled back.');

const previewBody = z
  .strictObject({
    on_conflict: onConflict,
    triggers,
    force,
    limit: z.int().min(1).max(LIMITS.undoConflictsMax).default(50).describe('How many conflicts to show.'),
    cursor: offset.describe('The `next` of the page of conflicts before.'),
  })
  .nullish();

const name = z
  .string()
  .max(300)
  .transform((text, context) => {
    const named = readTableName(text);
    if (named !== null && named.schema !== null) return { schema: named.schema, name: named.name };
    context.addIssue({
      code: 'custom',
      message: 'expected schema.table, each in double quotes if it holds a dot',
    });
    return z.NEVER;
  });

const undoBody = z
  .strictObject({
    on_conflict: onConflict,
    triggers,
    dry_run: z.boolean().default(false).describe('Do all of it, and take it back.'),
    snapshot: z
      .boolean()
      .default(true)
      .describe('Whether the undo is snapshotted itself, so that it can be undone.'),
    expected: z
      .array(counts)
      .optional()
      .describe('The `tables` of a preview: nothing is done if they have changed.'),
    into: name
      .optional()
      .describe(
        'Put the rows into this new table instead, `schema.table`, where double quotes are as in SQL.',
      ),
    table: name.optional().describe('With `into`: which table of the snapshot.'),
    force,
  })
  .nullish();

const broughtBack = {
  objects: z
    .array(z.object({ kind: z.string(), schema: z.string(), name: z.string() }))
    .describe('What was dropped; empty for everything but a DROP. A schema has no `schema`.'),
  lacking: z
    .array(z.object({ what: z.string(), reason: z.string() }))
    .describe('What is not back, or not as it was, although all else is.'),
  notes: z.array(z.string()).describe('What was known beforehand to come back otherwise than it was.'),
  added: z
    .array(z.object({ table: z.string(), rows: z.int() }))
    .describe('Rows that triggers or functions put into other tables as the statement ran: they stay there.'),
} as const;

const done = z.object({
  dry_run: z.boolean(),
  tables: z.array(counts).readonly(),
  sequences: z.array(z.string()).readonly().describe('Sequences that were moved on.'),
  undo_snapshot: snapshotId.nullable().describe('The snapshot of the undo, which undoes it.'),
  ...broughtBack,
});

/** Puts back what a snapshot holds, with the credentials of `undo.connection`. */
export function undoRoutes(app: AdminApp, { snapshots }: Pick<AdminDeps, 'snapshots'>): void {
  app.post(
    '/v1/snapshots/:id/undo/preview',
    {
      config: { scope: 'undo:preview' },
      schema: {
        summary: 'Say what an undo would do, and which rows are in its way',
        ...secured('undo:preview'),
        params: z.object({ id: snapshotId }),
        body: previewBody,
        response: {
          200: z.object({
            tables: z.array(counts).readonly(),
            conflicts: z
              .array(conflict)
              .readonly()
              .describe('Rows that are in the way; none without the scope snapshot:rows.'),
            next: z.string().nullable(),
            ...broughtBack,
          }),
          ...databaseProblems,
          415: problemSchema,
        },
      },
    },
    async ({ params, body, principal }) => {
      const {
        on_conflict = 'fail',
        triggers = 'fire',
        force = false,
        limit = 50,
        cursor: from = 0,
      } = body ?? {};
      const { tables, conflicts, dropped, added } = await snapshots.preview(params.id, {
        onConflict: on_conflict,
        triggers,
        force,
        seesRows: seesRows(principal),
        from,
        limit,
      });
      const total = tables.reduce((sum, each) => sum + each.conflicts, 0);
      const shown = from + conflicts.length;
      return {
        tables: tables.map(countsJson),
        conflicts: conflicts.map(conflictJson),
        next: conflicts.length > 0 && shown < total ? String(shown) : null,
        ...broughtBackJson(dropped),
        added: addedJson(added),
      };
    },
  );
  app.post(
    '/v1/snapshots/:id/undo',
    {
      config: { scope: 'undo:write' },
      schema: {
        summary: 'Undo what a snapshot was taken of, in one transaction',
        ...secured('undo:write'),
        params: z.object({ id: snapshotId }),
        body: undoBody,
        response: { 200: done, ...databaseProblems, 415: problemSchema },
      },
    },
    async ({ params, body, principal, ip }) => {
      const requester = { name: principal?.name ?? 'unknown', client: ip };
      const asked = { ...askedOf(body), seesRows: seesRows(principal) };
      const outcome = await snapshots.undo(params.id, asked, requester);
      return {
        dry_run: outcome.dryRun,
        tables: outcome.tables.map(countsJson),
        sequences: outcome.sequences,
        undo_snapshot: outcome.own,
        ...broughtBackJson(outcome.dropped),
        added: addedJson(outcome.added),
      };
    },
  );
}

function seesRows(principal: Token | null): boolean {
  return principal !== null && grants(principal, 'snapshot:rows');
}

function askedOf(body: z.infer<typeof undoBody>) {
  const { on_conflict, triggers, dry_run, snapshot, expected, into, table, force } = body ?? {};
  return {
    onConflict: on_conflict ?? 'fail',
    triggers: triggers ?? 'fire',
    dryRun: dry_run ?? false,
    snapshot: snapshot ?? true,
    expected:
      expected?.map(({ put_back, set_back, ...same }) => ({
        ...same,
        putBack: put_back,
        setBack: set_back,
      })) ?? null,
    into: into ?? null,
    table: table ?? null,
    force: force ?? false,
  } as const;
}
