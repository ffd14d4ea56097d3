import type { Analysis } from '../sql/effects.ts';
import { DROPS_COLUMN } from '../sql/rules-table.ts';
import type { SessionState } from './state.ts';

/** Statements of which an exact plan may exist, by their operation; all others lose what no plan tells. */
const CAPTURABLE = new Set(['update', 'delete', 'merge', 'insert', 'truncate', 'explain', 'copy']);

export const SEVERAL = 'it is one of several statements in one text';
export const DROP_BOUND = 'a DROP is snapshotted only where it comes in a simple Query';
export const NOT_UTF8 = 'the client does not write UTF-8 (client_encoding)';

/** What is dropped is moved away instead, or copied if it is a column, where the DROP comes in a Query. */
export function isDrop({ operation, statements }: Analysis): boolean {
  if (operation.startsWith('drop ')) return true;
  return operation === 'alter table' && statements.some(({ reasons }) => reasons.includes(DROPS_COLUMN));
}

/** Why no capture of a text is tried at all, in words that read well behind "because"; null where it is tried. */
export function problemOf(state: SessionState, analysis: Analysis): string | null {
  const [only, ...others] = analysis.statements;
  if (analysis.status !== 'parsed' || only === undefined) return 'its text is not understood';
  if (others.length > 0) return SEVERAL;
  if (state.textFacts.encoding !== 'utf8') return NOT_UTF8;
  const known = only.operations.some((operation) => CAPTURABLE.has(operation));
  return known ? null : `this version takes none of ${analysis.operation}`;
}

/** What to do about a reason, where there is something better than to change the statement. */
export const ADVICE: Readonly<Record<string, string>> = {
  [SEVERAL]: 'Send it by itself',
  [DROP_BOUND]: 'Send it without parameters, as a simple Query',
  [NOT_UTF8]: 'Set client_encoding to UTF8',
};
