import { nowMs } from '../../base/clock.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { SessionState } from '../state.ts';
import { type Executed, type Portal, type PreparedStatement, UNSETTLED } from './names.ts';
import { UNKNOWN_STATEMENT } from './opaque.ts';

/**
 * What statements mean at the moment they are used, which may be another than when they were made: names are looked
 * up in the search_path as it is by then, and EXECUTE runs what has its name by then.
 */

const NONE: Executed = Object.freeze([]);
const NO_NAMES: readonly string[] = Object.freeze([]);

/** Whether the portal is planned at its Bind, and that may run code which the gateway has not read. */
export function plansUnseenCode({ read, analysis }: Portal): boolean {
  if (!isPlannedAtBind(read)) return false;
  return analysis.statements.some(({ session }) => session.some(({ kind }) => kind === 'opaque-code'));
}

/** Statements that are planned at Bind for good. All others are read again when they are executed. */
export function isPlannedAtBind({ statements }: Analysis): boolean {
  switch (statements.length === 0 ? '' : statements[0]!.operation) {
    case 'select':
    case 'values':
    case 'insert':
    case 'update':
    case 'delete':
    case 'merge':
      return true;
    default:
      return false;
  }
}

/** Whether the text runs statements by their names. */
export function executes(read: Analysis): boolean {
  if (!read.touchesSession) return false;
  return read.statements.some(({ session }) => session.some(({ kind }) => kind === 'execute'));
}

/** The statement as it is to be understood now, if names may mean something else than at its Parse. */
export function currentAnalysis(
  state: SessionState,
  statement: PreparedStatement,
): Analysis | Promise<Analysis> {
  const { epoch, textFacts, services } = state;
  const { catalogFirst } = textFacts;
  if (statement.epoch === epoch || statement.facts.catalogFirst === catalogFirst) return statement.analysis;
  if (statement.text === null) return UNKNOWN_STATEMENT;
  const bytes = Buffer.from(statement.text, 'utf8');
  return services.analyzer.analyze(bytes, 0, bytes.length, { ...statement.facts, catalogFirst });
}

/** What EXECUTEs in the text name. */
export function executedNames(read: Analysis): readonly string[] {
  if (!read.touchesSession) return NO_NAMES;
  const names: string[] = [];
  for (const { session } of read.statements)
    for (const effect of session) if (effect.kind === 'execute') names.push(effect.name);
  return names.length === 0 ? NO_NAMES : names;
}

/** The statements that they stand for, as things stand. */
export function executedBy(state: SessionState, read: Analysis): Executed {
  const names = executedNames(read);
  if (names.length === 0) return NONE;
  return names.map((name) => {
    const key = state.sqlNameKey(name);
    return key === null ? null : state.statements.lookup(key);
  });
}

/** Whether an EXECUTE in the text names what an earlier segment, not answered yet, may have changed. */
export function executesUnsettled(state: SessionState, read: Analysis): boolean {
  return executedBy(state, read).includes(UNSETTLED);
}

/** Whether what is a read as it is bound may be more when it runs, by code that is looked up then or may be replaced. */
export function mayComeToCall(
  state: SessionState,
  read: Analysis,
  resolved: Analysis,
  analysis: Analysis,
): boolean {
  if (analysis !== resolved) return false;
  return !isPlannedAtBind(read) || state.reads.leadsToCode(resolved, nowMs());
}

/** Whether it is more by now. */
export function hasComeToCall(state: SessionState, { resolved, mayComeToCall }: Portal): boolean {
  return mayComeToCall && state.reads.understood(resolved, nowMs()) !== resolved;
}

/** Whether the portal, when it is executed now, runs what was decided at its Bind. */
export function isAsDecided(state: SessionState, portal: Portal): boolean {
  if (portal.executed.length > 0) {
    const now = executedBy(state, portal.read);
    if (now.some((statement, i) => statement === UNSETTLED || statement !== portal.executed[i])) return false;
  } else if (isPlannedAtBind(portal.read)) return true;
  return portal.epoch === state.epoch || currentAnalysis(state, portal.statement) === portal.read;
}
