import { TRASH_SCHEMA } from './definitions.ts';
import type { RestoreStep, TrashedObject } from './plan.ts';
import { json, type TrashSession } from './session.ts';

/** What a manifest says of a DROP that was done as a move. */
export interface Dropped {
  readonly objects: readonly TrashedObject[];
  readonly restores: readonly RestoreStep[];
}

export interface RestoreConflict {
  readonly what: string;
  readonly reason: string;
}

export type RestoreOutcome =
  | {
      readonly kind: 'restored';
      readonly objects: number;
      readonly dryRun: boolean;
      /** What could not be brought back, although all else was. */
      readonly lacking: readonly RestoreConflict[];
    }
  /** Nothing has been changed. */
  | { readonly kind: 'conflict'; readonly conflicts: readonly RestoreConflict[] };

/** What is no longer in the trash, and whose name or schema is not free or not there. $1: the objects. */
const CHECK = `
WITH wanted AS MATERIALIZED (
  SELECT o.* FROM pg_catalog.jsonb_to_recordset($1::pg_catalog.jsonb)
    o(kind pg_catalog.text, schema pg_catalog.text, name pg_catalog.text, trash_name pg_catalog.text)
), relations AS (
  SELECT w.*, w.kind = ANY ('{index,sequence}') OR w.kind LIKE '%table' OR w.kind LIKE '%view' AS relation FROM wanted w
)
SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('what', w.kind || ' ' || w.schema || '.' || w.name, 'reason', x.reason))::pg_catalog.text
  FROM relations w CROSS JOIN LATERAL (
    SELECT 'it is no longer in the trash' AS reason
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = '${TRASH_SCHEMA}' AND c.relname = w.trash_name)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
                        WHERE n.nspname = '${TRASH_SCHEMA}' AND t.typname = w.trash_name)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
                        WHERE n.nspname = '${TRASH_SCHEMA}' AND f.proname = w.trash_name)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
                        WHERE n.nspname = '${TRASH_SCHEMA}' AND s.stxname = w.trash_name)
    UNION ALL
    SELECT 'the schema ' || w.schema || ' is not there'
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = w.schema) AND NOT w.schema = ANY ($2::pg_catalog.text[])
    UNION ALL
    SELECT 'its name is taken by now'
     WHERE w.relation AND EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                                   WHERE n.nspname = w.schema AND c.relname = w.name)
  ) x`;

const SAVEPOINT = 'holdfast_restore';
const OPTIONAL = 'holdfast_optional';

/** Puts back what a DROP has moved, in one transaction. */
export async function restoreDropped(
  session: TrashSession,
  dropped: Dropped,
  options: { readonly dryRun?: boolean } = {},
): Promise<RestoreOutcome> {
  await session.query('BEGIN');
  try {
    const outcome = await restoreWithin(session, dropped, options);
    await session.query(outcome.kind === 'restored' && !outcome.dryRun ? 'COMMIT' : 'ROLLBACK');
    return outcome;
  } catch (error) {
    await session.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** The same in a transaction that is open, which it leaves as it was where there are conflicts. */
export async function restoreWithin(
  session: TrashSession,
  { objects, restores }: Dropped,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<RestoreOutcome> {
  await session.query(`SAVEPOINT ${SAVEPOINT}`);
  await session.query(`SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)`);
  const conflicts = await conflictsOf(session, objects, restores);
  const lacking: RestoreConflict[] = [];
  let failed: RestoreConflict | null = null;
  if (conflicts.length === 0) failed = await run(session, restores, lacking);
  if (conflicts.length > 0 || failed !== null || dryRun)
    await session.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  await session.query(`RELEASE SAVEPOINT ${SAVEPOINT}`);
  if (conflicts.length > 0) return { kind: 'conflict', conflicts };
  if (failed !== null) return { kind: 'conflict', conflicts: [failed] };
  return { kind: 'restored', objects: objects.length, dryRun, lacking };
}

async function conflictsOf(
  session: TrashSession,
  objects: readonly TrashedObject[],
  restores: readonly RestoreStep[],
): Promise<readonly RestoreConflict[]> {
  const made = restores.flatMap(
    ({ sql }) => /^CREATE SCHEMA "((?:[^"]|"")*)"$/.exec(sql)?.[1]?.replaceAll('""', '"') ?? [],
  );
  const schemas = `{${made.map((name) => `"${name.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;
  return (
    (await json<readonly RestoreConflict[] | null>(session, CHECK, [JSON.stringify(objects), schemas])) ?? []
  );
}

async function run(
  session: TrashSession,
  restores: readonly RestoreStep[],
  lacking: RestoreConflict[],
): Promise<RestoreConflict | null> {
  for (const { sql, what, optional } of restores) {
    try {
      if (optional === true) await session.query(`SAVEPOINT ${OPTIONAL}`);
      await session.query(sql);
    } catch (error) {
      const reason = session.refusal(error);
      if (reason === null) throw error;
      if (optional !== true) return { what, reason };
      await session.query(`ROLLBACK TO SAVEPOINT ${OPTIONAL}`);
      lacking.push({ what, reason });
    }
    if (optional === true) await session.query(`RELEASE SAVEPOINT ${OPTIONAL}`);
  }
  return null;
}
