import { randomBytes } from 'node:crypto';
import { type Cursor, type Elsewhere, openingInSegment } from '../../snapshot/elsewhere.ts';
import type { CapturePlan } from '../../snapshot/plan.ts';

/** What a segment that has no BEGIN lets only a function do. */

/** Marks the body of our own block; no name can hold it, because nobody can guess it. */
const BODY = `$holdfast_${randomBytes(12).toString('hex')}$`;
const DOING = `DO LANGUAGE plpgsql ${BODY}`;
const LOCKING = `${DOING} BEGIN `;

/** Older servers let nobody lock a table in a segment that has no BEGIN, except from within a function; and none opens a cursor. */
export function lockingInSegment(plan: CapturePlan): CapturePlan {
  const isIn = plan.lock === null || plan.lock.startsWith(LOCKING);
  const lock = isIn ? plan.lock : lockInSegment(plan.lock!);
  const { elsewhere } = plan;
  return elsewhere === undefined
    ? { ...plan, lock }
    : { ...plan, lock, elsewhere: openedInSegment(elsewhere) };
}

function openedInSegment(elsewhere: Elsewhere): Elsewhere {
  const inSegment = (cursor: Cursor): Cursor =>
    cursor.opening.startsWith(DOING)
      ? cursor
      : { ...cursor, opening: `${DOING} ${openingInSegment(cursor)} ${BODY}` };
  const tables = elsewhere.tables.map(({ byKeys, search, ...table }) => ({
    ...table,
    byKeys: byKeys && { ...byKeys, cursor: inSegment(byKeys.cursor) },
    search: search && {
      ...search,
      cursor: inSegment(search.cursor),
      counting: inSegment(search.counting),
    },
  }));
  return { ...elsewhere, tables };
}

export function lockInSegment(lock: string): string {
  return `${LOCKING}${lock}; END ${BODY}`;
}
