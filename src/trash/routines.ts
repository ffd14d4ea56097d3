import { emptyingPath, LIST, pinned } from './queries.ts';
import { json, type TrashSession } from './session.ts';

/** A function or a procedure, and all that CREATE OR REPLACE may change of it. Rights, owner and comment stay. */
export interface Routine {
  readonly oid: number;
  readonly kind: 'function' | 'procedure';
  readonly schema: string;
  readonly name: string;
  /** Of those that identify it, the types. */
  readonly arguments: string;
  /** CREATE OR REPLACE, with names qualified. */
  readonly definition: string;
}

const FACTS = LIST(
  `pg_catalog.jsonb_build_object('oid', p.oid::int8, 'kind', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
    'schema', n.nspname, 'name', p.proname, 'arguments', pg_catalog.oidvectortypes(p.proargtypes),
    'definition', pg_catalog.pg_get_functiondef(p.oid))`,
  'p.oid',
);
const FROM = 'pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace';

/** Aggregates have no such definition. $1: the name, $2: OIDs; either may be null. */
const ROUTINES = pinned(
  emptyingPath(
    'given AS (SELECT)',
    `(SELECT coalesce((SELECT ${FACTS} FROM ${FROM} WHERE p.prokind = ANY ('{f,p,w}'::pg_catalog."char"[])
      AND (p.proname = $1::text OR p.oid = ANY ($2::oid[]))), '[]') WHERE e.now IS NOT NULL)`,
  ),
);

/** All of that name, in whatever schema. */
export async function routinesNamed(session: TrashSession, name: string): Promise<readonly Routine[]> {
  return await json<readonly Routine[]>(session, ROUTINES, [name, null]);
}

export async function routinesByOid(
  session: TrashSession,
  oids: readonly number[],
): Promise<readonly Routine[]> {
  return await json<readonly Routine[]>(session, ROUTINES, [null, `{${oids.join(',')}}`]);
}
