import { quoteQualified } from '../catalog/quote.ts';
import type { Manifest } from '../snapshot/manifest.ts';
import { refuse } from './outcome.ts';
import type { UndoSession } from './session.ts';
import type { Reach } from './table-code.ts';

/**
 * What ties a table that comes back to others, and is made anew from its text: foreign keys, whose making casts values of
 * one type to another and compares them, and places among partitions, where each row is held against the key of the
 * whole. Both run code of tables that the DROP has left where they were, with the rights of whoever makes them.
 */

type Dropped = Pick<NonNullable<Manifest['dropped']>, 'objects' | 'restores'>;

interface Name {
  readonly schema: string;
  readonly name: string;
}

export interface Reference {
  readonly table: Name;
  readonly columns: readonly string[];
  readonly other: Name;
  readonly others: readonly string[];
}

const NAME = String.raw`(?:"(?:[^"]|"")*"|[a-z_\u0080-\uffff][\w$\u0080-\uffff]*)`;
const TABLE = `(${NAME})\\.(${NAME})`;
const COLUMNS = `\\(((?:PERIOD )?${NAME}(?:, (?:PERIOD )?${NAME})*)\\)`;
const REFERENCE = new RegExp(
  `^ALTER TABLE (?:ONLY )?${TABLE} ADD CONSTRAINT ${NAME} FOREIGN KEY ${COLUMNS} REFERENCES ${TABLE}${COLUMNS}`,
);
const PLACE = new RegExp(`^ALTER TABLE (?:ONLY )?${TABLE} ATTACH PARTITION `);
export const ADDS_REFERENCE = new RegExp(
  `^ALTER TABLE (?:ONLY )?${TABLE} ADD CONSTRAINT ${NAME} FOREIGN KEY `,
);

const plain = (name: string): string =>
  name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
const listed = (columns: string): string[] =>
  [...columns.matchAll(new RegExp(`(?:^|, )(?:PERIOD )?(${NAME})`, 'g'))].map(([, name]) => plain(name!));

/** A foreign key that is made anew; null for any other step. It is read as the server and this program write it. */
export function referenceOf(sql: string): Reference | null {
  if (!ADDS_REFERENCE.test(sql)) return null;
  const [, schema, name, columns, otherSchema, otherName, others] = REFERENCE.exec(sql) ?? [];
  if (others === undefined) refuse({ table: '', reason: `${sql.slice(0, 200)} is not understood` });
  return {
    table: { schema: plain(schema!), name: plain(name!) },
    columns: listed(columns!),
    other: { schema: plain(otherSchema!), name: plain(otherName!) },
    others: listed(others),
  };
}

/** The whole that a partition gets its place in again. */
function wholeOf(sql: string): Name | null {
  const [, schema, name] = PLACE.exec(sql) ?? [];
  return schema === undefined ? null : { schema: plain(schema), name: plain(name!) };
}

/** $1: the foreign keys, by OIDs. $2: partitioned tables, whose own foreign keys are made for a new part as well. */
const TIES = `WITH RECURSIVE wholes(oid) AS (
    SELECT w.oid FROM unnest($2::oid[]) w(oid)
    UNION SELECT a.relid::oid FROM unnest($2::oid[]) w(oid), pg_partition_ancestors(w.oid) a(relid)
  ), asked AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) k(rel oid, columns text[], other oid, others text[])
  ), pairs(one, other) AS (
    SELECT f.atttypid, p.atttypid FROM asked k CROSS JOIN LATERAL ROWS FROM (unnest(k.columns), unnest(k.others)) u(c, o)
      JOIN pg_attribute f ON f.attrelid = k.rel AND f.attname = u.c JOIN pg_attribute p ON p.attrelid = k.other AND p.attname = u.o
    UNION ALL
    SELECT f.atttypid, p.atttypid FROM wholes w JOIN pg_constraint k ON k.conrelid = w.oid AND k.contype = 'f'
      CROSS JOIN LATERAL ROWS FROM (unnest(k.conkey), unnest(k.confkey)) u(c, o)
      JOIN pg_attribute f ON f.attrelid = k.conrelid AND f.attnum = u.c JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = u.o
  ), bare(top, oid) AS (
    SELECT x.oid, x.oid FROM (SELECT one FROM pairs UNION SELECT other FROM pairs) x(oid)
    UNION
    SELECT b.top, CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.typelem END FROM bare b JOIN pg_type y ON y.oid = b.oid
     WHERE y.typtype = 'd' OR y.typelem <> 0 AND y.typcategory = 'A'
  ), core(top, oid) AS (
    SELECT b.top, b.oid FROM bare b JOIN pg_type y ON y.oid = b.oid
     WHERE NOT (y.typtype = 'd' OR y.typelem <> 0 AND y.typcategory = 'A')
  )
  SELECT 'cast', a.oid::int8 FROM pairs p JOIN core a ON a.top = p.one JOIN core b ON b.top = p.other WHERE a.oid <> b.oid
  UNION SELECT 'relation', w.oid::int8 FROM wholes w
  UNION SELECT 'relation', k.conindid::int8 FROM wholes w JOIN pg_constraint k ON k.conrelid = w.oid AND k.contype = 'f'
  UNION SELECT 'relation', i.indexrelid::int8 FROM asked k JOIN pg_index i ON i.indrelid = k.other
   WHERE (i.indisunique OR i.indisexclusion) AND i.indpred IS NULL AND i.indexprs IS NULL`;

