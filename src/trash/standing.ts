import { TRASH_DATABASE, TRASH_SCHEMA } from './definitions.ts';
import { pinned } from './queries.ts';
import { json, type TrashSession } from './session.ts';
import type { TrashedObject } from './steps.ts';

/**
 * What there is to know of an object in the trash, taken when it was moved there and again before it is brought back:
 * whatever was done to it meanwhile, by its owner or because something that it rests on was dropped, shows here. Rows
 * are known by their file alone, which TRUNCATE replaces, and so does VACUUM FULL. The keys are those of DIFFERENT.
 */
export type ObjectState = Readonly<Record<string, string>>;

interface Standing {
  /** In the schema of the trash, by the name that it was given there. */
  readonly placed: boolean;
  /** In that schema, by whatever name. */
  readonly within: boolean;
  readonly state: ObjectState;
}

const DIFFERENT: Readonly<Record<string, string>> = {
  owner: 'it has another owner by now',
  columns: 'its columns are not those that it had',
  rows: 'it was emptied or written anew since, as by TRUNCATE or VACUUM FULL',
  parts: 'its constraints, indexes, defaults, triggers, rules or policies are not those that it had',
  settings: 'its rights or settings are not those that it had',
  definition: 'its definition is not that which it had',
  copy: 'what has the name of the copy is another table',
};

/** It is another object then. */
const OTHER: ReadonlySet<string> = new Set(['owner', 'copy']);

/** Shorter than it comes, since a manifest holds one for each of thousands. */
const DIGEST = (text: string) => `pg_catalog.left(pg_catalog.md5(${text}), 16)`;
const JOINED = (items: string, order: string) =>
  `coalesce(pg_catalog.string_agg(pg_catalog.concat_ws(' ', ${items}), ',' ORDER BY ${order}), '')`;

const COLUMNS = `(SELECT ${DIGEST(
  JOINED(
    'a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attisdropped, a.attidentity, a.attgenerated, a.attcollation',
    'a.attnum',
  ),
)} FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)`;

/** By their names and not their OIDs, which REINDEX CONCURRENTLY changes. */
const PARTS = DIGEST(`pg_catalog.concat_ws(';',
  (SELECT ${JOINED('x.conname, x.contype, x.convalidated, x.condeferrable, x.condeferred, x.conbin', 'x.conname')}
     FROM pg_constraint x WHERE x.conrelid = c.oid AND x.contype <> 't'),
  (SELECT ${JOINED('i.indisunique, i.indisvalid, i.indkey, i.indclass, i.indexprs, i.indpred', 'k.relname')}
     FROM pg_index i JOIN pg_class k ON k.oid = i.indexrelid WHERE i.indrelid = c.oid),
  (SELECT ${JOINED('d.adnum, d.adbin', 'd.adnum')} FROM pg_attrdef d WHERE d.adrelid = c.oid),
  (SELECT ${JOINED('t.tgname, t.tgfoid, t.tgenabled, t.tgtype, t.tgqual', 't.tgname')} FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
  (SELECT ${JOINED('w.rulename, w.ev_enabled, w.ev_action', 'w.rulename')} FROM pg_rewrite w WHERE w.ev_class = c.oid),
  (SELECT ${JOINED('y.polname, y.polcmd, y.polroles, y.polqual, y.polwithcheck', 'y.polname')} FROM pg_policy y WHERE y.polrelid = c.oid),
  (SELECT ${JOINED('h.inhparent', 'h.inhseqno')} FROM pg_inherits h WHERE h.inhrelid = c.oid))`);

const SETTINGS = DIGEST(
  `pg_catalog.concat_ws(' ', c.relacl, c.reloptions, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident)`,
);

/** An index by its name, for the same reason; so is the copy of a column, whose table has stayed, and which has an OID of its own. */
const RELATION = `
  SELECT n.nspname, c.relname AS name, CASE WHEN w.kind = 'index' THEN '{}'
      WHEN w.kind = 'column' THEN pg_catalog.jsonb_build_object('copy', c.oid::text) ELSE pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
      'owner', c.relowner::text, 'columns', ${COLUMNS}, 'parts', ${PARTS}, 'settings', ${SETTINGS},
      'rows', CASE WHEN c.relkind = ANY ('{r,m,S}'::pg_catalog."char"[]) THEN c.relfilenode::text END)) END AS state
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE CASE WHEN w.kind IN ('index', 'column') THEN n.nspname = '${TRASH_SCHEMA}' AND c.relname = w.trash_name ELSE c.oid = w.oid END`;

const ROUTINE = `
  SELECT n.nspname, f.proname, pg_catalog.jsonb_build_object('owner', f.proowner::text, 'settings', ${DIGEST('pg_catalog.concat_ws($$ $$, f.proacl, f.proconfig, f.prosecdef)')},
      'definition', ${DIGEST('pg_catalog.concat_ws($$ $$, f.proargtypes, f.prorettype, f.prosrc, f.probin, f.prosqlbody, f.provolatile, f.proisstrict, f.proargdefaults)')})
    FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace WHERE f.oid = w.oid`;

const TYPE = `
  SELECT n.nspname, t.typname, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('owner', t.typowner::text,
      'columns', (SELECT ${COLUMNS} FROM pg_class c WHERE c.oid = t.typrelid),
      'definition', ${DIGEST(`pg_catalog.concat_ws(';', t.typbasetype, t.typtypmod, t.typnotnull, t.typdefaultbin,
        (SELECT ${JOINED('e.enumlabel', 'e.enumsortorder')} FROM pg_enum e WHERE e.enumtypid = t.oid),
        (SELECT ${JOINED('x.conname, x.conbin', 'x.conname')} FROM pg_constraint x WHERE x.contypid = t.oid))`)}))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = w.oid`;

