import type {
  Approval,
  ComparedNow,
  HeldStatement,
  HoldOutcome,
  NewApproval,
} from '../../approval/approval.ts';
import { unreachable } from '../../base/assert.ts';
import { nowMs } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { HiddenQueryError } from '../../catalog/connection.ts';
import type { Hold } from '../../policy/decision.ts';
import type { KnownRows } from '../../policy/row-set.ts';
import type { RowsNow } from '../../preview/compute.ts';
import type { Analysis } from '../../sql/effects.ts';
import { encodeErrorResponse, encodeNoticeResponse } from '../../wire/backend.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { noted, whyNone } from '../ruling/noted.ts';
import { heldNotice, heldReason, nativeError, transactionAbortedError } from '../ruling/refusal.ts';
import type { SessionState } from '../state.ts';
import type { Answer } from '../verdict.ts';
import type { LocatedRows } from './approved-rows.ts';
import { type Circumstances, readCircumstances } from './circumstances.ts';
import { KeptAwake } from './kept-awake.ts';
import type { HeldPreview, HeldText, PreviewDesk } from './preview-desk.ts';
import { type RequestKey, requestKey, type Sent, textsSent, UNREADABLE, WAIT, withPrepared } from './sent.ts';
import { shownCall } from './sent-call.ts';
import { shownText, withShownPrepared } from './shown-text.ts';

/** A statement that is to be held. */
export interface ToHold {
  readonly analysis: Analysis;
  readonly decision: Hold;
  /** Null where `analysis.redacted` stands for it. */
  readonly text: string | null;
  readonly parameters: number;
  /** What its text was read as. */
  readonly read: Analysis;
  readonly sent: Sent | null;
}

type Ended = { readonly approvalId: string | null; readonly end: HoldOutcome; readonly approved: Hold };

/**
 * The holds of one session: at most one statement at a time waits, because nothing behind it is looked at. A live
 * hold ends by people's decision, by time, or because the client cancels or goes; whichever is durable first wins,
 * but that nothing runs for a client that has given up. By a ticket the client is told at once to come again, and
 * what has been approved of the same request before is used up.
 */
export class HoldDesk {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly previews: PreviewDesk;
  private statement: HeldStatement | null = null;
  /** Its rows, as they were last looked for. */
  private found: RowsNow | null = null;
  private waiting = false;
  /** The server is asked something, so that it is for the server to end what is to be cancelled. */
  private asking = false;
  private givenUp: 'canceled' | 'disconnected' | null = null;

  constructor(state: SessionState, hidden: HiddenQueries, previews: PreviewDesk) {
    this.state = state;
    this.hidden = hidden;
    this.previews = previews;
  }

  /** The client cancels or is gone. Returns whether there was anything to give up. */
  giveUp(how: 'canceled' | 'disconnected'): boolean {
    if (!this.waiting || (this.asking && how === 'canceled')) return false;
    this.givenUp ??= how;
    this.statement?.end(how);
    this.previews.giveUp();
    return true;
  }

  async hold(held: ToHold): Promise<Answer> {
    const { textFacts } = this.state;
    const began = nowMs();
    this.waiting = true;
    this.givenUp = null;
    this.found = null;
    try {
      const key = requestKey(this.state, held.read, held.sent);
      let ended: Ended | null = null;
      let drift: readonly string[] = [];
      while (ended === null || drift.length > 0) [ended, drift] = await this.ask(held, key, drift);
      const outcome = { kind: 'held' as const, holdMs: nowMs() - began, ...ended };
      return { analysis: held.read, facts: textFacts, outcome };
    } catch (cause) {
      const failed = await this.failure(cause, held.decision);
      if (failed === null) return { analysis: null, outcome: null };
      const outcome = { kind: 'held' as const, holdMs: nowMs() - began, ...failed };
      return { analysis: held.read, facts: textFacts, outcome };
    } finally {
      this.waiting = false;
      this.asking = false;
      this.statement = null;
      this.found = null;
    }
  }

