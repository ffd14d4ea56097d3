import { quoteQualified } from '../catalog/quote.ts';
import { alteredSince, notAsBefore } from './altered.ts';
import { ON_CONFLICT } from './column-values.ts';
import type { Altered } from './definition-changes.ts';
import { TRASH_SCHEMA } from './definitions.ts';
import { madeAnew, madeBy } from './made-anew.ts';
import { overOtherDefaults } from './other-defaults.ts';
import { notReplaced, type Replaced, replacedSince } from './replace-routine.ts';
import { json, type TrashSession } from './session.ts';
import { differences } from './standing.ts';
import type { RestoreStep, TrashedObject } from './steps.ts';
import { textArray } from './trial.ts';

/** What a manifest says of a DROP that was done as a move. */
export interface Dropped {
  readonly objects: readonly TrashedObject[];
  readonly restores: readonly RestoreStep[];
  /** Of an ALTER. */
  readonly altered?: Altered | undefined;
  /** Of a CREATE OR REPLACE. */
  readonly replaced?: Replaced | undefined;
  /** For values that a restore has left over. */
  readonly rest?: readonly RestoreStep[] | undefined;
}

export interface RestoreConflict {
  readonly what: string;
  readonly reason: string;
  /** The same for those who may not see rows, where the reason has the server's words, which may have values of them. */
  readonly bareReason?: string;
}

/** What the server has refused, with its words. */
const refusedBy = (what: string, reason: string): RestoreConflict => ({ what, reason, bareReason: REFUSED });
export const REFUSED = 'the database refused it';

export type RestoreOutcome =
  | {
      readonly kind: 'restored';
      readonly objects: number;
      readonly dryRun: boolean;
      /** What could not be brought back, although all else was. */
      readonly lacking: readonly RestoreConflict[];
      /** Values that belonged to no row are left, and may be brought back another time. */
      readonly left: boolean;
    }
  /** Nothing has been changed. */
  | { readonly kind: 'conflict'; readonly conflicts: readonly RestoreConflict[] };

/** Whose name or schema is not free, or not there. $1: the objects. $2: schemas that are made anew. $3: such relations. */
const CHECK = `
WITH wanted AS MATERIALIZED (
  SELECT o.*, o.kind = ANY ('{index,sequence}') OR o.kind LIKE '%table' OR o.kind LIKE '%view' AS relation
    FROM pg_catalog.jsonb_to_recordset($1::pg_catalog.jsonb)
      o(oid pg_catalog.oid, kind pg_catalog.text, schema pg_catalog.text, name pg_catalog.text)
)
SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('what', x.what, 'reason', x.reason))::pg_catalog.text FROM (
  SELECT w.kind || ' ' || w.schema || '.' || w.name AS what, y.reason FROM wanted w CROSS JOIN LATERAL (
    SELECT 'the schema ' || w.schema || ' is not there' AS reason
     WHERE w.kind <> 'database' AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = w.schema) AND NOT w.schema = ANY ($2::pg_catalog.text[])
    UNION ALL
    SELECT 'its name is taken by now' FROM pg_catalog.pg_namespace n WHERE n.nspname = w.schema AND (
      w.relation AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = w.name)
      OR w.kind = ANY ('{type,domain}') AND EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = w.name)
      OR w.kind = 'statistics' AND EXISTS (SELECT FROM pg_catalog.pg_statistic_ext s WHERE s.stxnamespace = n.oid AND s.stxname = w.name)
      OR w.kind = 'routine' AND EXISTS (SELECT FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_proc g ON g.proname = w.name
           AND g.pronamespace = n.oid AND g.proargtypes = f.proargtypes WHERE f.oid = w.oid))
  ) y
  UNION ALL
  SELECT 'database ' || w.name, 'its name is taken by now' FROM wanted w JOIN pg_catalog.pg_database d ON d.datname = w.name
   WHERE w.kind = 'database'
  UNION ALL
  SELECT 'schema ' || n.nspname, 'its name is taken by now' FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($2::pg_catalog.text[])
  UNION ALL
  SELECT 'materialized view ' || u.name, 'its name is taken by now'
    FROM pg_catalog.unnest($3::pg_catalog.text[]) u(name) WHERE pg_catalog.to_regclass(u.name) IS NOT NULL
) x`;

const SAVEPOINT = 'holdfast_restore';
const OPTIONAL = 'holdfast_optional';