const STATISTICS = `
  SELECT n.nspname, s.stxname, pg_catalog.jsonb_build_object('owner', s.stxowner::text,
      'definition', ${DIGEST('pg_catalog.concat_ws($$ $$, s.stxrelid, s.stxkeys, s.stxkind, s.stxexprs)')})
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.oid = w.oid`;

/** Known by its name alone to be one that was dropped. */
const DATABASE = `
  SELECT CASE WHEN pg_catalog.starts_with(d.datname::text, '${TRASH_DATABASE}') THEN '${TRASH_SCHEMA}' END, d.datname,
      pg_catalog.jsonb_build_object('owner', d.datdba::text, 'settings', ${DIGEST('pg_catalog.concat_ws($$ $$, d.datacl, d.datconnlimit, d.dattablespace)')})
    FROM pg_database d WHERE d.oid = w.oid`;

/** $1: the objects, in whose order the answer is; null for what is not there. */
const STANDING = pinned(`
SELECT pg_catalog.jsonb_agg((SELECT pg_catalog.jsonb_build_object(
    'placed', x.nspname = '${TRASH_SCHEMA}' AND x.name = w.trash_name, 'within', x.nspname = '${TRASH_SCHEMA}', 'state', x.state) FROM (
  SELECT y.* FROM (${RELATION}) y WHERE w.kind NOT IN ('routine', 'type', 'domain', 'statistics', 'database')
  UNION ALL SELECT y.* FROM (${ROUTINE}) y WHERE w.kind = 'routine'
  UNION ALL SELECT y.* FROM (${TYPE}) y WHERE w.kind IN ('type', 'domain')
  UNION ALL SELECT y.* FROM (${STATISTICS}) y WHERE w.kind = 'statistics'
  UNION ALL SELECT y.* FROM (${DATABASE}) y WHERE w.kind = 'database') x) ORDER BY w.i)::text
  FROM ROWS FROM (pg_catalog.jsonb_to_recordset($1::pg_catalog.jsonb) AS (oid pg_catalog.oid, kind pg_catalog.text, trash_name pg_catalog.text))
    WITH ORDINALITY w(oid, kind, trash_name, i)`);

async function standingOf(session: TrashSession, objects: readonly TrashedObject[]) {
  const asked = objects.map(({ oid, kind, trash_name }) => ({ oid, kind, trash_name }));
  return (await json<readonly (Standing | null)[] | null>(session, STANDING, [JSON.stringify(asked)])) ?? [];
}

/** The objects as they have come to stand in the trash. */
export async function withStates(
  session: TrashSession,
  objects: readonly TrashedObject[],
): Promise<TrashedObject[]> {
  return withState(objects, await standingOf(session, objects));
}

function withState(objects: readonly TrashedObject[], standing: readonly (Standing | null)[]) {
  return objects.map((object, i): TrashedObject => {
    const state = standing[i]?.state ?? {};
    return Object.keys(state).length === 0 ? object : { ...object, state };
  });
}

/** The same, or null where one of them does not stand there by its name, because others have moved another. */
export async function movedWithStates(
  session: TrashSession,
  objects: readonly TrashedObject[],
): Promise<TrashedObject[] | null> {
  const standing = await standingOf(session, objects);
  if (standing.length !== objects.length || standing.some((each) => each?.placed !== true)) return null;
  return withState(objects, standing);
}

/** Those that stand in the trash: each is the very object that was moved there. */
export async function standingIn(
  session: TrashSession,
  objects: readonly TrashedObject[],
): Promise<TrashedObject[]> {
  const standing = await standingOf(session, objects);
  return objects.filter((object, i) => standing[i]?.placed === true && !isOther(object, standing[i]));
}

/** Of a column the copy has been found by its name; where its OID is known, it has to be that. */
function isOther({ kind, state }: TrashedObject, now: Standing): boolean {
  return kind === 'column' && state?.['copy'] !== undefined && now.state['copy'] !== state['copy'];
}

/** Whether none of them is in the trash, by whatever name. */
export async function areAway(session: TrashSession, objects: readonly TrashedObject[]): Promise<boolean> {
  const standing = await standingOf(session, objects);
  return standing.every((each, i) => each?.within !== true || isOther(objects[i]!, each));
}

export interface Difference {
  readonly object: TrashedObject;
  readonly reason: string;
  /** It is the same object, and could be brought back as it is by now. */
  readonly bearable: boolean;
}

/** How objects stand otherwise than they were left. Those of snapshots made before their state was kept are only looked for. */
export async function differences(
  session: TrashSession,
  objects: readonly TrashedObject[],
): Promise<Difference[]> {
  const standing = await standingOf(session, objects);
  return objects.flatMap((object, i) => {
    const now = standing[i] ?? null;
    if (now === null || !now.placed)
      return [{ object, reason: 'it is no longer in the trash', bearable: false }];
    return Object.entries(object.state ?? {})
      .filter(([key, value]) => now.state[key] !== value)
      .map(([key]) => ({
        object,
        reason: DIFFERENT[key] ?? 'it is not as it was',
        bearable: !OTHER.has(key),
      }));
  });
}
