import type { AuditEntry } from '../audit/event.ts';
import { HiddenQueryError } from '../catalog/connection.ts';
import type { Decision } from '../policy/decision.ts';
import { plainQuery } from '../snapshot/capture.ts';
import { asKept, foreseePlan } from '../snapshot/foresee.ts';
import { type CapturePlan, type PlanRequest, planCapture } from '../snapshot/plan.ts';
import type { Analysis } from '../sql/effects.ts';
import type { WriteSlice } from '../sql/slice.ts';
import { type ErrorFields, encodeErrorResponse } from '../wire/backend.ts';
import type { Bind } from '../wire/bind.ts';
import { encodeFlush } from '../wire/frontend.ts';
import { isWatched } from './approved-rows.ts';
import { watchExecute, watchQuery } from './approved-run.ts';
import { lockTarget } from './begun-capture.ts';
import { parametersOf } from './bound-parameters.ts';
import { runsCalledCode, unlessHarmless } from './called-code-run.ts';
import { isDrop, problemOfBoundDrop, problemOfOne } from './capturable.ts';
import {
  type CaptureOutcome,
  canceled,
  captureRead,
  captureRows,
  errorOf,
  failure,
  isLeftOut,
  withoutPlan,
} from './capture-run.ts';
import { dropInstead } from './drop-run.ts';
import type { HiddenQueries } from './hidden-queries.ts';
import type { Portal } from './names.ts';
import { type Capturing, noted, wantsSnapshot } from './noted.ts';
import { planRequest } from './prepared-text.ts';
import { noPlanError } from './refusal.ts';
import { mayOweNothing, segmentFits, untilSegmentFits } from './segment-fits.ts';
import type { Sent } from './sent.ts';
import { captureSeveral } from './split-run.ts';
import { mayRollBack } from './split-text.ts';
import type { SessionState } from './state.ts';
import { isReadAlike, NOT_ASCII, utf8Of } from './text-encoding.ts';

export type Captured = CaptureOutcome & { readonly entry: AuditEntry };

/** A portal whose statement is to be captured, from its Bind until it runs. */
export interface BoundPortal {
  readonly name: string;
  readonly portal: Portal;
  readonly decision: Capturing;
  readonly text: Buffer;
  readonly request: PlanRequest;
  readonly plan: CapturePlan;
  /** What came, should it be held. */
  readonly sent: Sent | null;
}

/** A portal that drops something, likewise. */
export interface BoundDrop {
  readonly drop: true;
  readonly sent: Sent | null;
  readonly name: string;
  readonly portal: Portal;
  readonly decision: Capturing;
  readonly text: Buffer;
  /** The name of its statement as it is on the wire. */
  readonly statement: Buffer;
}

/** Its Execute. What it drops is moved away between two segments, and so only where nothing else runs in its own. */
export interface DeferredDrop {
  readonly bound: BoundDrop;
  readonly entry: AuditEntry;
  /** The message, which has not been sent. */
  readonly execute: Buffer;
  /** The client has closed the unnamed portal behind it. */
  closed: boolean;
  /** Why it cannot be moved away, once that is known. */
  whyNone: string | null;
}

/** A Bind of a statement that is to be captured, before it has been sent. */
export interface BindToPlan {
  readonly name: string;
  readonly portal: Portal;
  readonly decision: Capturing;
  /** The message, with the name of the statement as it is on the wire. */
  readonly bind: Bind;
  readonly statement: Buffer;
  /** The event, should it be refused. */
  readonly entry: AuditEntry;
  readonly sent: Sent | null;
}

/** What has come of a Bind; without `bound` it is forwarded to run uncaptured. */
export type Planned =
  | {
      readonly kind: 'planned';
      readonly name: string;
      readonly portal: Portal;
      readonly bound: BoundPortal | BoundDrop | null;
    }
  | { readonly kind: 'refused'; readonly error: ErrorFields; readonly entry: AuditEntry }
  | { readonly kind: 'unplanned'; readonly reason: string }
  | { readonly kind: 'discarded' };

/**
 * Takes the rows that a statement will change while the client's stream waits with it, in the transaction that it
 * will run in. For a Query that is the client's where one is open, and otherwise one of the gateway's own. For an
 * Execute it is that of the segment, which its Sync commits if nothing else does: until then nothing behind is sent.
 *
 * Invariant: what it says other than `taken` leaves no transaction of the gateway's open.
 */
export class SnapshotDesk {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private preparing = false;
  private gaveUp = false;

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  /** Whether rows are to be captured for such a decision. */
  takes(decision: Decision): decision is Capturing {
    return this.state.services.snapshots !== null && wantsSnapshot(decision);
  }