  /** Asks once; what it has drifted from meanwhile is why it is to be asked again. */
  private async ask(
    held: ToHold,
    key: RequestKey,
    drift: readonly string[],
  ): Promise<readonly [Ended | null, readonly string[]]> {
    const { decision } = held;
    const circumstances = await this.circumstances(held);
    if (this.givenUp !== null) return [ended(null, { kind: this.givenUp }, decision), []];
    if (this.isIgnored(held.analysis))
      return [ended(null, { kind: 'refused', error: transactionAbortedError() }, decision), []];
    if (circumstances.runsAs === null && this.state.services.catalog !== null)
      return [ended(null, { kind: 'failed', error: notAsked() }, decision), []];
    const wanted = this.wanted(held, key, circumstances, drift);
    const known = keyIn(this.state, key, circumstances);
    if (known.kind === 'unseen' || (wanted.mode === 'ticket' && known.kind === 'none')) {
      const { kind, why, hint } = known;
      const message = `${kind === 'none' ? 'no ticket can be given for it' : 'nobody can be shown what it does'}, because ${why}`;
      const error = new HoldfastError('STATEMENT_BLOCKED', message, { hint });
      return [ended(null, { kind: 'failed', error }, decision), []];
    }
    const asked = await this.state.services.approvals.request(wanted);
    const preview =
      asked.kind !== 'granted' && asked.isNew ? this.previews.begin(asked.id, shown(held)) : null;
    switch (asked.kind) {
      case 'answered':
        await preview?.within(LIMITS.previewTicketMs);
        return [ended(asked.id, asked.outcome, decision), []];
      case 'granted': {
        const { id, resolvedBy, comment } = asked.approval;
        const approved = { kind: 'approved', by: resolvedBy ?? 'unknown', comment } as const;
        const to = withRows(asApproved(decision, asked.approval), asked.rowsShown, this.found);
        return [ended(id, this.unlessGivenUp(approved), to), []];
      }
      case 'waits':
        return await this.wait(held, key, wanted, asked.held, preview, circumstances.idleMs);
      default:
        return unreachable(asked);
    }
  }

  private async wait(
    toHold: ToHold,
    key: RequestKey,
    wanted: NewApproval,
    held: HeldStatement,
    preview: HeldPreview | null,
    idleMs: number | null,
  ): Promise<readonly [Ended | null, readonly string[]]> {
    const { decision } = toHold;
    this.statement = held;
    if (this.givenUp !== null) held.end(this.givenUp);
    const tell = () =>
      this.state.inject(
        encodeNoticeResponse(heldNotice(held.id, decision, wanted.drift ?? []), this.state.clientEncoding),
      );
    tell();
    // A line that is silent for long is cut by what stands between; a notice now and then keeps it.
    const notice = setInterval(tell, decision.noticeMs).unref();
    const awake = KeptAwake.start(this.state, this.hidden, idleMs);
    let outcome: HoldOutcome | null;
    try {
      outcome = await held.outcome;
    } finally {
      clearInterval(notice);
      await preview?.stop();
      await awake.stop();
      this.statement = null;
    }
    if (outcome === null) return [null, []];
    // An approval may have been on its way to the store when the client gave up, who has been told that it runs not.
    const end = this.unlessGivenUp(outcome);
    if (end.kind !== 'approved') return [ended(held.id, end, decision), []];
    const now = this.wanted(toHold, key, await this.circumstances(toHold), []);
    const compared =
      this.givenUp === null ? await held.compare(now).catch(nothingIfGivenUp) : NOTHING_COMPARED;
    const { drift, rowsShown } = compared;
    return [ended(held.id, this.unlessGivenUp(end), withRows(decision, rowsShown, this.found)), drift];
  }

  private async circumstances({ analysis, read, sent }: ToHold): Promise<Circumstances> {
    const { state, hidden } = this;
    this.asking = true;
    try {
      const { catalog } = state.services;
      const texts = textsSent(state, read, sent);
      return await readCircumstances(state, hidden, catalog, analysis, read, sent, texts);
    } finally {
      this.asking = false;
    }
  }

  /** The server runs nothing in a failed transaction, so that nobody need be asked. In a text of several a ROLLBACK may come first. */
  private isIgnored({ status, statements }: Analysis): boolean {
    const { state } = this;
    if (state.transactionStatus !== 'E' || !state.owesNothing() || state.replies.segmentOpen) return false;
    if (status !== 'parsed' || statements.length !== 1) return false;
    return !statements[0]!.session.some(({ kind }) => kind === 'transaction');
  }

  private unlessGivenUp(outcome: HoldOutcome): HoldOutcome {
    return outcome.kind === 'approved' && this.givenUp !== null ? { kind: this.givenUp } : outcome;
  }

  private wanted(
    held: ToHold,
    key: RequestKey,
    circumstances: Circumstances,
    drift: readonly string[],
  ): NewApproval {
    const { runsAs, searchPath, schemaSha256 } = circumstances;
    const { analysis, decision, parameters } = held;
    const known = keyIn(this.state, key, circumstances);
    const { identity, facts } = this.state;
    return {
      mode: this.modeOf(decision),
      sessionId: identity.id,
      role: facts.role,
      database: facts.database,
      application: facts.application,
      client: facts.client,
      statement: this.shown(held, circumstances),
      parameters,
      operation: analysis.operation,
      risk: decision.risk,
      reasons: analysis.statements.flatMap((statement) => statement.reasons).slice(0, 16),
      tables: analysis.tables,
      rule: decision.rule,
      reason: heldReason(decision),
      approvalsNeeded: decision.approvals,
      approvers: decision.approvers,
      binding: {
        key: known.kind === 'key' ? known.key : null,
        ...{ runsAs, searchPath, schemaSha256, rows: null },
        rowsTolerance: decision.rowsTolerance,
        withoutSnapshot: whyNone(decision),
      },
      timeoutMs: decision.timeoutMs,
      grantMs: decision.grantMs,
      drift,
      findRows: (salt) => this.findRows(held, salt),
    };
  }

