import { quoteName, quoteQualified } from '../catalog/quote.ts';
import { type Doing, isToDo } from './apply-statement.ts';
import type { UndoSession } from './session.ts';
import { temp } from './statements.ts';
import type { UndoTable } from './undo-table.ts';

interface Side {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly partitioned: boolean;
  readonly columns: readonly string[];
}

/** A foreign key as it was declared, of a table of the undo or to one. */
export interface ForeignKey {
  readonly name: string;
  readonly child: Side;
  readonly parent: Side;
  /** `parent OPERATOR child`, for each pair of columns. */
  readonly operators: readonly string[];
  readonly collations: readonly (string | null)[];
  /** Whether a change of the parent changes the child. */
  readonly acts: boolean;
}

const SIDE = (
  relation: string,
  columns: string,
) => `(SELECT jsonb_build_object('oid', c.oid::int8, 'schema', n.nspname,
    'name', c.relname, 'partitioned', c.relkind = 'p', 'columns', (SELECT jsonb_agg(a.attname ORDER BY k.i)
      FROM unnest(${columns}) WITH ORDINALITY k(n, i)
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.n))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ${relation})`;

const FOREIGN_KEYS = `SELECT jsonb_build_object('name', f.conname,
    'child', ${SIDE('f.conrelid', 'f.conkey')}, 'parent', ${SIDE('f.confrelid', 'f.confkey')},
    'operators', (SELECT jsonb_agg(quote_ident(n.nspname) || '.' || o.oprname ORDER BY e.i)
       FROM unnest(f.conpfeqop) WITH ORDINALITY e(op, i)
       JOIN pg_operator o ON o.oid = e.op JOIN pg_namespace n ON n.oid = o.oprnamespace),
    'collations', (SELECT jsonb_agg((SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname)
          FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation
          JOIN pg_namespace n ON n.oid = l.collnamespace
         WHERE a.attrelid = f.confrelid AND a.attnum = k.n) ORDER BY k.i)
       FROM unnest(f.confkey) WITH ORDINALITY k(n, i)),
    'acts', f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))::text
  FROM pg_constraint f
 WHERE f.contype = 'f' AND f.conparentid = 0 AND coalesce((to_jsonb(f) ->> 'conenforced')::bool, true)
   AND (f.conrelid = ANY ($1::oid[]) OR f.confrelid = ANY ($1::oid[]))
 ORDER BY f.oid`;

export async function readForeignKeys(
  session: UndoSession,
  tables: readonly UndoTable[],
): Promise<ForeignKey[]> {
  const oids = tables.flatMap((table) => reachedAs(table));
  const rows = await session.query(FOREIGN_KEYS, [`{${oids.join(',')}}`]);
  return rows.map(([json]) => JSON.parse(json!) as ForeignKey);
}

/** A foreign key may be declared on the table or on a whole that it is a partition of. */
function reachedAs({ current }: UndoTable): number[] {
  return [current.oid, ...current.wholes.map(({ oid }) => oid)];
}

/** A query of how many rows break a foreign key, which the server has not looked at. */
export interface ReferenceCheck {
  readonly table: string;
  readonly constraint: string;
  readonly sql: string;
}

export function referenceChecks(
  tables: readonly UndoTable[],
  foreignKeys: readonly ForeignKey[],
  doing: Doing,
): ReferenceCheck[] {
  return tables.flatMap((table) => {
    const own = reachedAs(table);
    return foreignKeys.flatMap((key) => [
      ...(own.includes(key.child.oid) ? [check(table, key, missingParents(table, key, doing))] : []),
      ...(own.includes(key.parent.oid) ? [check(table, key, strandedChildren(table, key, doing))] : []),
    ]);
  });
}

function check(table: UndoTable, key: ForeignKey, sql: string): ReferenceCheck {
  return { table: table.label, constraint: key.name, sql };
}

const from = (side: Side): string =>
  `${side.partitioned ? '' : 'ONLY '}${quoteQualified(side.schema, side.name)}`;

type Names = (name: string, index: number) => string;

const named =
  (alias: string): Names =>
  (name) =>
    `${alias}.${quoteName(name)}`;

function matches(key: ForeignKey, parent: Names, child: Names): string {
  return key.parent.columns
    .map((name, i) => {
      const collation = key.collations[i] ?? null;
      const collate = collation === null ? '' : ` COLLATE ${collation}`;
      return `${parent(name, i)} OPERATOR(${key.operators[i]}) ${child(key.child.columns[i]!, i)}${collate}`;
    })
    .join(' AND ');
}

/** Names of what was loaded, or null where the foreign key has a column that was not, a computed one. */
function loaded(table: UndoTable, alias: string, columns: readonly string[]): Names | null {
  const slots = new Map(table.columns.map(({ name, slot }) => [name, slot]));
  if (!columns.every((name) => slots.has(name))) return null;
  return (name) => `${alias}.${slots.get(name)}`;
}

const orphan = (key: ForeignKey, child: Names): string =>
  `${key.child.columns.map((name, i) => `${child(name, i)} IS NOT NULL`).join(' AND ')}
   AND NOT EXISTS (SELECT FROM ${from(key.parent)} p WHERE ${matches(key, named('p'), child)})`;

const anyOrphan = (key: ForeignKey): string =>
  `SELECT count(*) FROM ${from(key.child)} c WHERE ${orphan(key, named('c'))}`;

/** Rows that came and refer to what is not there. */
function missingParents(table: UndoTable, key: ForeignKey, doing: Doing): string {
  const child = loaded(table, 'b', key.child.columns);
  if (child === null) return anyOrphan(key);
  return `SELECT count(*) FROM ${temp('work', table)} w JOIN ${temp('before', table)} b ON b.ctid = w.b
    WHERE (${isToDo('put', doing)} OR ${isToDo('set', doing)}) AND ${orphan(key, child)}`;
}

/** Rows that refer to what has gone; where others' changes were written over, it is not known what has. */
function strandedChildren(table: UndoTable, key: ForeignKey, doing: Doing): string {
  const gone = loaded(table, 'a', key.parent.columns);
  if (gone === null || doing.onConflict === 'overwrite') return anyOrphan(key);
  return `SELECT count(*) FROM ${temp('work', table)} w JOIN ${temp('after', table)} a ON a.ctid = w.a
    JOIN ${from(key.child)} c ON ${matches(key, gone, named('c'))}
    WHERE (${isToDo('remove', doing)} OR ${isToDo('set', doing)}) AND ${orphan(key, named('c'))}`;
}