  /** The decision, which wants no snapshot any more where it is known already that the statement changes nothing. */
  unlessNeedless(decision: Decision, analysis: Analysis, now: number): Decision {
    if (analysis.risk === 'safe' || !this.takes(decision) || decision.action !== 'snapshot') return decision;
    return unlessHarmless(this.state, decision, analysis, now);
  }

  /** The client is gone; once its statement runs, that no longer matters. */
  giveUp(): void {
    if (!this.preparing) return;
    this.gaveUp = true;
    this.hidden.giveUp();
  }

  /** For a Query of that text. */
  async capture(text: Buffer, entry: AuditEntry, decision: Capturing): Promise<Captured> {
    const outcome = await this.patiently(() => this.captureQuery(text, entry, decision));
    const watches = isLeftOut(outcome) && isWatched(decision, entry.analysis);
    return watches ? await watchQuery(this.state, this.hidden, text, entry) : { entry, ...outcome };
  }

  /** For an Execute of the portal, whose Bind has been planned. */
  async captureBound(bound: BoundPortal, entry: AuditEntry): Promise<Captured> {
    const outcome = await this.patiently(async (): Promise<CaptureOutcome> => {
      const { decision } = bound;
      try {
        await untilSegmentFits(this.state);
        if (this.state.copyingIn) return { kind: 'discarded' };
        if (!segmentFits(this.state)) return refusedInDoubt(decision);
        return await this.inSegment(bound, entry);
      } catch (error) {
        return failure(error, decision, entry.analysis);
      }
    });
    const concluded = await this.concluded(this.unlessGivenUp(outcome, bound.decision), entry);
    const watches = isLeftOut(concluded) && isWatched(bound.decision, entry.analysis);
    return watches ? await watchExecute(this.state, this.hidden, entry) : { entry, ...concluded };
  }

  /** For an Execute of a portal that was found to change nothing at its Bind, where that is not known any more. */
  async lookAgain(entry: AuditEntry, decision: Capturing): Promise<Captured> {
    const outcome = await this.patiently(async (): Promise<CaptureOutcome> => {
      const { state, hidden } = this;
      try {
        await untilSegmentFits(state);
        if (state.copyingIn) return { kind: 'discarded' };
        if (!segmentFits(state)) return refusedInDoubt(decision);
        const found = await runsCalledCode(state, hidden.ending('flush'), entry.analysis, decision);
        if (found.kind !== 'unplanned') return found;
        return { kind: 'refused', error: noPlanError(decision, found.reason) };
      } catch (error) {
        return failure(error, decision, entry.analysis);
      }
    });
    return { entry, ...(await this.concluded(this.unlessGivenUp(outcome, decision), entry)) };
  }

  /** For an Execute that drops something, before the client's Sync behind it is sent. */
  async captureDeferred({ bound: { text, decision }, entry }: DeferredDrop): Promise<Captured> {
    const { state, hidden } = this;
    const outcome = await this.patiently(async (): Promise<CaptureOutcome> => {
      try {
        // What stands in front of the Sync is sent by then, and answered only by a Flush.
        await Promise.resolve();
        if (!state.owesNothing() && state.replies.segmentOpen) state.upstream.write(FLUSH);
        while (!state.owesNothing() && !mayOweNothing(state)) await state.untilAnswered();
        if (state.discarding) return { kind: 'discarded' };
        if (!state.owesNothing()) return withoutPlan(decision, COPY_IN_DOUBT);
        await hidden.endSegment();
        const services = state.services.snapshots!;
        return await dropInstead({
          state,
          services,
          hidden,
          text,
          entry,
          analysis: entry.analysis,
          decision,
          gaveUp: () => this.gaveUp,
        });
      } catch (error) {
        return failure(error, decision, entry.analysis);
      }
    });
    return { entry, ...this.unlessGivenUp(outcome, decision) };
  }

  /** Plans the capture of what a Bind is for, before the server plans it, which may run functions already. */
  async plan(request: BindToPlan): Promise<Planned> {
    const { name, portal, decision, entry } = request;
    let bound: BoundPortal | BoundDrop | null = null;
    let outcome = await this.patiently(async (): Promise<CaptureOutcome | null> => {
      try {
        await untilSegmentFits(this.state);
        if (this.state.copyingIn) return { kind: 'discarded' };
        if (!segmentFits(this.state)) return refusedInDoubt(decision);
        const planned = await this.planBind(request);
        if (planned !== null && 'kind' in planned) return planned;
        bound = planned;
        return null;
      } catch (error) {
        return failure(error, decision, entry.analysis);
      }
    });
    if (this.gaveUp) outcome = canceled(decision);
    if (outcome === null) return { kind: 'planned', name, portal, bound };
    outcome = await this.concluded(outcome, entry);
    switch (outcome.kind) {
      case 'without': {
        const without = noted(decision, null, outcome.why);
        return { kind: 'planned', name, portal: { ...portal, decision: without }, bound: null };
      }
      case 'refused':
        return { kind: 'refused', error: outcome.error, entry };
      case 'unplanned':
        return outcome;
      default:
        return { kind: 'discarded' };
    }
  }

