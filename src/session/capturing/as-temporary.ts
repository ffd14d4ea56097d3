import type { Analysis, StatementEffects } from '../../sql/effects.ts';
import { moreThanLow } from '../../sql/facts/functions.ts';

/** Which statements may be on nothing but temporary tables of their session, as far as their text tells. */

const WRITES: ReadonlySet<string> = new Set(['update', 'delete', 'truncate', 'merge', 'insert']);
const DEFINES: ReadonlySet<string> = new Set([
  ...['drop table', 'drop view', 'drop sequence', 'drop index', 'drop materialized view'],
  ...['drop foreign table', 'drop trigger', 'drop rule', 'drop policy', 'alter table'],
]);

const TEMPORARY = 'names nothing but temporary tables of the session, or what is not there';
const GIVES_ROWS = /\breturning\b/i;

const KNOWN = new WeakMap<Analysis, Analysis>();

/** The statement as it is to be decided where all that it names is temporary; null where it is decided as any other. */
export function asTemporary(analysis: Analysis, text: string): Analysis | null {
  const [only, ...others] = analysis.statements;
  if (only === undefined || others.length > 0 || !mayBe(only) || GIVES_ROWS.test(text)) return null;
  let known = KNOWN.get(analysis);
  if (known === undefined) {
    const statement: StatementEffects = Object.freeze({ ...only, risk: 'low', reasons: [TEMPORARY] });
    known = Object.freeze({ ...analysis, risk: 'low', statements: Object.freeze([statement]) });
    KNOWN.set(analysis, known);
  }
  return known;
}

/** Whether it only takes definitions away, for which no row is looked at. */
export const isDefinition = ({ operation }: StatementEffects): boolean => DEFINES.has(operation);

/** Whether it names what it changes, and calls no code. */
function mayBe({ operations, reasons, session, writes, called, functions }: StatementEffects): boolean {
  if (writes.length === 0 || called !== undefined) return false;
  if (functions.some((name) => moreThanLow(name) !== null)) return false;
  if (session.some(({ kind }) => kind !== 'schema-change')) return false;
  if (operations.every((operation) => WRITES.has(operation))) return true;
  // Of what an ALTER does otherwise, some runs code, such as a cast.
  const [operation, ...others] = operations;
  if (others.length > 0 || !DEFINES.has(operation!)) return false;
  return reasons.every((reason) => reason.startsWith('drops ') || reason === operation);
}
