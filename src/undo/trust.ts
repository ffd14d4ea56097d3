import { quoteQualified } from '../catalog/quote.ts';
import type { Manifest, ManifestTable } from '../snapshot/manifest.ts';
import { namesForeignCode } from './foreign-names.ts';
import { refuse } from './outcome.ts';
import { ADDS_REFERENCE, readTies } from './restored-ties.ts';
import type { UndoSession } from './session.ts';
import { BESIDES, type ForeignCode, type Reach, readForeignCode } from './table-code.ts';
import type { Problem, UndoTable } from './undo-table.ts';

/**
 * Whose code may run with the rights of the connection: roles by name, besides superusers, the connection's own role
 * and its members; `*` is everybody. What runs while a table is written can use those rights for anything, and neither
 * SET ROLE nor a SECURITY DEFINER function takes them away from it for certain: it can go back by RESET ROLE, or wait
 * for the COMMIT. So an undo is refused where such code belongs to anybody else.
 */
export type Trusted = readonly string[];

const NAMED_MAX = 5;
const NAMED_TEXT_MAX = 200;

const NOTHING: Reach = {
  tables: [],
  acting: [],
  types: [],
  functions: [],
  relations: [],
  cast: [],
  triggers: 'fire',
};

/** Refuses to write to tables whose code is not trusted. With `lock`, none can be given other code from here on. */
export async function refuseForeignCode(
  session: UndoSession,
  tables: readonly UndoTable[],
  triggers: 'fire' | 'skip',
  { trusted = [], lock }: { readonly trusted?: Trusted | undefined; readonly lock: boolean },
): Promise<void> {
  if (trusted.includes('*') || tables.length === 0) return;
  const oids = tables.map(({ current }) => current.oid);
  const changing = tables.filter(({ entry }) => entry.after !== null).map(({ current }) => current.oid);
  // Without triggers foreign keys do nothing either.
  const reach = { ...NOTHING, tables: oids, acting: triggers === 'fire' ? changing : [], triggers };
  if (lock) await lockBesides(session, reach);
  await demandTrust(session, reach, trusted);
}

/** Refuses to read rows whose types would run code that is not trusted. */
export async function refuseForeignTypes(
  session: UndoSession,
  tables: readonly ManifestTable[],
  trusted: Trusted = [],
): Promise<void> {
  if (trusted.includes('*')) return;
  const types = tables.flatMap(({ columns }) => columns.map(({ type }) => type.oid));
  await demandTrust(session, { ...NOTHING, types: [...new Set(types)] }, trusted);
}

/**
 * Steps that evaluate expressions as whoever runs them. The rest only writes definitions or, as CREATE INDEX and
 * REFRESH do, runs code as its owner and keeps it from becoming anybody else.
 */
const EVALUATES = /\b(?:CHECK|EXCLUDE|ADD COLUMN|ATTACH PARTITION|VALIDATE|UPDATE|SET EXPRESSION|TYPE)\b/i;

const evaluates = (sql: string): boolean =>
  EVALUATES.test(sql) && !WRITES_ONLY.test(sql) && !ADDS_REFERENCE.test(sql);

/** What these say is run, if ever, by whoever writes to the table later. */
const WRITES_ONLY =
  /^(?:GRANT|CREATE (?:CONSTRAINT )?TRIGGER|CREATE RULE|CREATE POLICY|CREATE OR REPLACE (?:FUNCTION|PROCEDURE)) /;

