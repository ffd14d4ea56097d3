import { TRASH_SCHEMA } from './definitions.ts';
import { json, type TrashSession } from './session.ts';
import type { RestoreStep, TrashedObject } from './steps.ts';

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
  for (const step of restores) {
    if (step.as !== undefined && (await takenBack(session, () => runAs(session, step, step.as!))) === null) {
      continue;
    }
    const { what, sql, as } = step;
    if (step.optional !== true) {
      try {
        await session.query(sql);
        await withoutDefaultRights(session, sql);
      } catch (error) {
        const reason = session.refusal(error);
        if (reason === null) throw error;
        return { what, reason };
      }
      continue;
    }
    const reason = await takenBack(session, () => session.query(sql));
    if (reason !== null) lacking.push({ what, reason });
    else if (as !== undefined) lacking.push({ what, reason: `${as} had given them, and now the owner has` });
  }
  return null;
}

const NAME = '"(?:[^"]|"")*"';
const MADE = new RegExp(`^CREATE (MATERIALIZED VIEW|SCHEMA) (${NAME}(?:\\.${NAME})?)`);

/** What is made anew begins with the rights that ALTER DEFAULT PRIVILEGES gives, whom nobody had given any to it. */
async function withoutDefaultRights(session: TrashSession, sql: string): Promise<void> {
  const [, kind, name] = MADE.exec(sql) ?? [];
  if (kind === undefined || name === undefined) return;
  const of =
    kind === 'SCHEMA'
      ? '(SELECT n.nspowner AS owner, n.nspacl AS acl FROM pg_catalog.pg_namespace n WHERE n.oid = $1::pg_catalog.regnamespace)'
      : '(SELECT c.relowner AS owner, c.relacl AS acl FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.regclass)';
  const given = await session.query(
    `SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END
       FROM ${of} x CROSS JOIN LATERAL pg_catalog.aclexplode(x.acl) g WHERE g.grantee <> x.owner`,
    [name],
  );
  if (given.length === 0) return;
  const whom = given.map(([role]) => role).join(', ');
  await session.query(`REVOKE ALL ON ${kind === 'SCHEMA' ? 'SCHEMA ' : ''}${name} FROM ${whom} CASCADE`);
}

async function runAs(session: TrashSession, { sql }: RestoreStep, role: string): Promise<void> {
  const [before] = await session.query(`SELECT pg_catalog.current_setting('role')`);
  await session.query(`SELECT pg_catalog.set_config('role', $1, true)`, [role]);
  await session.query(sql);
  await session.query(`SELECT pg_catalog.set_config('role', $1, true)`, [before?.[0] ?? 'none']);
}

/** Why the server has refused it, which leaves nothing of it; null where it has not. */
async function takenBack(session: TrashSession, work: () => Promise<unknown>): Promise<string | null> {
  await session.query(`SAVEPOINT ${OPTIONAL}`);
  try {
    await work();
  } catch (error) {
    const reason = session.refusal(error);
    if (reason === null) throw error;
    await session.query(`ROLLBACK TO SAVEPOINT ${OPTIONAL}`);
    await session.query(`RELEASE SAVEPOINT ${OPTIONAL}`);
    return reason;
  }
  await session.query(`RELEASE SAVEPOINT ${OPTIONAL}`);
  return null;
}
