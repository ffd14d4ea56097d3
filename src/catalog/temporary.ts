import { TEXT_ARRAY_OID, textArray } from './array-parameter.ts';
import type { HiddenConnection } from './connection.ts';
import { quoteQualified } from './quote.ts';
import { textColumns } from './row.ts';

/** What a name stands for, as names are looked up now: a relation of the session's own temporary schema, another, or none. */
export type StandsFor = 'temporary' | 'other' | 'nothing';

const STANDING = `
SELECT CASE WHEN n.oid IS NULL THEN 'nothing'
    WHEN c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() THEN 'temporary' ELSE 'other' END,
  EXISTS (SELECT FROM pg_catalog.pg_event_trigger t WHERE t.evtenabled OPERATOR(pg_catalog.<>) 'D')
  FROM (SELECT u.at, pg_catalog.to_regclass(u.quoted)::pg_catalog.oid
          FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY u(quoted, at)) n(at, oid)
  LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) n.oid
 ORDER BY n.at`;

export interface NamesStanding {
  readonly names: readonly StandsFor[];
  /** Whether event triggers would be told of what defines anything. */
  readonly eventTriggers: boolean;
}

export async function namesStanding(
  connection: HiddenConnection,
  names: readonly { readonly schema: string | null; readonly name: string }[],
): Promise<NamesStanding> {
  const standing: StandsFor[] = [];
  let eventTriggers = false;
  await ask(connection, STANDING, [names.map(({ schema, name }) => quoteQualified(schema, name))], (row) => {
    standing.push(row[0] === 'temporary' || row[0] === 'nothing' ? row[0] : 'other');
    eventTriggers = row[1] !== 'f';
  });
  return { names: standing, eventTriggers };
}

/**
 * What is the session's own for as long as it lasts, and what the transaction has locked as only that does which drops,
 * alters or empties something. Of a relation that is temporary the TOAST table lies in a schema beside its own.
 */
export interface OwnAndLocked {
  readonly relations: readonly string[];
  readonly types: readonly string[];
  readonly locked: readonly string[];
}

const LOCKS = `pg_catalog.pg_locks l
 WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock'
   AND l.locktype OPERATOR(pg_catalog.<>) 'virtualxid'`;

const WHAT = `pg_catalog.concat_ws(' ', l.locktype, l.database, l.relation, l.classid, l.objid, l.objsubid)`;

const OWN_AND_LOCKED = `
SELECT 'relation', c.oid::pg_catalog.text FROM pg_catalog.pg_class c
 WHERE c.relpersistence OPERATOR(pg_catalog.=) 't' AND c.relnamespace OPERATOR(pg_catalog.=) ANY (own.namespaces)
UNION ALL SELECT 'type', t.oid::pg_catalog.text FROM pg_catalog.pg_type t
 WHERE t.typnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()
UNION ALL SELECT 'locked', ${WHAT} FROM ${LOCKS}`.replace(
  'ANY (own.namespaces)',
  `ANY (ARRAY(SELECT n.oid FROM pg_catalog.pg_namespace n
     JOIN pg_catalog.pg_namespace m ON m.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()
    WHERE n.oid OPERATOR(pg_catalog.=) m.oid
       OR n.nspname OPERATOR(pg_catalog.=) pg_catalog.replace(m.nspname::pg_catalog.text, 'pg_temp_', 'pg_toast_temp_')::pg_catalog.name))`,
);

export async function ownAndLocked(connection: HiddenConnection): Promise<OwnAndLocked> {
  const found = { relation: [] as string[], type: [] as string[], locked: [] as string[] };
  await ask(connection, OWN_AND_LOCKED, [], ([kind, what]) => {
    found[kind as keyof typeof found].push(what!);
  });
  return { relations: found.relation, types: found.type, locked: found.locked };
}

/**
 * Whether anything has been locked so since that is not the session's own. What belongs to a relation by another class than
 * its type has that relation locked as well where it is dropped: rewrite rules, constraints, defaults, triggers, policies.
 */
const LOCKED_ELSE = `
SELECT pg_catalog.count(*) FROM ${LOCKS}
   AND ${WHAT} OPERATOR(pg_catalog.<>) ALL ($3::pg_catalog.text[])
   AND NOT (l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.relation::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]))
   AND NOT (l.locktype OPERATOR(pg_catalog.=) 'object' AND (
     (l.classid OPERATOR(pg_catalog.=) 1247 AND l.objid::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]))
     OR l.classid OPERATOR(pg_catalog.=) ANY (ARRAY[2604, 2606, 2618, 2620, 3256, 3381]::pg_catalog.oid[])))`;

export async function hasLockedElse(
  connection: HiddenConnection,
  { relations, types, locked }: OwnAndLocked,
): Promise<boolean> {
  let count = '';
  await ask(connection, LOCKED_ELSE, [relations, types, locked], ([told]) => {
    count = told ?? '';
  });
  return count !== '0';
}

async function ask(
  connection: HiddenConnection,
  sql: string,
  lists: readonly (readonly string[])[],
  onRow: (columns: (string | null)[]) => void,
): Promise<void> {
  const query = {
    sql,
    parameterTypes: lists.map(() => TEXT_ARRAY_OID),
    parameters: lists.map((list) => textArray(list)),
    parameterFormats: lists.map(() => 1 as const),
    resultFormats: [],
  };
  await connection.run(query, (row) => onRow(textColumns(row)));
}
