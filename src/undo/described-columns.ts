import { quoteName } from '../catalog/quote.ts';
import type { ManifestTable } from '../snapshot/manifest.ts';
import type { UndoSession } from './session.ts';
import { written } from './statements.ts';

export interface Described {
  readonly columns: ManifestTable['columns'];
  /** Their values as a file has them. */
  readonly values: readonly string[];
  /** Those whose values no file has exactly. */
  readonly inexact: readonly string[];
}

type Column = Described['columns'][number];

/** By the type itself and whatever it is made of, as a capture tells it. */
const COLUMNS = `WITH RECURSIVE parts(root, oid) AS (
    SELECT a.atttypid, a.atttypid FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT p.root, i.oid FROM parts p JOIN pg_type t ON t.oid = p.oid CROSS JOIN LATERAL (
      SELECT t.typelem AS oid WHERE t.typelem <> 0
      UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
      UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid OR r.rngmultitypid = t.oid
      UNION ALL SELECT a.atttypid FROM pg_attribute a
                 WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped) i
  ), binaries AS (
    SELECT p.root, bool_and(t.typsend::oid <> 0 AND t.typreceive::oid <> 0) AS binary, bool_or(t.oid = 142) AS xml
      FROM parts p JOIN pg_type t ON t.oid = p.oid GROUP BY p.root
  )
  SELECT coalesce(jsonb_agg(jsonb_build_object('xml', CASE WHEN NOT b.xml THEN NULL
        WHEN 142 IN (t.oid, t.typbasetype) AND t.typelem = 0 THEN 'plain' ELSE 'within' END, 'column', jsonb_build_object('name', a.attname, 'attribute', a.attnum,
      'type', jsonb_build_object('oid', t.oid::int8, 'schema', n.nspname, 'name', t.typname, 'modifier', a.atttypmod),
      'not_null', a.attnotnull, 'generated', a.attgenerated, 'identity', a.attidentity,
      'format', CASE WHEN b.binary AND t.oid <> 142 AND t.typbasetype <> 142 THEN 'binary' ELSE 'text' END)) ORDER BY a.attnum), '[]')::text
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace JOIN binaries b ON b.root = a.atttypid
   WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''`;

/** The columns of a table as it stands, for a manifest: all but those that the server computes. */
export async function describeColumns(session: UndoSession, oid: number, alias: string): Promise<Described> {
  const [row] = await session.query(COLUMNS, [String(oid)]);
  const found = JSON.parse(row![0]!) as {
    readonly xml: 'plain' | 'within' | null;
    readonly column: Column;
  }[];
  return {
    columns: found.map(({ column }) => column),
    values: found.map(({ column: { name, type, format }, xml }) => {
      const value = `${alias}.${quoteName(name)}`;
      if (format === 'binary') return value;
      // What is sent of xml has no declaration, or another than was stored; a cast leaves it as it is.
      return xml === 'plain' ? `${value}::text` : written(value, type.oid);
    }),
    inexact: found.filter(({ xml }) => xml === 'within').map(({ column: { name } }) => name),
  };
}
