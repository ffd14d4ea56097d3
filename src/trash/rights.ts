import { quoteName } from '../catalog/quote.ts';
import { named } from './definitions.ts';
import type { GoneRights, Grant } from './facts.ts';
import { ACL, emptyingPath, GIVEN, IS, LIST, pinned } from './queries.ts';
import type { RestoreStep } from './steps.ts';

const DEFAULT = (acl: string, kind: string, owner: string) =>
  `coalesce(${acl}, pg_catalog.acldefault(${kind}::pg_catalog."char", ${owner}))`;

const GRANTED = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('oid', x.oid::int8, 'word', x.word, 'schema', n.nspname, 'name', x.name, 'arguments', x.arguments,
      'owner', pg_catalog.pg_get_userbyid(x.owner), 'acl', ${ACL('x.acl')}, 'columns', x.columns)`,
    'x.word, x.oid',
  )} FROM (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS word, c.oid, c.relnamespace AS namespace, c.relname AS name,
        '' AS arguments, c.relowner AS owner, ${DEFAULT('c.relacl', `CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END`, 'c.relowner')} AS acl,
        (SELECT ${LIST(`pg_catalog.jsonb_build_object('name', a.attname, 'acl', ${ACL('a.attacl')})`, 'a.attnum')} FROM pg_attribute a
          WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) AS columns
      FROM given o JOIN pg_class c ON c.oid = o.objid
     WHERE o.classid = ${IS('pg_class')} AND c.relkind = ANY ('{r,p,f,v,m,S}'::pg_catalog."char"[])
    UNION ALL
    SELECT 'ROUTINE', f.oid, f.pronamespace, f.proname, '(' || pg_catalog.pg_get_function_identity_arguments(f.oid) || ')', f.proowner,
        ${DEFAULT('f.proacl', `'f'`, 'f.proowner')}, NULL
      FROM given o JOIN pg_proc f ON f.oid = o.objid WHERE o.classid = ${IS('pg_proc')}
    UNION ALL
    SELECT 'TYPE', t.oid, t.typnamespace, t.typname, '', t.typowner, ${DEFAULT('t.typacl', `'T'`, 't.typowner')}, NULL
      FROM given o JOIN pg_type t ON t.oid = o.objid
     WHERE o.classid = ${IS('pg_type')} AND t.typtype = ANY ('{e,d,c}'::pg_catalog."char"[])
       AND NOT EXISTS (SELECT FROM pg_class k WHERE k.oid = t.typrelid AND k.relkind <> 'c')
  ) x JOIN pg_namespace n ON n.oid = x.namespace WHERE true`;

/** Who may do what with the given objects. */
export const RIGHTS = pinned(emptyingPath(GIVEN, `coalesce((${GRANTED} AND e.now IS NOT NULL), '[]')`));

/** What changes rows. Who owns them may read them still, without which nobody but a superuser could back them up. */
const WRITES: Readonly<Record<GoneRights['word'], readonly string[]>> = {
  TABLE: ['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'],
  SEQUENCE: ['USAGE', 'UPDATE'],
  ROUTINE: [],
  TYPE: [],
};

/** Leaves the owner alone with it. */
export function takenAway(rights: GoneRights): string[] {
  const { word, owner } = rights;
  const all = [rights.acl ?? [], ...(rights.columns ?? []).map(({ acl }) => acl ?? [])].flat();
  const others = new Set(all.flatMap(({ grantee }) => (grantee === owner ? [] : [roleOf(grantee)])));
  const writes = WRITES[word].filter((each) =>
    all.some(({ grantee, privilege }) => grantee === owner && privilege === each),
  );
  const at = whatOf(rights);
  return [
    ...handedOnByColumn(rights),
    ...(others.size === 0 ? [] : [`REVOKE ALL ON ${at} FROM ${[...others].join(', ')} CASCADE`]),
    ...(writes.length === 0 ? [] : [`REVOKE ${writes.join(', ')} ON ${at} FROM ${quoteName(owner)}`]),
  ];
}

/**
 * Who may hand on a right to a whole table may do so for a column, and a REVOKE of the one leaves the other, unless
 * they have it from the owner for that column too.
 */
function handedOnByColumn(rights: GoneRights): string[] {
  const { owner, columns } = rights;
  return (columns ?? []).flatMap(({ name, acl }) =>
    (acl ?? [])
      .filter(({ grantor }) => grantor !== owner)
      .map(
        ({ grantor, privilege }) =>
          `GRANT ${privilege} (${quoteName(name)}) ON ${whatOf(rights)} TO ${quoteName(grantor)} WITH GRANT OPTION`,
      ),
  );
}

/** Gives back what was taken away, each grant by who had given it where the role that restores may act as they. */
export function givenBack(rights: GoneRights): RestoreStep[] {
  if (takenAway(rights).length === 0) return [];
  const { owner } = rights;
  const of = [
    ...inOrderOfGiving(rights.acl ?? [], owner).map((grant) => [grant, ''] as const),
    ...(rights.columns ?? []).flatMap(({ name, acl }) =>
      inOrderOfGiving(acl ?? [], owner).map((grant) => [grant, ` (${quoteName(name)})`] as const),
    ),
  ];
  const groups = Map.groupBy(of, ([{ grantee, grantor, grantable }, column]) =>
    JSON.stringify([grantee, grantor, grantable, column]),
  );
  return [...groups.values()].map((group) => {
    const [[{ grantee, grantor, grantable }, column]] = group as [(typeof group)[0]];
    const privileges = group.map(([{ privilege }]) => `${privilege}${column}`).join(', ');
    const option = grantable ? ' WITH GRANT OPTION' : '';
    return {
      sql: `GRANT ${privileges} ON ${whatOf(rights)} TO ${roleOf(grantee)}${option}`,
      what: `the rights of ${grantee ?? 'PUBLIC'} on ${named(rights)}`,
      ...(grantee === owner ? {} : { optional: true as const }),
      ...(grantor === owner ? {} : { as: grantor }),
    };
  });
}

/** Who hands on a right has been given it before. */
function inOrderOfGiving(acl: readonly Grant[], owner: string): Grant[] {
  const out: Grant[] = [];
  let left = [...acl];
  while (left.length > 0) {
    const may = ({ grantor, privilege }: Grant) =>
      grantor === owner ||
      out.some((each) => each.grantee === grantor && each.privilege === privilege && each.grantable);
    const next = left.filter(may);
    // Grants that go round in a circle, which PostgreSQL makes none of.
    if (next.length === 0) return [...out, ...left];
    out.push(...next);
    left = left.filter((each) => !next.includes(each));
  }
  return out;
}

const roleOf = (grantee: string | null): string => (grantee === null ? 'PUBLIC' : quoteName(grantee));
const whatOf = (rights: GoneRights): string => `${rights.word} ${named(rights)}${rights.arguments}`;
