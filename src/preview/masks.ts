import { OID_ARRAY_OID, oidArray } from '../catalog/array-parameter.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { bestKey, type Relation } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import type { ColumnPattern } from '../policy/name-pattern.ts';
import { matchColumn } from '../policy/name-pattern.ts';
import { secretParameters } from '../sql/secrets/secret-parameters.ts';
import { wordsOf } from './purity.ts';
import type { PreviewRequest } from './request.ts';

/** A relation ($1), all that it is a part of or inherits from, and all that is below it, by their names. */
const FAMILY = `
WITH RECURSIVE above(oid) AS (
  SELECT o FROM pg_catalog.unnest($1::pg_catalog.oid[]) o
  UNION SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) a.oid
), below(oid) AS (
  SELECT o FROM pg_catalog.unnest($1::pg_catalog.oid[]) o
  UNION SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) b.oid
)
SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text
  FROM (SELECT oid FROM above UNION ALL SELECT oid FROM below) f
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) f.oid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace`;

/** What is masked in a sample. */
export interface Masks {
  /** The policy's. */
  readonly columns: readonly ColumnPattern[];
  /**
   * The names in a text that has a secret, which is not to be shown as a row's value; none where only its parameters have
   * one, and null where neither has.
   */
  readonly besideSecret: ReadonlySet<string> | null;
}

const NO_NAMES: ReadonlySet<string> = new Set();

export function masksOf({ masks, analysis, text }: PreviewRequest): Masks {
  const besideSecret =
    analysis.redacted !== null ? new Set(wordsOf(text)) : secretParameters(text).size > 0 ? NO_NAMES : null;
  return { columns: masks, besideSecret };
}

const SECRET_NAME = /pass|pwd|secret|token|credential|api_?key/i;

/**
 * Columns that may hold the secret of the text: those that it names. A key stays, so that the rows are still to be told
 * apart, but not one that is given another value or whose name is that of a secret.
 */
function besideSecret(
  { besideSecret: names }: Masks,
  target: Relation,
  assigned: readonly string[],
): readonly string[] {
  if (names === null) return [];
  const key = (bestKey(target)?.columns ?? []).filter((name) => !assigned.includes(name));
  return target.columns
    .map(({ name }) => name)
    .filter((name) => SECRET_NAME.test(name) || (names.has(name) && !key.includes(name)));
}

/**
 * The columns whose values are to be kept from those who look at a preview. Rows of a partition are read by the name of
 * what it is a part of, and the other way round, so that a mask on either holds for both.
 */
export async function maskedColumns(
  connection: HiddenConnection,
  masks: Masks,
  target: Relation,
  assigned: readonly string[],
): Promise<ReadonlySet<string>> {
  const { oid, columns } = target;
  const masked = new Set(besideSecret(masks, target, assigned));
  if (masks.columns.length === 0) return masked;
  const query = {
    sql: FAMILY,
    parameterTypes: [OID_ARRAY_OID],
    parameters: [oidArray([oid])],
    parameterFormats: [1] as const,
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    const [schema, table] = textColumns(row);
    const named = { schema: schema ?? null, name: table ?? '' };
    for (const { name } of columns)
      if (masks.columns.some((mask) => matchColumn(mask, { table: named, name }) !== 'no')) masked.add(name);
  });
  return masked;
}