  private async patiently<T>(prepare: () => Promise<T>): Promise<T> {
    this.preparing = true;
    this.gaveUp = false;
    try {
      return await prepare();
    } finally {
      this.preparing = false;
    }
  }

  private unlessGivenUp(outcome: CaptureOutcome, decision: Capturing): CaptureOutcome {
    // What has been done already stays so.
    if (!this.gaveUp || outcome.kind === 'done' || outcome.kind === 'lost') return outcome;
    if (outcome.kind === 'taken') outcome.gate.discarded();
    return canceled(decision);
  }

  private async captureQuery(text: Buffer, entry: AuditEntry, decision: Capturing): Promise<CaptureOutcome> {
    const { state, hidden } = this;
    const services = state.services.snapshots!;
    if (state.inImplicitBlock) return withoutPlan(decision, 'it follows an Execute that no Sync has ended');
    // What is owed to the messages of an open segment may not come before its Sync.
    if (state.replies.segmentOpen) return withoutPlan(decision, 'it follows messages that no Sync has ended');
    while (!state.owesNothing() && !state.copyingIn && !mayOweNothing(state)) await state.untilAnswered();
    // The server takes it for a part of the COPY, and breaks off.
    if (state.copyingIn) return { kind: 'discarded' };
    if (!state.owesNothing()) return refusedInDoubt(decision);
    const { analysis } = entry;
    // What the server is going to refuse by itself loses nothing, unless a ROLLBACK comes before it.
    if (state.transactionStatus === 'E' && analysis.status === 'parsed' && !mayRollBack(analysis))
      return { kind: 'without', why: 'its transaction had failed' };
    const common = { state, services, hidden, text, entry, decision, gaveUp: () => this.gaveUp };
    if (analysis.status === 'parsed' && analysis.statements.length > 1) {
      const committing = () => {
        this.preparing = false;
      };
      return await captureSeveral({ ...common, committing });
    }
    if (isDrop(analysis)) return await dropInstead({ ...common, analysis });
    if (state.called.isToAsk(analysis)) return await this.inQuery(analysis, decision);
    const problem = problemOfOne(state, analysis);
    const utf8 = utf8Of(state, text);
    const reason = problem ?? (utf8 === null ? NOT_ASCII : null);
    const slice: WriteSlice = reason === null ? await services.slice(utf8!) : { kind: 'inexact', reason };
    if (slice.kind === 'inexact') return withoutPlan(decision, slice.reason);
    const connection = hidden.ending('sync');
    const opened = state.transactionStatus === 'I';
    const way = opened ? 'own' : 'block';
    const request = planRequest(state, slice);
    // What is asked next is sent along with it.
    const begun = opened ? connection.run(plainQuery('BEGIN'), () => {}) : Promise.resolve(null);
    begun.catch(() => {});
    let outcome: CaptureOutcome;
    try {
      const readAhead = READ_WITH_ITS_TARGET.test(text.toString('latin1', 0, 64));
      const run = { ...common, connection, request, analysis, way, part: null, readAhead } as const;
      outcome = await captureRead(hidden, text, () => captureRows(run, null));
      await begun.catch((error: unknown) => {
        // It has run what follows each by itself, such as where a cancel has met the BEGIN.
        if (outcome.kind === 'taken') outcome.gate.discarded();
        throw error;
      });
    } catch (error) {
      outcome = failure(error, decision, analysis);
      // What the client does not read back would go all the same.
      if (opened && error instanceof HiddenQueryError && error.sqlstate === UNTRANSLATABLE)
        outcome = withoutPlan(decision, 'a text in its rows cannot be said in the encoding of the client');
    }
    outcome = this.unlessGivenUp(outcome, decision);
    if (opened && outcome.kind !== 'taken')
      await connection.run(plainQuery('ROLLBACK'), () => {}).catch(() => {});
    return outcome;
  }

  private async inQuery(analysis: Analysis, decision: Capturing): Promise<CaptureOutcome> {
    try {
      return await runsCalledCode(this.state, this.hidden.ending('sync'), analysis, decision);
    } catch (error) {
      return failure(error, decision, analysis);
    }
  }

