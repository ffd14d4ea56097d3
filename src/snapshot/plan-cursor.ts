import { randomBytes } from 'node:crypto';
import { quoteName } from '../catalog/quote.ts';
import type { Relation } from '../catalog/relation.ts';
import type { CursorSlice, RowsSlice } from '../sql/slices/slice.ts';
import { inexact } from '../sql/slices/slice.ts';
import { sliceFacts } from '../sql/slices/slice-facts.ts';
import { decodeErrorFields } from '../wire/backend.ts';
import { plainQuery } from './capture.ts';
import type { HiddenConnection } from './connection.ts';

/**
 * WHERE CURRENT OF: only the server knows the row, and tells it of no SELECT. So an UPDATE of that row is begun whose
 * new value cannot be computed, and the error says where the row stands: by then nothing has been changed, and no
 * trigger of a row has run.
 */

/** Marks what is ours in an error, and our own bodies; nobody can guess it. */
const MARK = `holdfast_${randomBytes(12).toString('hex')}`;
const BODY = `$${MARK}$`;
const INNER = `$${MARK}_sql$`;
const PLACE = new RegExp(`${MARK} (\\d+) (\\(\\d+,\\d+\\))`);

/** Of the condition, which is ours. */
const NOTHING_IMPLIED = sliceFacts([]).implied;

/** Why the row is not asked for, or null. */
export function problemOfCursor({ operation }: CursorSlice, target: Relation): string | null {
  if (target.triggers.some(({ events }) => events.includes('update')))
    return `only an UPDATE tells where a cursor stands, and ${target.name} has triggers for it`;
  if (target.rules.length > 0) return `a rule rewrites what is done to ${target.name}`;
  if (target.kind !== 'table' && target.kind !== 'partitioned table')
    return `${operation} by a cursor of a ${target.kind} is not followed`;
  return null;
}

/** The statement as one on the rows of a condition. */
export function cursorRows(slice: CursorSlice, where: string): RowsSlice {
  const { operation, target, assigned, attributes, calls, ownNames, readsOthers } = slice;
  return {
    kind: 'rows',
    operation,
    target,
    with: null,
    where,
    whereUpdated: where,
    whereDeleted: where,
    updates: operation === 'update',
    deletes: operation === 'delete',
    inserts: false,
    joined: false,
    ownRowOnly: false,
    equated: [],
    equatesOnly: false,
    sliceView: () => inexact('its target is a view'),
    parameters: [],
    functions: [],
    implied: NOTHING_IMPLIED,
    impliedByValues: NOTHING_IMPLIED,
    attributes,
    calls,
    assigned,
    ownNames,
    readsOthers,
  };
}

/** The condition of the row that the cursor stands on; of none where the statement finds none either. */
export async function whereCursorStands(
  connection: HiddenConnection,
  { target, cursor, assigned }: CursorSlice,
  relation: Relation,
): Promise<string | null> {
  const plain = relation.columns.find(({ generated, identity }) => generated === '' && identity !== 'a');
  const column = assigned[0]?.column ?? plain?.name;
  if (column === undefined) return null;
  const row = quoteName(target.reference);
  const value = `${row}.${quoteName(column)}`;
  const place = `pg_catalog.concat('${MARK} ', ${row}.tableoid, ' ', ${row}.ctid)::pg_catalog.int4`;
  const update = `UPDATE ${target.text}
    SET ${quoteName(column)} = CASE WHEN ${place} IS NULL THEN ${value} ELSE ${value} END
    WHERE CURRENT OF ${quoteName(cursor)}`;
  let found = 'false';
  const ask = `DO LANGUAGE plpgsql ${BODY} BEGIN
    EXECUTE ${INNER}${update}${INNER};
  EXCEPTION WHEN invalid_text_representation THEN
    RAISE INFO '%', SQLERRM;
  END ${BODY}`;
  await connection.run(
    plainQuery(ask),
    () => {},
    (notice) => {
      const told = PLACE.exec(decodeErrorFields(notice)?.['M'] ?? '');
      if (told === null) return;
      found = `${row}.ctid OPERATOR(pg_catalog.=) '${told[2]}'::pg_catalog.tid
        AND ${row}.tableoid OPERATOR(pg_catalog.=) ${told[1]}::pg_catalog.oid`;
    },
  );
  return found;
}
