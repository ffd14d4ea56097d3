import type { AuditEntry } from '../../audit/event.ts';
import type { CountedRows, Decision } from '../../policy/decision.ts';
import type { TableProof } from '../../snapshot/prove.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { otherNumberError } from './refusal.ts';

/**
 * What was decided by the number of its rows may change others by the time that it runs. So that number is looked at again
 * in its own transaction, before anything commits it.
 */

type Counted = Extract<CountedRows, { kind: 'counted' }>;

/** What was counted, where it would have been decided more strictly with another number. */
export function countedOf({ counted }: Decision): Counted | null {
  if (counted?.kind !== 'counted') return null;
  const { least, most } = counted.within;
  return least === 0 && most === null ? null : counted;
}

const WRITTEN_BY_TAG = /^(?:UPDATE|DELETE|MERGE|INSERT \d+) (\d+)$/;

function tellsRows(tag: string | null): boolean {
  return tag !== null && WRITTEN_BY_TAG.test(tag);
}

/** Why so many rows may not be committed, or null. */
export function outsideCount(decision: Decision, rows: number): ErrorFields | null {
  const counted = countedOf(decision);
  if (counted === null) return null;
  const { least, most } = counted.within;
  if (rows >= least && (most === null || rows <= most)) return null;
  return otherNumberError(`It wrote ${rowsText(rows)}`, decision.rule, countText(counted));
}

/** As `outsideCount`, by its tag; where that does not tell, only of what is not captured. */
export function outsideUnproved(
  { decision, analysis }: Pick<AuditEntry, 'decision' | 'analysis'>,
  tag: string | null,
  isCaptured: boolean,
): ErrorFields | null {
  if (countedOf(decision) === null) return null;
  const rows = tag === null ? null : WRITTEN_BY_TAG.exec(tag);
  if (rows !== null) return outsideCount(decision, Number(rows[1]));
  // What a TRUNCATE empties was counted under its lock.
  return isCaptured || analysis.operation === 'truncate' ? null : untoldRows(decision, tag);
}

/** As `outsideCount`, where its tag does not tell, by the rows of its own tables that were captured. */
export function outsideByCapture(
  decision: Decision,
  tag: string | null,
  tables: readonly Pick<TableProof, 'table' | 'before'>[],
): ErrorFields | null {
  if (countedOf(decision) === null || tellsRows(tag)) return null;
  const own = tables.filter(({ table }) => table.cause.kind === 'target');
  // Rows that foreign keys lead to in the same tables were captured by themselves.
  if (own.some(({ table }) => table.identity === undefined)) return untoldRows(decision, tag);
  return outsideCount(
    decision,
    own.reduce((sum, { before }) => sum + before, 0),
  );
}

/** Its tag does not tell how many rows it has written. */
export function untoldRows(decision: Decision, tag: string | null): ErrorFields | null {
  const counted = countedOf(decision);
  if (counted === null || tellsRows(tag)) return null;
  const why = tag === null ? ' to who fetches them in parts' : '';
  return otherNumberError(`How many rows it wrote is not told${why}`, decision.rule, countText(counted));
}

function rowsText(rows: number): string {
  return `${rows} ${rows === 1 ? 'row' : 'rows'}`;
}

function countText({ rows: { least, most } }: Counted): string {
  if (most === null) return `more than ${least - 1} rows`;
  return least === most ? rowsText(least) : `${least} to ${most} rows`;
}