  private async findRows(held: ToHold, salt: Uint8Array | null): Promise<RowsNow | null> {
    const rows = await this.previews.rowsNow(shown(held), salt);
    this.found = rows;
    // Nobody is to be asked anew on behalf of a client that is gone.
    if (this.givenUp !== null) throw new GivenUp();
    return rows;
  }

  private shown({ read, analysis, text, sent }: ToHold, { called, prepared }: Circumstances): string {
    if (sent?.call !== undefined) return withShownPrepared(shownCall(sent.call, called), prepared);
    // A character that nobody could read would hide what is there.
    const own = shownText(this.state, read, analysis, text === null ? null : (sent?.text ?? text));
    return withShownPrepared(own, prepared);
  }

  /** A transaction that waits keeps its locks from others, and its snapshot from being cleared away. */
  private modeOf({ mode }: Hold): 'live' | 'ticket' {
    if (mode !== 'auto') return mode;
    const { transactionStatus, inImplicitBlock, executedIn, segment } = this.state;
    return transactionStatus !== 'I' || inImplicitBlock || executedIn === segment ? 'ticket' : 'live';
  }

  /** Null where the server discards what the client sends, who is told at once. */
  private async failure(cause: unknown, decision: Hold): Promise<Ended | null> {
    const { state } = this;
    if (cause instanceof GivenUp) return ended(null, { kind: this.givenUp ?? 'canceled' }, decision);
    if (cause instanceof HiddenQueryEnded && cause.why === 'discarded') return null;
    if (cause instanceof HiddenQueryEnded) return ended(null, { kind: 'disconnected' }, decision);
    if (!(cause instanceof HiddenQueryError)) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      return ended(null, { kind: 'failed', error }, decision);
    }
    await state.untilHiddenOver();
    if (!state.discarding) return ended(null, { kind: 'refused', error: nativeError(cause) }, decision);
    state.inject(encodeErrorResponse(nativeError(cause), state.clientEncoding));
    state.failedUntold = null;
    return null;
  }
}

/** The client has given up while rows were counted for it. */
class GivenUp extends Error {}

/** Nothing runs for such a client. */
const NOTHING_COMPARED: ComparedNow = { drift: [], rowsShown: null };

function nothingIfGivenUp(cause: unknown): ComparedNow {
  if (cause instanceof GivenUp) return NOTHING_COMPARED;
  throw cause;
}

/** No other request is the same that reads what nobody has looked at. */
function keyIn(
  state: SessionState,
  sent: RequestKey,
  { readsUnknownSetting, prepared }: Circumstances,
): RequestKey {
  const key = withPrepared(state, sent, prepared);
  if (!readsUnknownSetting || key.kind !== 'key') return key;
  const why =
    'it reads a setting whose name is not written out, so that nobody can tell whether it is as it was';
  return { kind: 'none', why, hint: `${NAMED_SETTINGS} ${WAIT}` };
}

const NAMED_SETTINGS =
  "Where it calls current_setting, or a function, policy, trigger or view behind it does, give the name as a literal, like current_setting('app.tenant').";

/** What is not known of it would be the same for whatever else it might do. */
function notAsked(): HoldfastError {
  return new HoldfastError(
    'STATEMENT_BLOCKED',
    'the server cannot be asked, where it stands, with whose rights and on which tables it would run',
  );
}

function ended(approvalId: string | null, end: HoldOutcome, approved: Hold): Ended {
  return { approvalId, end, approved };
}

function shown({ analysis, text, decision, parameters, sent }: ToHold): HeldText {
  return { analysis, text: text ?? textSent(sent), decision, parameters, bound: sent?.bound ?? null };
}

/** Null where bytes of it are written in hexadecimal, or it is no text. */
function textSent(sent: Sent | null): string | null {
  if (sent === null || sent.text === null || sent.call !== undefined) return null;
  return sent.text.includes(UNREADABLE) ? null : sent.text;
}

/** It is to change these rows, and no others, when it runs. */
function withRows(decision: Hold, shown: KnownRows | null, found: RowsNow | null): Hold {
  if (shown === null) return decision;
  const approvedRows: LocatedRows = {
    ...shown,
    tolerance: decision.rowsTolerance,
    lookups: shown.set === null ? [] : (found?.lookups ?? []),
  };
  return Object.freeze({ ...decision, approvedRows });
}

/** Whoever has approved it may have been told that there will be no snapshot. */
function asApproved(decision: Hold, { binding: { withoutSnapshot } }: Approval): Hold {
  return withoutSnapshot === null ? decision : noted(decision, null, withoutSnapshot);
}