export interface RestoreOptions {
  /** All of it is done, and taken back. */
  readonly dryRun?: boolean;
  /** What was changed in the trash is brought back as it is by now. */
  readonly bearing?: boolean;
  /** What becomes of rows that are not as the statement has left them, where values of a column come back. */
  readonly onConflict?: 'fail' | 'skip' | 'overwrite';
}

/** Puts back what a DROP has moved, in one transaction, and then what does not belong into it. */
export async function restoreDropped(
  session: TrashSession,
  dropped: Dropped,
  options: RestoreOptions = {},
): Promise<RestoreOutcome> {
  let outcome: RestoreOutcome;
  await session.query('BEGIN');
  try {
    outcome = await restoreWithin(session, dropped, options);
    await session.query(outcome.kind === 'restored' && !outcome.dryRun ? 'COMMIT' : 'ROLLBACK');
  } catch (error) {
    await session.query('ROLLBACK').catch(() => {});
    throw error;
  }
  if (outcome.kind !== 'restored' || outcome.dryRun) return outcome;
  const late: RestoreConflict[] = [];
  for (const { sql, what } of stepsAfter(dropped)) {
    await session.query('BEGIN');
    const reason = await takenBack(session, () => session.query(sql));
    await session.query('COMMIT');
    if (reason !== null) late.push(refusedBy(what, reason));
  }
  return { ...outcome, lacking: [...outcome.lacking, ...late] };
}

/** What is to be done once the rest is committed, each by itself; all else is worth having without it. */
export const stepsAfter = ({ restores }: Dropped): RestoreStep[] =>
  restores.filter(({ after }) => after === true);

interface Obstacles {
  readonly conflicts: readonly RestoreConflict[];
  readonly borne: readonly RestoreConflict[];
  /** Steps that are left out, since others have done otherwise meanwhile. */
  readonly leftOut: readonly RestoreStep[];
}

/** What stands in the way of a restore, as far as the catalogs tell: nothing is tried, and nothing locked. */
export async function obstacles(
  session: TrashSession,
  { objects, restores, altered, replaced }: Dropped,
  { bearing = false, onConflict = 'fail' }: RestoreOptions = {},
  lock = false,
): Promise<Obstacles> {
  const found = await differences(session, objects);
  const overwrites = onConflict === 'overwrite';
  const since = [
    ...(altered === undefined ? [] : await alteredSince(session, altered, { lock, bearing: overwrites })),
    ...(replaced === undefined ? [] : await replacedSince(session, replaced, { bearing: overwrites })),
  ];
  const told = (bearable: boolean) =>
    found
      .filter((each) => (bearing && each.bearable) === bearable)
      .map(({ object: { kind, schema, name }, reason }) => ({
        what: `${kind} ${schema === '' ? name : `${schema}.${name}`}`,
        reason,
      }));
  const defaults =
    altered === undefined && !overwrites ? await overOtherDefaults(session, objects, restores) : [];
  const taken = defaults.map(({ what }) => ({ what, reason: 'the column has another one by now' }));
  const named = await conflictsOf(session, objects, restores);
  if (!bearing) return { conflicts: [...told(false), ...since, ...taken, ...named], borne: [], leftOut: [] };
  return {
    conflicts: [...told(false), ...since, ...named],
    borne: [...told(true), ...taken],
    leftOut: defaults,
  };
}

/** The same in a transaction that is open, which it leaves as it was where there are conflicts. */
export async function restoreWithin(
  session: TrashSession,
  dropped: Dropped,
  options: RestoreOptions = {},
): Promise<RestoreOutcome> {
  const { dryRun = false, onConflict = 'fail' } = options;
  await session.query(`SAVEPOINT ${SAVEPOINT}`);
  await session.query(
    `SELECT pg_catalog.set_config('search_path', 'pg_catalog', true), pg_catalog.set_config($1, $2, true)`,
    [ON_CONFLICT, onConflict],
  );
  const { conflicts, borne, leftOut } = await obstacles(session, dropped, options, true);
  const lacking = [...borne];
  const steps = dropped.restores
    .filter((step) => (dryRun || step.after !== true) && !leftOut.includes(step))
    .map((step) => (options.bearing === true && isOfKey(dropped, step) ? asOptional(step) : step));
  const failed = conflicts.length === 0 ? await runAndCompare(session, dropped, steps, lacking) : null;
  const left = conflicts.length === 0 && failed === null ? await leftOver(session, dropped) : [];
  lacking.push(...left);
  if (conflicts.length > 0 || failed !== null || dryRun)
    await session.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  await session.query(`RELEASE SAVEPOINT ${SAVEPOINT}`);
  if (conflicts.length > 0) return { kind: 'conflict', conflicts };
  if (failed !== null) return { kind: 'conflict', conflicts: [failed] };
  return { kind: 'restored', objects: dropped.objects.length, dryRun, lacking, left: left.length > 0 };
}

