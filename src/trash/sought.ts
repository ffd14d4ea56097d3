import { quoteName, quoteQualified } from '../catalog/quote.ts';
import type { Sought } from '../sql/named/if-exists.ts';
import { pinned } from './queries.ts';
import type { TrashSession } from './session.ts';
import { textArray } from './trial.ts';

/**
 * Whether anything is there that a statement with IF EXISTS names, as names are looked up now; routines count by their
 * names alone. It is asked in whatever search_path there is. $1: kinds, $2 and $3: the names, quoted with their schemas and
 * as they are, $4: the quoted schemas, $5: the tables that they belong to.
 */
const ANY_THERE = pinned(`
SELECT pg_catalog.bool_or(CASE
    WHEN s.kind OPERATOR(pg_catalog.=) 'relation' THEN pg_catalog.to_regclass(s.quoted) IS NOT NULL
    WHEN s.kind OPERATOR(pg_catalog.=) 'type' THEN pg_catalog.to_regtype(s.quoted) IS NOT NULL
    WHEN s.kind OPERATOR(pg_catalog.=) 'schema' THEN pg_catalog.to_regnamespace(s.quoted) IS NOT NULL
    WHEN s.kind OPERATOR(pg_catalog.=) 'routine' THEN EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
      WHERE p.proname OPERATOR(pg_catalog.=) s.name::name AND CASE WHEN s.schema OPERATOR(pg_catalog.=) ''
        THEN n.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(true))
        ELSE n.oid OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace(s.schema)::oid END)
    WHEN s.kind OPERATOR(pg_catalog.=) 'extension' THEN EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) s.name::name)
    WHEN s.kind OPERATOR(pg_catalog.=) 'publication' THEN EXISTS (SELECT FROM pg_publication e WHERE e.pubname OPERATOR(pg_catalog.=) s.name::name)
    WHEN s.kind OPERATOR(pg_catalog.=) 'role' THEN EXISTS (SELECT FROM pg_roles e WHERE e.rolname OPERATOR(pg_catalog.=) s.name::name)
    WHEN s.kind OPERATOR(pg_catalog.=) 'trigger' THEN EXISTS (SELECT FROM pg_trigger e WHERE e.tgname OPERATOR(pg_catalog.=) s.name::name
      AND e.tgrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(s.of)::oid)
    WHEN s.kind OPERATOR(pg_catalog.=) 'policy' THEN EXISTS (SELECT FROM pg_policy e WHERE e.polname OPERATOR(pg_catalog.=) s.name::name
      AND e.polrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(s.of)::oid)
    WHEN s.kind OPERATOR(pg_catalog.=) 'rule' THEN EXISTS (SELECT FROM pg_rewrite e WHERE e.rulename OPERATOR(pg_catalog.=) s.name::name
      AND e.ev_class OPERATOR(pg_catalog.=) pg_catalog.to_regclass(s.of)::oid)
    ELSE true END)
    OR EXISTS (SELECT FROM pg_event_trigger t WHERE t.evtenabled OPERATOR(pg_catalog.<>) 'D')
  FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]),
    pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[])) s(kind, quoted, name, schema, of)`);

/** Also where an event trigger would be told of the statement, which may do anything. */
export async function isAnyThere(session: TrashSession, sought: readonly Sought[]): Promise<boolean> {
  const [row] = await session.query(ANY_THERE, [
    textArray(sought.map(({ kind }) => kind)),
    textArray(sought.map(({ schema, name }) => quoteQualified(schema, name))),
    textArray(sought.map(({ name }) => name)),
    textArray(sought.map(({ schema }) => (schema === null ? '' : quoteName(schema)))),
    textArray(sought.map(({ table }) => (table === null ? '' : quoteQualified(table.schema, table.name)))),
  ]);
  return row?.[0] !== 'f';
}

/**
 * How many transactions of the session have a number, those of savepoints included: each holds a lock on it. Nothing is
 * written to a table or to the catalogs by one that has none.
 */
const NUMBERED = pinned(`
SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
   AND l.locktype OPERATOR(pg_catalog.=) 'transactionid' AND l.mode OPERATOR(pg_catalog.=) 'ExclusiveLock'`);

export async function numberedTransactions(session: TrashSession): Promise<string> {
  const [row] = await session.query(NUMBERED);
  return row?.[0] ?? '';
}
