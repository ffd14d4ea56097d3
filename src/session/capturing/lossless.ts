import type { AuditEntry } from '../../audit/event.ts';
import type { HiddenConnection } from '../../catalog/connection.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { refusedByRestraint } from '../ruling/restrained.ts';
import type { SessionState } from '../state.ts';
import { isDefinition } from './as-temporary.ts';
import type { CaptureOutcome } from './capture-run.ts';
import { ofEmptyTables } from './empty-truncate.ts';
import { mayBeNew } from './made-anew.ts';
import { nothingOf } from './nothing-dropped.ts';
import { severalOnTemporary } from './split/split-temporary.ts';
import { type OfPortal, onTemporary } from './temporary-only.ts';

/** A statement that may lose nothing as things stand, which is to be proved by running it. */
export interface Lossless {
  /** As which it is decided then. */
  readonly analysis: Analysis;
  /** Whether it loses nothing as things stand now, for whoever has to know before it is run. */
  isSo(connection: HiddenConnection, state: SessionState, hidden: HiddenQueries): Promise<boolean>;
  /** Null where it would lose something after all, and nothing has been done. */
  run(state: SessionState, hidden: HiddenQueries, entry: AuditEntry): Promise<CaptureOutcome | null>;
}

/** In which ways a Query may lose nothing; `tried` of them have been found not to be so. Null where it is decided as any other. */
export function losslessOf(
  state: SessionState,
  analysis: Analysis,
  text: string | null,
  tried: number,
): Lossless | null {
  if (text === null || !isToTry(state, analysis)) return null;
  const ways =
    analysis.statements.length > 1
      ? [severalOnTemporary(state, analysis, text)]
      : [
          ...commonWays(state, analysis, text, null),
          mayBeNew(state, analysis, text),
          mayBeEmpty(state, analysis, text),
        ];
  return ways.filter((way) => passes(state, way))[tried] ?? null;
}

/** The same of a statement that is bound. */
export function losslessBound(
  state: SessionState,
  analysis: Analysis,
  text: string | null,
  of: OfPortal,
): readonly Lossless[] {
  if (text === null || analysis.statements.length > 1 || !isToTry(state, analysis)) return [];
  return commonWays(state, analysis, text, of).filter((way) => passes(state, way));
}

function commonWays(state: SessionState, analysis: Analysis, text: string, of: OfPortal | null) {
  const nothing = nothingOf(analysis, text);
  // A snapshot of a write is planned anyway, which finds out that its tables are temporary without being asked ahead of it.
  const isPlanned = state.decide(analysis).action === 'snapshot' && !analysis.statements.every(isDefinition);
  return isPlanned ? [nothing] : [nothing, onTemporary(analysis, text, of)];
}

/** A snapshot of tables that have no rows takes no time. */
const mayBeEmpty = (state: SessionState, analysis: Analysis, text: string): Lossless | null =>
  state.decide(analysis).action === 'snapshot' ? null : ofEmptyTables(analysis, text);

/** Whether it makes a difference, and may be proved. */
function isToTry(state: SessionState, analysis: Analysis): boolean {
  if (analysis.status !== 'parsed' || analysis.statements.length === 0) return false;
  const { snapshots, audit } = state.services;
  if (snapshots === null || !state.takesQueries || audit.failing) return false;
  return state.textFacts.encoding === 'utf8' && state.decide(analysis).action !== 'allow';
}

/** Whether policy asks for no more than to run it. */
function passes(state: SessionState, way: Lossless | null): way is Lossless {
  if (way === null) return false;
  const { action } = state.decide(way.analysis);
  return (action === 'allow' || action === 'snapshot') && refusedByRestraint(state, way.analysis) === null;
}
