import { quoteLiteral, quoteName, quoteQualified } from '../catalog/quote.ts';
import { TRASH_SCHEMA } from '../sql/walk/walk.ts';
import type { GonePolicy, GoneRelation, GoneRule, GoneTrigger, Grant } from './facts.ts';

/** Objects as SQL, with all names qualified. */

/** The schema that statements may not name, as the analysis knows it. */
export { TRASH_SCHEMA };

/** What the names of databases begin with that were dropped. */
export const TRASH_DATABASE = `${TRASH_SCHEMA}_`;

export const named = ({ schema, name }: { readonly schema: string; readonly name: string }): string =>
  quoteQualified(schema, name);

/** How ALTER and COMMENT call a relation, by pg_class.relkind. */
export const RELATION_WORDS: Readonly<Record<string, string>> = {
  r: 'TABLE',
  p: 'TABLE',
  f: 'FOREIGN TABLE',
  v: 'VIEW',
  m: 'MATERIALIZED VIEW',
  S: 'SEQUENCE',
  i: 'INDEX',
  I: 'INDEX',
};

export function comment(what: string, text: string | null): string[] {
  return text === null ? [] : [`COMMENT ON ${what} IS ${quoteLiteral(text)}`];
}

/** All grants on an object anew; those of others than the owner come back as the owner's. */
export function grants(
  what: string,
  owner: string,
  isSet: boolean,
  acl: readonly Grant[] | null,
  column: string | null = null,
): string[] {
  if (!isSet) return [];
  const cleared =
    column === null ? ['PUBLIC', quoteName(owner)].map((role) => `REVOKE ALL ON ${what} FROM ${role}`) : [];
  const granted = (acl ?? []).map(({ grantee, privilege, grantable }) => {
    const to = grantee === null ? 'PUBLIC' : quoteName(grantee);
    const of = column === null ? '' : ` (${quoteName(column)})`;
    return `GRANT ${privilege}${of} ON ${what} TO ${to}${grantable ? ' WITH GRANT OPTION' : ''}`;
  });
  return [...cleared, ...granted];
}

function withOptions(options: readonly string[] | null): string {
  if (options === null || options.length === 0) return '';
  return ` WITH (${optionList(options)})`;
}

/** Options as the catalogs have them, as SQL has them. */
export function optionList(options: readonly string[]): string {
  const all = options.map((option) => {
    const at = option.indexOf('=');
    // A namespace stands before a dot, as in toast.autovacuum_enabled, which the names of options have none of.
    return `${option.slice(0, at)} = ${quoteLiteral(option.slice(at + 1))}`;
  });
  return all.join(', ');
}

const body = (definition: string | null): string => (definition ?? '').trim().replace(/;$/, '');

/** The view without its definition: the same columns, which depend on nothing but their types. */
export function emptiedView(view: GoneRelation): string {
  const columns = (view.columns ?? []).map(({ name, type, collation }) => {
    const collate = collation === null ? '' : ` COLLATE ${collation}`;
    return `NULL::${type}${collate} AS ${quoteName(name)}`;
  });
  return `CREATE OR REPLACE VIEW ${named(view)} AS SELECT ${columns.join(', ')}`;
}

export function filledView(view: GoneRelation): string {
  return `CREATE OR REPLACE VIEW ${named(view)}${withOptions(view.options)} AS ${body(view.definition)}`;
}

export function materializedView(view: GoneRelation): string[] {
  const name = named(view);
  const what = `MATERIALIZED VIEW ${name}`;
  const columns = view.columns ?? [];
  const using = view.method === null ? '' : ` USING ${quoteName(view.method)}`;
  const space = view.tablespace === null ? '' : ` TABLESPACE ${quoteName(view.tablespace)}`;
  const indexes = (view.indexes ?? []).flatMap((index) => [
    index.definition,
    ...(index.clustered ? [`ALTER MATERIALIZED VIEW ${name} CLUSTER ON ${quoteName(index.name)}`] : []),
    ...comment(`INDEX ${named(index)}`, index.comment),
  ]);
  return [
    `CREATE MATERIALIZED VIEW ${name}${using}${withOptions(view.options)}${space} AS ${body(view.definition)} WITH NO DATA`,
    `ALTER MATERIALIZED VIEW ${name} OWNER TO ${quoteName(view.owner)}`,
    ...indexes,
    ...comment(what, view.comment),
    ...columns.flatMap((column) => comment(`COLUMN ${name}.${quoteName(column.name)}`, column.comment)),
    ...grants(name, view.owner, view.aclIsSet, view.acl),
    ...columns.flatMap((column) => grants(name, view.owner, true, column.acl, column.name)),
  ];
}

export const ENABLING: Readonly<Record<string, string>> = {
  D: 'DISABLE',
  R: 'ENABLE REPLICA',
  A: 'ENABLE ALWAYS',
};

export function trigger({ name, table, definition, enabled, comment: text }: GoneTrigger): string[] {
  const state = ENABLING[enabled];
  return [
    definition,
    ...(state === undefined ? [] : [`ALTER TABLE ${named(table)} ${state} TRIGGER ${quoteName(name)}`]),
    ...comment(`TRIGGER ${quoteName(name)} ON ${named(table)}`, text),
  ];
}

export function rule({ name, table, definition, enabled, comment: text }: GoneRule): string[] {
  const state = ENABLING[enabled];
  return [
    definition.trim().replace(/;$/, ''),
    ...(state === undefined ? [] : [`ALTER TABLE ${named(table)} ${state} RULE ${quoteName(name)}`]),
    ...comment(`RULE ${quoteName(name)} ON ${named(table)}`, text),
  ];
}

const COMMANDS: Readonly<Record<string, string>> = { r: 'SELECT', a: 'INSERT', w: 'UPDATE', d: 'DELETE' };

export function policy({
  name,
  table,
  command,
  permissive,
  roles,
  using,
  check,
  ...rest
}: GonePolicy): string[] {
  const at = `POLICY ${quoteName(name)} ON ${named(table)}`;
  const to = roles.map((role) => (role === null ? 'PUBLIC' : quoteName(role))).join(', ');
  const clauses = [
    ` AS ${permissive ? 'PERMISSIVE' : 'RESTRICTIVE'} FOR ${COMMANDS[command] ?? 'ALL'} TO ${to}`,
    ...(using === null ? [] : [` USING (${using})`]),
    ...(check === null ? [] : [` WITH CHECK (${check})`]),
  ];
  return [`CREATE ${at}${clauses.join('')}`, ...comment(at, rest.comment)];
}
