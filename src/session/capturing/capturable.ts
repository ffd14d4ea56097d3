import type { Analysis } from '../../sql/effects.ts';
import type { PreparedStatement } from '../known/names.ts';
import { INEXACT, NOT_ASCII, NOT_UTF8, problemOfEncoding } from '../known/text-encoding.ts';
import type { SessionState } from '../state.ts';

/** Statements of which an exact plan may exist, by their operation; all others lose what no plan tells. */
const CAPTURABLE = new Set(['update', 'delete', 'merge', 'insert', 'truncate', 'explain', 'copy']);

export const SEVERAL = 'it is one of several statements in one text';
export const DROP_ALONE =
  'by the extended protocol a DROP is snapshotted only as all that runs up to its Sync';

/** What is dropped is moved away instead, or copied if it is a column; what ALTER TABLE changes is kept by its definition. */
export function isDrop({ operation, statements }: Analysis): boolean {
  if (operation.startsWith('drop ') || operation === 'alter table') return true;
  if (statements.length !== 1) return false;
  const [reason, ...others] = statements[0]!.reasons;
  // What is high for more than that it replaces would be so as a CREATE, of which there is no undo.
  return (operation.startsWith('alter ') && reason === OWNER) || (reason === REPLACES && others.length === 0);
}

/** As the analysis says it; what the role owns itself it may give away. */
const OWNER = 'changes an owner';
const REPLACES = 'replaces a function';

/** Why no capture of a statement is tried at all, in words that read well behind "because"; null where it is tried. */
export function problemOfOne(state: SessionState, analysis: Analysis): string | null {
  const [only, ...others] = analysis.statements;
  if (analysis.status !== 'parsed' || only === undefined) return 'its text is not understood';
  if (others.length > 0) return SEVERAL;
  const encoding = problemOfEncoding(state);
  if (encoding !== null) return encoding;
  const known = only.operations.some((operation) => CAPTURABLE.has(operation));
  return known ? null : `this version takes none of ${analysis.operation}`;
}

/** Why nothing that such a portal drops can be moved away; null where it is tried. */
export function problemOfBoundDrop({ text }: PreparedStatement, analysis: Analysis): string | null {
  if (text === null) return 'its text is a part of another';
  if (analysis.status !== 'parsed') return 'its text is not understood';
  if (analysis.statements.length > 1) return SEVERAL;
  return null;
}

/** What to do about a reason, where there is something better than to change the statement. */
export function adviceFor(reason: string): string | null {
  if (reason.startsWith(SEVERAL)) return 'Send it by itself';
  return ADVICE[reason] ?? null;
}

const ADVICE: Readonly<Record<string, string>> = {
  [DROP_ALONE]: 'Send it by itself, with a Sync behind it',
  [NOT_UTF8]: 'Set client_encoding to UTF8',
  [INEXACT]: 'Set client_encoding to UTF8',
  [NOT_ASCII]: 'Set client_encoding to UTF8',
};