/** Of a foreign key that a DROP has cut, which rows that came since may not keep; all else is worth having without it. */
const isOfKey = ({ altered, objects }: Dropped, { what }: RestoreStep): boolean =>
  altered === undefined &&
  !objects.some(({ kind }) => kind === 'column') &&
  what.startsWith('the foreign key ');

const asOptional = (step: RestoreStep): RestoreStep => ({ ...step, optional: true });

async function runAndCompare(
  session: TrashSession,
  { altered, replaced }: Dropped,
  steps: readonly RestoreStep[],
  lacking: RestoreConflict[],
): Promise<RestoreConflict | null> {
  const failed = await run(session, steps, lacking);
  if (failed !== null) return failed;
  if (replaced !== undefined) return await notReplaced(session, replaced);
  return altered === undefined ? null : ((await notAsBefore(session, altered))[0] ?? null);
}

/** Values of columns that belong to no row any more, which stay in the trash. */
async function leftOver(session: TrashSession, { objects }: Dropped): Promise<RestoreConflict[]> {
  const out: RestoreConflict[] = [];
  for (const { kind, schema, name, trash_name } of objects) {
    if (kind !== 'column') continue;
    const copy = quoteQualified(TRASH_SCHEMA, trash_name);
    const [row] = await session.query('SELECT pg_catalog.to_regclass($1) IS NOT NULL', [copy]);
    const reason = `values of rows that are gone or have changed are left in ${TRASH_SCHEMA}.${trash_name}`;
    if (row?.[0] === 't') out.push({ what: `column ${schema}.${name}`, reason });
  }
  return out;
}

async function conflictsOf(
  session: TrashSession,
  objects: readonly TrashedObject[],
  restores: readonly RestoreStep[],
): Promise<readonly RestoreConflict[]> {
  const made = madeAnew(restores);
  const schemas = made.flatMap(({ kind, name }) => (kind === 'schema' ? [name] : []));
  const views = made.flatMap(({ kind, quoted }) => (kind === 'materialized view' ? [quoted] : []));
  const asked = objects.map(({ oid, kind, schema, name }) => ({ oid, kind, schema, name }));
  return (
    (await json<readonly RestoreConflict[] | null>(session, CHECK, [
      JSON.stringify(asked),
      textArray(schemas),
      textArray(views),
    ])) ?? []
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
        return refusedBy(what, reason);
      }
      continue;
    }
    const reason = await takenBack(session, () => session.query(sql));
    if (reason !== null) lacking.push(refusedBy(what, reason));
    else if (as !== undefined) lacking.push({ what, reason: `${as} had given them, and now the owner has` });
  }
  return null;
}

/** What is made anew begins with the rights that ALTER DEFAULT PRIVILEGES gives, whom nobody had given any to it. */
async function withoutDefaultRights(session: TrashSession, sql: string): Promise<void> {
  const made = madeBy(sql);
  if (made === null) return;
  const { kind, quoted } = made;
  const of =
    kind === 'schema'
      ? '(SELECT n.nspowner AS owner, n.nspacl AS acl FROM pg_catalog.pg_namespace n WHERE n.oid = $1::pg_catalog.regnamespace)'
      : '(SELECT c.relowner AS owner, c.relacl AS acl FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.regclass)';
  const given = await session.query(
    `SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END
       FROM ${of} x CROSS JOIN LATERAL pg_catalog.aclexplode(x.acl) g WHERE g.grantee <> x.owner`,
    [quoted],
  );
  if (given.length === 0) return;
  const whom = given.map(([role]) => role).join(', ');
  await session.query(`REVOKE ALL ON ${kind === 'schema' ? 'SCHEMA ' : ''}${quoted} FROM ${whom} CASCADE`);
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
