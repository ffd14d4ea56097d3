import { LIMITS } from '../base/limits.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { decodeErrorFields } from '../wire/backend.ts';
import { TRASH_SCHEMA } from './definitions.ts';
import { IS, LIST, pinned } from './queries.ts';
import { json, onHidden } from './session.ts';
import { endsStatements, given, keyOf, runDrop, type Standing } from './trial.ts';

/** What a statement would take out of the trash, so that what stands there could not be brought back whole. */
export interface Reached {
  readonly what: string;
  /** The snapshots of those DROPs. */
  readonly ids: readonly string[];
}

/** What stays where it is by RESTRICT is not reached; what hangs on an extension, or on an owner, goes without a word. */
const MAY_REACH = /\b(?:cascade|owned|extension)\b/i;

export function mayReachTrash(text: string): boolean {
  return MAY_REACH.test(text);
}

/**
 * All that stands in the trash, with how many columns it has by now and in which file it is; in a transaction that reads by
 * one snapshot there may be two versions of that. Whether there is a trash is seen even where what has come into it since
 * the transaction began is not. $1: so many at most; their digest is of all.
 */
const STANDING = pinned(`
WITH trash AS MATERIALIZED (SELECT n.oid FROM pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) '${TRASH_SCHEMA}'),
relations AS MATERIALIZED (SELECT c.oid FROM pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT t.oid FROM trash t))),
types AS MATERIALIZED (SELECT c.oid FROM pg_type c WHERE c.typnamespace OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT t.oid FROM trash t))),
objects(classid, objid) AS MATERIALIZED (
  SELECT ${IS('pg_class')}, r.oid FROM relations r
  UNION ALL SELECT ${IS('pg_type')}, t.oid FROM types t
  UNION ALL SELECT ${IS('pg_proc')}, c.oid FROM pg_proc c WHERE c.pronamespace OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT t.oid FROM trash t))
  UNION ALL SELECT ${IS('pg_statistic_ext')}, c.oid FROM pg_statistic_ext c WHERE c.stxnamespace OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT t.oid FROM trash t))
  UNION ALL SELECT ${IS('pg_attrdef')}, c.oid FROM pg_attrdef c JOIN relations r ON r.oid OPERATOR(pg_catalog.=) c.adrelid
  UNION ALL SELECT ${IS('pg_constraint')}, c.oid FROM pg_constraint c JOIN relations r ON r.oid OPERATOR(pg_catalog.=) c.conrelid
  UNION ALL SELECT ${IS('pg_constraint')}, c.oid FROM pg_constraint c JOIN types t ON t.oid OPERATOR(pg_catalog.=) c.contypid
  UNION ALL SELECT ${IS('pg_trigger')}, c.oid FROM pg_trigger c JOIN relations r ON r.oid OPERATOR(pg_catalog.=) c.tgrelid
  UNION ALL SELECT ${IS('pg_rewrite')}, c.oid FROM pg_rewrite c JOIN relations r ON r.oid OPERATOR(pg_catalog.=) c.ev_class
  UNION ALL SELECT ${IS('pg_policy')}, c.oid FROM pg_policy c JOIN relations r ON r.oid OPERATOR(pg_catalog.=) c.polrelid
), standing(classid, objid, columns, file) AS MATERIALIZED (
  SELECT o.classid::int8, o.objid::int8,
      (SELECT pg_catalog.count(*) FROM pg_attribute a WHERE o.classid OPERATOR(pg_catalog.=) ${IS('pg_class')}
        AND a.attrelid OPERATOR(pg_catalog.=) o.objid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped),
      (SELECT pg_catalog.max(c.relfilenode::int8) FROM pg_class c WHERE o.classid OPERATOR(pg_catalog.=) ${IS('pg_class')} AND c.oid OPERATOR(pg_catalog.=) o.objid)
    FROM objects o
)
SELECT pg_catalog.jsonb_build_object(
  'isThere', pg_catalog.to_regnamespace('${TRASH_SCHEMA}') IS NOT NULL,
  'oneSnapshot', pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) ALL (ARRAY['read committed', 'read uncommitted']),
  'eventTriggers', EXISTS (SELECT FROM pg_event_trigger e WHERE e.evtenabled OPERATOR(pg_catalog.<>) 'D'),
  'digest', (SELECT pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', s.classid, s.objid, s.columns, s.file), 0)) FROM standing s)::text,
  'objects', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.classid, s.objid, s.columns, s.file))
    FROM (SELECT s.* FROM standing s LIMIT $1::int8) s),
  'tied', (SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_array(p.classid::int8, p.objid::int8, 0)) FROM objects p
     JOIN pg_depend d ON d.classid OPERATOR(pg_catalog.=) p.classid AND d.objid OPERATOR(pg_catalog.=) p.objid
    WHERE d.refobjid OPERATOR(pg_catalog.>=) 16384::oid AND d.refclassid OPERATOR(pg_catalog.<>) ${IS('pg_namespace')}
      AND NOT EXISTS (SELECT FROM objects o WHERE o.classid OPERATOR(pg_catalog.=) d.refclassid AND o.objid OPERATOR(pg_catalog.=) d.refobjid)))::text`);