  private async inSegment(bound: BoundPortal, entry: AuditEntry): Promise<CaptureOutcome> {
    const { state, hidden } = this;
    const { request, text, decision } = bound;
    const run = {
      state,
      services: state.services.snapshots!,
      hidden,
      connection: hidden.ending('flush'),
      request,
      text,
      entry,
      analysis: entry.analysis,
      decision,
      way: 'segment',
      part: null,
      gaveUp: () => this.gaveUp,
    } as const;
    return await captureRows(run, bound.plan);
  }

  private bindDrop({ name, portal, decision, statement, sent }: BindToPlan): BoundDrop | CaptureOutcome {
    const problem = problemOfBoundDrop(portal.statement, portal.analysis);
    if (problem !== null) return withoutPlan(decision, problem);
    const text = Buffer.from(portal.statement.text!, 'utf8');
    if (!isReadAlike(this.state, portal.statement.facts, text)) return withoutPlan(decision, NOT_ASCII);
    return { drop: true, sent, name, portal, decision, text, statement };
  }

  private async planBind(request: BindToPlan): Promise<BoundPortal | BoundDrop | CaptureOutcome | null> {
    const { state, hidden } = this;
    const { name, portal, decision, bind, sent } = request;
    if (isDrop(portal.analysis)) return this.bindDrop(request);
    const services = state.services.snapshots!;
    const { text: sql } = portal.statement;
    if (state.called.isToAsk(portal.analysis))
      return await runsCalledCode(state, hidden.ending('flush'), portal.analysis, decision);
    const problem = sql === null ? 'its text is a part of another' : problemOfOne(state, portal.analysis);
    if (problem !== null || sql === null) return withoutPlan(decision, problem!);
    const text = Buffer.from(sql, 'utf8');
    if (!isReadAlike(state, portal.statement.facts, text)) return withoutPlan(decision, NOT_ASCII);
    const slice = await services.slice(text);
    if (slice.kind === 'inexact') return withoutPlan(decision, slice.reason);
    const describing = bind.parameters.length > 0 ? hidden.describe(request.statement) : NO_TYPES;
    describing.catch(() => {});
    const asked = planRequest(state, slice);
    const foreseen = foreseePlan(services.catalog, asked);
    const locking = lockTarget(hidden, slice, foreseen);
    locking.catch(() => {});
    const planning = planCapture(hidden.ending('flush'), services.catalog, asked);
    planning.catch(() => {});
    const isLocked = await locking;
    const types = await describing;
    const planned = asKept(await planning, isLocked ? foreseen : null);
    if (planned.kind === 'needless') return { kind: 'without', why: planned.reason };
    if (planned.kind === 'none') return withoutPlan(decision, planned.reason);
    const parameters = parametersOf(bind, types);
    if (parameters === null) return null;
    // Those of an EXECUTE stand in its text.
    const plan = slice.kind === 'execute' ? planned.plan : { ...planned.plan, parameters };
    return { name, portal, decision, text, request: { ...asked, parameters }, plan, sent };
  }

  /**
   * Where a query of ours has failed inside a segment, the server discards up to the client's Sync, so that there is
   * nothing to replace: the client is told at once. One that was given up may still be under way, and fail.
   */
  private async concluded(outcome: CaptureOutcome, entry: AuditEntry): Promise<CaptureOutcome> {
    const { state } = this;
    if (outcome.kind !== 'without' && outcome.kind !== 'refused' && outcome.kind !== 'unplanned')
      return outcome;
    await state.untilHiddenOver();
    if (!state.discarding) return outcome;
    if (!state.failedUntold) return { kind: 'discarded' };
    state.failedUntold = false;
    const error = errorOf(outcome, entry.decision);
    entry.decision = noted(entry.decision, null, error['M'] ?? '');
    entry.end = 'blocked';
    entry.sqlstate = error['C'] ?? null;
    state.ended.push(entry);
    state.inject(encodeErrorResponse(error, state.clientEncoding));
    return { kind: 'discarded' };
  }
}

/** What is to be done about it is known only to the server, so that nobody is asked. */
function refusedInDoubt(decision: Capturing): CaptureOutcome {
  if (decision.snapshot === 'best_effort') return { kind: 'without', why: COPY_IN_DOUBT };
  return { kind: 'refused', error: noPlanError(decision, COPY_IN_DOUBT) };
}

const COPY_IN_DOUBT = 'it follows a COPY of which it is not clear what it has swallowed';

/** Of these the server looks up the target as it reads them, and locks it. */
const READ_WITH_ITS_TARGET = /^\s*(?:update|delete)\s/i;

/** SQLSTATE of a character that an encoding does not have. */
const UNTRANSLATABLE = '22P05';

const FLUSH = encodeFlush();

const NO_TYPES: Promise<readonly number[]> = Promise.resolve([]);
