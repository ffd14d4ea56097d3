import { quoteName, quoteQualified } from '../catalog/quote.ts';
import { RELATION_WORDS } from './definitions.ts';
import { pinned } from './queries.ts';
import { json, type TrashSession } from './session.ts';
import { given, keyOf, type Root, type Standing } from './trial.ts';

/** A relation as its row in the catalog is, the version of that included. */
type Lockable = readonly [
  classid: number,
  oid: number,
  kind: string,
  mayLock: boolean,
  schema: string,
  name: string,
  owner: string,
  version: string,
];

/** Those of the given objects that can be locked, in their order. */
const LOCKABLE = pinned(`
SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(g.classid::int8, c.oid::int8, c.relkind,
    pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'), n.nspname, c.relname,
    pg_catalog.pg_get_userbyid(c.relowner), pg_catalog.concat_ws(' ', c.xmin, c.ctid)) ORDER BY g.i)::text
  FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[])) WITH ORDINALITY g(classid, objid, i)
  JOIN pg_class c ON c.oid = g.objid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE g.classid = 'pg_catalog.pg_class'::regclass::oid AND c.relkind = ANY ('{r,p,v,m}'::pg_catalog."char"[])`);

/**
 * Locks what goes as the DROP had locked it until it was rolled back, before anything of it is read: to read the definition
 * of a view locks what the view reads, and two sessions that had both done so would wait for each other. So a DROP of the
 * same waits for the first of the names, as for another DROP. False where others have changed any of it before it was locked.
 */
export async function lockGone(
  session: TrashSession,
  roots: readonly Root[],
  gone: readonly Standing[],
): Promise<boolean> {
  const named = new Set(roots.map(keyOf));
  const others = gone.filter((each) => !named.has(keyOf(each)));
  // The server goes from what is named to the youngest first of what depends on it.
  const ordered = [...roots, ...others.toSorted(([, one], [, other]) => other - one)];
  const look = async () => (await json<readonly Lockable[] | null>(session, LOCKABLE, given(ordered))) ?? [];
  const before = await look();
  for (const sql of locksOf(before)) await session.query(sql);
  return JSON.stringify(await look()) === JSON.stringify(before);
}

/**
 * LOCK TABLE takes no materialized view, of a view all that it reads as well, and no table that its owner may not change. To
 * give one to its owner locks it alone, and does nothing; where it was another's by then, that shows, and is taken back.
 */
function locksOf(relations: readonly Lockable[]): string[] {
  const out: string[] = [];
  let tables: string[] = [];
  const lockTables = () => {
    if (tables.length > 0) out.push(`LOCK TABLE ${tables.join(', ')} IN ACCESS EXCLUSIVE MODE`);
    tables = [];
  };
  for (const [, , kind, mayLock, schema, name, owner] of relations) {
    const at = quoteQualified(schema, name);
    if (mayLock && (kind === 'r' || kind === 'p')) tables.push(`ONLY ${at}`);
    else {
      lockTables();
      out.push(`ALTER ${RELATION_WORDS[kind]} ${at} OWNER TO ${quoteName(owner)}`);
    }
  }
  lockTables();
  return out;
}