/** Refuses to bring back what would run code that is not trusted: that of tables, and functions that were dropped. */
export async function refuseForeignDrop(
  session: UndoSession,
  { objects, restores, altered }: NonNullable<Manifest['dropped']>,
  { trusted = [], lock }: { readonly trusted?: Trusted | undefined; readonly lock: boolean },
): Promise<void> {
  if (trusted.includes('*')) return;
  const tied = await readTies(session, { objects, restores }, lock);
  if (tied !== null) await demandTrust(session, { ...NOTHING, ...tied }, trusted);
  if (!restores.some(({ sql }) => evaluates(sql))) return;
  const tables = [
    ...(altered?.tables ?? []),
    ...(altered?.changes ?? []).map(({ table }) => ({ oid: table })),
  ];
  await refuseRemade(session, { objects, restores }, tables);
  const of = (isKind: (kind: string) => boolean) =>
    objects.filter(({ kind }) => isKind(kind)).map(({ oid }) => oid);
  // Values are given back to rows with triggers disabled, but by manifests of before that was so.
  const updates = restores.some(({ sql }) => sql.startsWith('UPDATE'));
  const reach: Reach = {
    ...NOTHING,
    triggers: updates ? 'fire' : 'none',
    tables: [
      ...of((kind) => kind.endsWith('table') || kind === 'column'),
      ...new Set(tables.map(({ oid }) => oid)),
    ],
    types: [...of((kind) => /type|domain/.test(kind)), ...(altered?.types ?? [])],
    functions: of((kind) => /routine/.test(kind)),
  };
  if (lock) await lockBesides(session, { ...reach, tables: [], acting: reach.tables });
  await demandTrust(session, reach, trusted);
}

/**
 * What comes back with a column, or to a table that was altered, is made anew from its text, so that no catalog says
 * whose code that is: it is run for nobody but the owner of the table.
 */
async function refuseRemade(
  session: UndoSession,
  { objects, restores }: Pick<NonNullable<Manifest['dropped']>, 'objects' | 'restores'>,
  altered: readonly { readonly oid: number }[],
): Promise<void> {
  const columns = [...objects.filter(({ kind }) => kind === 'column'), ...altered].map(({ oid }) => oid);
  const remade = restores.find(({ sql }) => evaluates(sql) && namesForeignCode(sql));
  if (columns.length === 0 || remade === undefined) return;
  const others = await session.query(
    `SELECT pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c
      WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND pg_catalog.pg_get_userbyid(c.relowner) <> session_user`,
    [`{${columns.join(',')}}`],
  );
  if (others.length === 0) return;
  const owner = others[0]![0]!;
  const reason = `${remade.sql.slice(0, NAMED_TEXT_MAX)} could run code of others with all rights of the connection; undo with a connection as ${owner}, the owner of the table, or from the command line with --trust-code-of '*'`;
  refuse({ table: '', reason });
}

async function demandTrust(session: UndoSession, reach: Reach, trusted: Trusted): Promise<void> {
  const found = await readForeignCode(session, reach, trusted);
  if (found.length === 0) return;
  const [row] = await session.query('SELECT session_user');
  refuse(...found.slice(0, NAMED_MAX).map((code) => problemOf(code, row![0]!)));
}

function problemOf({ from, what, owner }: ForeignCode, role: string): Problem {
  const whose = from === what ? `${what} of ${owner}` : `${what} of ${owner}, by ${from},`;
  const reason = `${whose} could run with all rights of ${role}; undo with a connection as ${owner}, or name ${owner} in undo.trusted_roles`;
  return { table: '', reason };
}

/** Writers may go on in these tables, and only what would change their code waits. */
async function lockBesides(session: UndoSession, { tables, acting }: Reach): Promise<void> {
  const parameters = [`{${tables.join(',')}}`, `{${acting.join(',')}}`];
  const found = await session.query(BESIDES, parameters);
  const names = (partitioned: boolean) =>
    found
      .filter(([, , , isWhole, lockable]) => lockable === 't' && (isWhole === 't') === partitioned)
      .map(([, schema, name]) => `ONLY ${quoteQualified(schema!, name!)}`);
  // A whole must not get another part either.
  for (const [list, mode] of [
    [names(true), 'SHARE UPDATE EXCLUSIVE'],
    [names(false), 'ROW EXCLUSIVE'],
  ] as const) {
    if (list.length > 0) await session.query(`LOCK TABLE ${list.join(', ')} IN ${mode} MODE`);
  }
  const known = new Set(found.map(([oid]) => oid));
  const again = await session.query(BESIDES, parameters);
  if (again.some(([oid]) => !known.has(oid!))) {
    refuse({ table: '', reason: 'tables that depend on it have changed meanwhile; try again' });
  }
}
