import { as, type Fields, isObject, list, unwrap, type Wrapped } from '../parsing/tree.ts';
import { type InexactSlice, inexact, type SliceRequest, type SliceTarget, type WriteSlice } from './slice.ts';
import type { ParseSlice } from './slice-check.ts';
import { onlyReads, sliceFacts } from './slice-facts.ts';
import type { SliceText } from './slice-text.ts';

/**
 * A query whose WITH writes, as `WITH w AS (UPDATE … RETURNING …) SELECT … FROM w`. PostgreSQL runs such a write to its
 * end whatever the query reads of it, and by the same snapshot, so that it changes the rows that it would change by
 * itself behind the reading parts that stand in front of it. So it is for an INSERT into another table, as
 * `WITH d AS (DELETE … RETURNING *) INSERT INTO archive SELECT * FROM d`.
 */

const SEVERAL = 'a part of it changes data by itself';
const WRITES: ReadonlySet<string> = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** The one write that stands in the WITH of a query, to be sliced by itself. */
export interface WriteInWith {
  readonly request: SliceRequest;
  readonly write: Wrapped;
}

/** Null where the query has no WITH that writes. */
export function writeInWith(
  text: SliceText,
  fields: Fields,
  depth: number,
  parse: ParseSlice,
): WriteInWith | InexactSlice | null {
  const clause = fields['withClause'];
  if (!isObject(clause) || onlyReads(clause)) return null;
  // What is recursive may name what stands behind it.
  if (writesOf(fields) !== 1 || clause['recursive'] === true || fields['intoClause'] !== undefined)
    return inexact(SEVERAL);
  const ctes = list(clause['ctes']);
  const index = ctes.findIndex(
    (each) => as(as(each, 'CommonTableExpr')?.['ctequery'], 'SelectStmt') === null,
  );
  const cte = as(ctes[index], 'CommonTableExpr');
  const write = unwrap(cte?.['ctequery']);
  if (cte === null || write === null) return inexact(SEVERAL);
  const name = text.at(Number(cte['location'] ?? 0));
  const open = text.openingBehind('as', name + 1, depth);
  const close = open < 0 ? -1 : text.closingOf(open);
  if (close < 0) return inexact(SEVERAL);
  const before = ctes.slice(0, index);
  const common = { text: text.until(close), depth: depth + 1, first: open + 1, parse };
  if (before.length === 0) return { request: { ...common, fields: write.fields }, write };
  if (write.fields['withClause'] !== undefined) return inexact(SEVERAL);
  const reading = { ...write.fields, withClause: { ctes: before, location: clause['location'] ?? 0 } };
  return { request: { ...common, fields: reading, withEnd: name - 1 }, write };
}

/**
 * What is said of the write alone, as it is to be captured where more stands around it; `into` is what that inserts into
 * besides.
 */
export function inWith(slice: WriteSlice, fields: Fields, into: SliceTarget | null): WriteSlice {
  const { functions: calls, implied, ownNames } = sliceFacts([fields]);
  const { attributes } = implied;
  const insertsInto = into === null ? {} : { insertsInto: { schema: into.schema, name: into.name } };
  const around = { inWith: true, ...insertsInto, calls, attributes, ownNames, readsOthers: true } as const;
  switch (slice.kind) {
    case 'rows':
      // It is never run in the round trip of its capture, with words of ours behind it.
      return { ...slice, ...around, ownRowOnly: false, equated: [], equatesOnly: false };
    case 'upsert':
      return { ...slice, ...around };
    case 'inexact':
      return inexact(slice.reason);
    case 'cursor':
    case 'truncate':
    case 'execute':
      return inexact(SEVERAL);
    default:
      return slice satisfies never;
  }
}

/** How many statements in the tree write. */
function writesOf(node: unknown): number {
  if (Array.isArray(node)) return node.reduce((sum: number, item) => sum + writesOf(item), 0);
  if (!isObject(node)) return 0;
  let writes = 0;
  for (const [name, value] of Object.entries(node)) writes += (WRITES.has(name) ? 1 : 0) + writesOf(value);
  return writes;
}
