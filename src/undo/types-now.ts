import type { ManifestTable } from '../snapshot/manifest.ts';
import { refuse } from './outcome.ts';
import type { UndoSession } from './session.ts';

/** A type of a snapshot's column, as SQL writes it now. */
export interface TypeNow {
  readonly formatted: string;
  /** Below all domains. */
  readonly base: string;
  readonly baseOid: number;
}

const TYPES = `SELECT format_type(t.oid, c.modifier), below.formatted, below.oid
  FROM ROWS FROM (unnest($1::oid[]), unnest($2::int4[])) WITH ORDINALITY c(oid, modifier, i)
  LEFT JOIN pg_type t ON t.oid = c.oid
  LEFT JOIN LATERAL (
    WITH RECURSIVE below(oid, modifier) AS (
      SELECT c.oid, c.modifier
      UNION ALL
      SELECT t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE d.modifier END
        FROM below d JOIN pg_type t ON t.oid = d.oid WHERE t.typtype = 'd')
    SELECT format_type(d.oid, d.modifier) AS formatted, d.oid::int8 FROM below d JOIN pg_type t ON t.oid = d.oid
     WHERE t.typtype <> 'd') below ON true ORDER BY c.i`;

/** The types of a table's columns, by their OIDs; where one is gone, that is the end. */
export async function readTypes(
  session: UndoSession,
  { schema, name, columns }: ManifestTable,
): Promise<TypeNow[]> {
  const list = (values: readonly number[]) => `{${values.join(',')}}`;
  const rows = await session.query(TYPES, [
    list(columns.map(({ type }) => type.oid)),
    list(columns.map(({ type }) => type.modifier)),
  ]);
  const gone = columns.filter((_, i) => (rows[i]?.[0] ?? null) === null);
  if (gone.length > 0) {
    const reason = gone
      .map((column) => `the type ${column.type.name} of its column ${column.name} is gone`)
      .join(', ');
    refuse({ table: `${schema}.${name}`, reason });
  }
  return rows.map(([formatted, base, oid]) => ({
    formatted: formatted!,
    base: base!,
    baseOid: Number(oid),
  }));
}
