import { type Execution, findExecution, noExecution } from '../wire/execution.ts';
import { countAlike, startOfAlike } from './decision-time.ts';
import { entryOf, noteExecuted } from './execute-messages.ts';
import type { HiddenQueries } from './hidden/hidden-queries.ts';
import { type Portal, UNSETTLED } from './known/names.ts';
import { hasSessionEffects, plainStatementsSent } from './known/session-effects.ts';
import { Awaited, PlainExecution } from './plain-execution.ts';
import { isPlain } from './ruling/plain-portal.ts';
import { isAtRest } from './ruling/plain-query.ts';
import type { SessionState } from './state.ts';
import type { StatementMessages } from './statement-messages.ts';

/**
 * Most statements come as one execution, alone, of what was let through a moment before. What its messages mean one by one
 * is known then, and they are taken for sent together; everything else is for the single messages.
 */
export class PlainExecutions {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly statements: StatementMessages;
  private readonly found: Execution = noExecution();
  /** One at a time is owed its replies. */
  private readonly execution: PlainExecution;

  constructor(state: SessionState, hidden: HiddenQueries, statements: StatementMessages) {
    this.state = state;
    this.hidden = hidden;
    this.statements = statements;
    this.execution = new PlainExecution(state.statements, state.portals);
  }

  /**
   * Where the execution ends that begins at `at`, if it is plain: it has been taken for sent then. Else 0, and nothing is
   * changed. No approved portals are open.
   */
  take(bytes: Buffer, at: number, end: number): number {
    const { state, found, execution } = this;
    if (!isAtRest(state) || !findExecution(bytes, at, end, found)) return 0;
    state.settings.beforeMessage(false);
    const { textStart, textEnd, nameStart, nameEnd, parameters } = found;
    const isParsed = textStart >= 0;
    const name = isParsed ? '' : state.nameKey(bytes, nameStart, nameEnd);
    if (name === null || (name === '' && this.hidden.kept.mayStand)) return 0;
    const statement = isParsed
      ? this.statements.parsedBefore(bytes, textStart, textEnd)
      : state.statements.lookup(name);
    if (statement === null || statement === UNSETTLED) return 0;
    const portal = statement.plain ?? null;
    if (portal === null || portal.parameters !== parameters || !isPlain(state, portal)) return 0;
    const { analysis } = portal;
    if (analysis.statements.length !== 1 || hasSessionEffects(state, analysis)) return 0;
    const began = startOfAlike(state);
    const isFollowed = analysis.statements[0]!.session.length > 0;
    const { services } = state;
    if (services.recordsFirst && (isFollowed || !this.needsNoRecord(portal))) return 0;
    if (state.written.unknown(analysis, began).length > 0) return 0;
    if (isFollowed) state.reads.begins();
    const entry = entryOf(state, portal);
    execution.awaited = isParsed ? Awaited.ParseComplete : Awaited.BindComplete;
    execution.statement = isParsed ? statement : null;
    execution.portal = portal;
    execution.describes = found.describes;
    execution.audit = entry;
    state.replies.fold(execution);
    countAlike(state, began);
    if (isParsed) {
      state.statements.hasUnnamed = true;
      statement.told = null;
    }
    services.audit.begin(entry);
    noteExecuted(state, analysis);
    plainStatementsSent(state, analysis, began);
    state.endSegmentBySync();
    return found.end;
  }

  /** Whether it may be sent before it is recorded, where what commits is to be recorded first. */
  private needsNoRecord({ decision: { risk, action } }: Portal): boolean {
    const { services, identity } = this.state;
    return risk === 'safe' && action === 'allow' && services.audit.isRecorded(identity);
  }
}