interface Found {
  /** By their names, which mean these. */
  readonly names: ReadonlyMap<string, number>;
  readonly references: readonly Reference[];
  readonly wholes: readonly Name[];
}

/**
 * What is in play where such ties come back, or null where none does. With `lock`, the names mean the same tables from
 * here on, and those cannot be altered.
 */
export async function readTies(
  session: UndoSession,
  dropped: Dropped,
  lock: boolean,
): Promise<Pick<Reach, 'relations' | 'cast'> | null> {
  const references = dropped.restores.flatMap(({ sql }) => referenceOf(sql) ?? []);
  const wholes = dropped.restores.flatMap(({ sql }) => wholeOf(sql) ?? []);
  if (references.length + wholes.length === 0) return null;
  const find = () => resolve(session, dropped, references, wholes);
  const found = await find();
  if (lock) {
    await lockAll(session, [...found.names.values()]);
    const again = await find();
    // What is not there yet could come to be anything.
    const missing = [...again.names].find(([, oid]) => oid === 0);
    if (missing !== undefined)
      refuse({ table: '', reason: `${missing[0]} is not there, which it refers to` });
    if (JSON.stringify([...again.names]) !== JSON.stringify([...found.names]))
      refuse({ table: '', reason: 'tables that it refers to have changed meanwhile; try again' });
  }
  return await tiesOf(session, found);
}

async function tiesOf(
  session: UndoSession,
  { names, references, wholes }: Found,
): Promise<Pick<Reach, 'relations' | 'cast'>> {
  const oidOf = (name: Name) => names.get(keyOf(name))!;
  const asked = references.map(({ table, columns, other, others }) => ({
    rel: oidOf(table),
    columns,
    other: oidOf(other),
    others,
  }));
  const rows = await session.query(TIES, [JSON.stringify(asked), `{${wholes.map(oidOf).join(',')}}`]);
  const of = (kind: string) => rows.flatMap(([what, oid]) => (what === kind ? [Number(oid)] : []));
  return { relations: of('relation'), cast: of('cast') };
}

const keyOf = ({ schema, name }: Name): string => quoteQualified(schema, name);

/** What comes back is known by its OID; all else by its name. 0 where there is none. */
async function resolve(
  session: UndoSession,
  { objects }: Dropped,
  references: readonly Reference[],
  wholes: readonly Name[],
): Promise<Found> {
  const back = new Map(
    objects.flatMap(({ oid, kind, ...name }) => (kind === 'table' ? [[keyOf(name), oid] as const] : [])),
  );
  const wanted = [...references.flatMap(({ table, other }) => [table, other]), ...wholes].map(keyOf);
  const keys = [...new Set(wanted)].sort();
  const rows = await session.query(
    `SELECT coalesce(to_regclass(k.name)::oid::int8, 0) FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY k(name, i) ORDER BY k.i`,
    [JSON.stringify(keys)],
  );
  const names = new Map(keys.map((key, i) => [key, back.get(key) ?? Number(rows[i]![0])]));
  return { names, references, wholes };
}

/** Where the role may not read a table, the server checks its foreign keys as the owner of the table. */
async function lockAll(session: UndoSession, oids: readonly number[]): Promise<void> {
  const asked = `SELECT n.nspname, c.relname, c.oid::int8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = ANY ($1::oid[]) AND has_table_privilege(c.oid, 'SELECT') ORDER BY c.oid`;
  const before = await session.query(asked, [`{${oids.join(',')}}`]);
  if (before.length === 0) return;
  const names = before.map(([schema, name]) => `ONLY ${quoteQualified(schema!, name!)}`);
  await session.query(`LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE`);
  const after = await session.query(asked, [`{${oids.join(',')}}`]);
  if (JSON.stringify(after) !== JSON.stringify(before))
    refuse({ table: '', reason: 'tables that it refers to have changed meanwhile; try again' });
}