/** How the server calls the given objects, and the name in the trash of what each of them is, or is a part of. */
const NAMED = pinned(`
SELECT ${LIST(
  `pg_catalog.jsonb_build_array(pg_catalog.pg_describe_object(g.classid, g.objid, 0), COALESCE(
    (SELECT r.relname::text FROM pg_class r WHERE r.oid OPERATOR(pg_catalog.=) COALESCE(
      (SELECT i.indrelid FROM pg_index i WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_class')} AND i.indexrelid OPERATOR(pg_catalog.=) g.objid),
      (SELECT c.adrelid FROM pg_attrdef c WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_attrdef')} AND c.oid OPERATOR(pg_catalog.=) g.objid),
      (SELECT c.conrelid FROM pg_constraint c WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_constraint')} AND c.oid OPERATOR(pg_catalog.=) g.objid AND c.conrelid OPERATOR(pg_catalog.<>) 0::oid),
      (SELECT c.tgrelid FROM pg_trigger c WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_trigger')} AND c.oid OPERATOR(pg_catalog.=) g.objid),
      (SELECT c.ev_class FROM pg_rewrite c WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_rewrite')} AND c.oid OPERATOR(pg_catalog.=) g.objid),
      (SELECT c.polrelid FROM pg_policy c WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_policy')} AND c.oid OPERATOR(pg_catalog.=) g.objid),
      CASE WHEN g.classid OPERATOR(pg_catalog.=) ${IS('pg_class')} THEN g.objid END)),
    (SELECT t.typname::text FROM pg_type t WHERE t.oid OPERATOR(pg_catalog.=) COALESCE(
      (SELECT c.contypid FROM pg_constraint c WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_constraint')} AND c.oid OPERATOR(pg_catalog.=) g.objid),
      CASE WHEN g.classid OPERATOR(pg_catalog.=) ${IS('pg_type')} THEN g.objid END)),
    (SELECT c.proname::text FROM pg_proc c WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_proc')} AND c.oid OPERATOR(pg_catalog.=) g.objid),
    (SELECT c.stxname::text FROM pg_statistic_ext c WHERE g.classid OPERATOR(pg_catalog.=) ${IS('pg_statistic_ext')} AND c.oid OPERATOR(pg_catalog.=) g.objid)))`,
  'g.i',
)}::text FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[])) WITH ORDINALITY g(classid, objid, i)`);

/** And the file, of what has one. */
type InFile = readonly [...Standing, file: number | null];

interface TrashStanding {
  readonly isThere: boolean;
  readonly oneSnapshot: boolean;
  readonly eventTriggers: boolean;
  readonly digest: string | null;
  readonly objects: readonly InFile[] | null;
  /** Those that rest on anything outside. */
  readonly tied: readonly Standing[] | null;
}

/** Of more than are compared one by one. */
const UNNAMED: Reached = { what: 'some of what is in the trash', ids: [] };

const SAVEPOINT = 'holdfast_reached';

/**
 * What a statement that cannot be moved would take out of the trash; null where nothing. It is tried in a savepoint, as it
 * would run. Where it may not be tried, because event triggers would run, all counts that rests on anything outside.
 */
export async function reachedInTrash(
  connection: HiddenConnection,
  text: string,
  comparedMax: number = LIMITS.trashObjectsMax,
): Promise<Reached | null> {
  if (!mayReachTrash(text)) return null;
  const session = onHidden(connection);
  const look = async () => await json<TrashStanding>(session, STANDING, [String(comparedMax + 1)]);
  const standing = await look();
  const { isThere, oneSnapshot, eventTriggers, tied } = standing;
  const objects = standing.objects ?? [];
  if (!isThere) return null;
  const named = async (
    found: readonly (readonly [number, number, ...unknown[]])[],
    left: ReadonlyMap<string, string> = new Map(),
  ): Promise<Reached | null> => {
    if (found.length === 0) return null;
    const names = await json<readonly (readonly [string, string | null])[]>(session, NAMED, given(found));
    const isLess = new Set(found.flatMap((each, i) => (left.has(keyOf(each)) ? [i] : [])));
    return reachedOf(names.map(([what, name], i) => [isLess.has(i) ? `a part of ${what}` : what, name]));
  };
  if (eventTriggers) return await named(/\bowned\b/i.test(text) ? objects : (tied ?? []));
  await session.query(`SAVEPOINT ${SAVEPOINT}`);
  await session.query("SELECT pg_catalog.set_config('client_min_messages', 'notice', true)");
  const run = await runDrop(connection, session, text, []);
  const after = run.kind === 'tried' ? await look() : standing;
  await session.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  await session.query(`RELEASE SAVEPOINT ${SAVEPOINT}`);
  if (run.kind === 'refused') {
    if (endsStatements(run.error)) throw run.error;
    return null;
  }
  if (after.digest !== standing.digest && objects.length > comparedMax) return UNNAMED;
  const left = new Map((after.objects ?? []).map((each) => [keyOf(each), JSON.stringify(each)]));
  const changed = objects.filter((each) => left.get(keyOf(each)) !== JSON.stringify(each));
  const found = after.digest === standing.digest ? null : await named(changed, left);
  return found ?? (oneSnapshot ? saidOf(run.notices) : null);
}

const SNAPSHOT_ID = /snap_[0-9a-z]{20}(?=_\d+)/g;

function reachedOf(named: readonly (readonly [what: string, name: string | null])[]): Reached {
  const ids = named.flatMap(([, name]) => name?.match(SNAPSHOT_ID) ?? []);
  // Each relation has a type of its name, and a key its triggers, which say less.
  const told = named
    .map(([what]) => what)
    .find((what) => !/^(?:a part of )?(?:type|trigger|rule|index) /.test(what));
  return { what: told ?? named[0]![0], ids: [...new Set(ids)] };
}

/** How many lines the server tells of what CASCADE takes along. */
const LINES_MAX = 100;

/** In a transaction that reads by one snapshot what has come into the trash since is told by the server alone. */
function saidOf(notices: readonly Buffer[]): Reached | null {
  const lines = notices.flatMap((notice) => {
    const { M = '', D = '' } = decodeErrorFields(notice) ?? {};
    return [M, ...D.split('\n')];
  });
  const said = lines.filter((line) => line.includes(`${TRASH_SCHEMA}.`) || line.match(SNAPSHOT_ID) !== null);
  const ids = [...new Set(said.flatMap((line) => line.match(SNAPSHOT_ID) ?? []))];
  if (said.length > 0) return { what: said[0]!.replace(/^drop cascades to /, ''), ids };
  return lines.length > LINES_MAX ? { what: 'what the server does not tell by name', ids: [] } : null;
}
