import type { AuditEntry } from '../../audit/event.ts';
import { HiddenQueryError } from '../../catalog/connection.ts';
import type { Decision } from '../../policy/decision.ts';
import type { CountsReading } from '../../snapshot/counts.ts';
import type { CapturePlan, PlanRequest } from '../../snapshot/plan.ts';
import type { Analysis } from '../../sql/effects.ts';
import { type ErrorFields, encodeErrorResponse } from '../../wire/backend.ts';
import type { Bind } from '../../wire/bind.ts';
import { encodeFlush } from '../../wire/frontend.ts';
import { runsCalledCode, unlessHarmless } from '../code/called-code-run.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { mayOweNothing, segmentFits, untilSegmentFits } from '../hidden/segment-fits.ts';
import { isWatched } from '../holding/approved-rows.ts';
import { watchExecute, watchQuery } from '../holding/approved-run.ts';
import type { Sent } from '../holding/sent.ts';
import type { Portal } from '../known/names.ts';
import { countedOf } from '../ruling/counted-rows.ts';
import { type Capturing, noted, wantsSnapshot } from '../ruling/noted.ts';
import { driftError, nativeError, noPlanError } from '../ruling/refusal.ts';
import type { SessionState } from '../state.ts';
import type { Begun } from './begun-capture.ts';
import { planBind } from './bind-plan.ts';
import { type Rebind, rebindOf } from './capture-again.ts';
import {
  type CaptureOutcome,
  COPY_IN_DOUBT,
  canceled,
  captureRows,
  errorOf,
  failure,
  isLeftOut,
  refusedInDoubt,
  unlessGivenUp,
  withoutPlan,
} from './capture-run.ts';
import { syncsAtOnce } from './comes-next.ts';
import { dropInstead } from './drop-run.ts';
import type { Lossless } from './lossless.ts';
import { captureQuery } from './query-run.ts';

export type Captured = CaptureOutcome & { readonly entry: AuditEntry };

/** A portal whose statement is to be captured, from its Bind until it runs. */
export interface BoundPortal {
  readonly name: string;
  readonly portal: Portal;
  readonly decision: Capturing;
  readonly text: Buffer;
  readonly request: PlanRequest;
  /** Null where its target is not there, which the server says no earlier than at its Execute. */
  readonly plan: CapturePlan | null;
  /** The capture, where it was begun with the plan. */
  readonly begun: Begun | null;
  /** What was counted in front of its Bind, which may run code of the user's; null where nothing does. */
  readonly counted: CountsReading | null;
  /** The segment, if nothing was executed in it before its Bind; else -1. */
  readonly aloneIn: number;
  /** What its rows could not be captured for, which fails its Execute. */
  readonly ends: HiddenQueryError | null;
  /** What came, should it be held. */
  readonly sent: Sent | null;
  /** Of a Bind that has been sent ahead of its turn: the types of the messages behind it that were sent with it. */
  readonly sentAhead?: readonly number[];
}

/** A portal that drops something, likewise. */
export interface BoundDrop {
  readonly drop: true;
  readonly sent: Sent | null;
  readonly name: string;
  readonly portal: Portal;
  /** Null where it loses nothing, as things stood at its Bind. */
  readonly decision: Capturing | null;
  /** How that is proved; null where there is a decision. */
  readonly lossless: Lossless | null;
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
  /** To be called where it is sent ahead of its turn, and the Describe of its portal behind it. */
  readonly goesAhead: (describes: boolean) => void;
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
    const outcome = await this.patiently(() => this.inQuery(text, entry, decision));
    const watches = isLeftOut(outcome) && isWatched(decision, entry.analysis);
    return watches ? await watchQuery(this.state, this.hidden, text, entry) : { entry, ...outcome };
  }

  /** For a Query that may lose nothing; null where it would lose something, so that it is decided as any other. */
  async captureNothing(lossless: Lossless, entry: AuditEntry): Promise<Captured | null> {
    const outcome = await this.patiently(() => lossless.run(this.state, this.hidden, entry));
    return outcome === null ? null : { entry, ...outcome };
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
    const runs = unlessGivenUp(this.state, outcome, entry, bound.decision, this.gaveUp);
    const concluded = await this.concluded(runs, entry);
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
    const runs = unlessGivenUp(this.state, outcome, entry, decision, this.gaveUp);
    return { entry, ...(await this.concluded(runs, entry)) };
  }

  /** For an Execute that drops something, before the client's Sync behind it is sent. */
  async captureDeferred({ bound: { text, decision, lossless }, entry }: DeferredDrop): Promise<Captured> {
    const { state, hidden } = this;
    const outcome = await this.patiently(async (): Promise<CaptureOutcome> => {
      try {
        // What stands in front of the Sync is sent by then, and answered only by a Flush.
        await Promise.resolve();
        if (!state.owesNothing() && state.replies.segmentOpen) state.upstream.write(FLUSH);
        while (!state.owesNothing() && !mayOweNothing(state)) await state.untilAnswered();
        if (state.discarding) return { kind: 'discarded' };
        if (!state.owesNothing()) {
          return decision === null ? unplanned(COPY_IN_DOUBT) : withoutPlan(decision, COPY_IN_DOUBT);
        }
        await hidden.endSegment();
        if (decision === null) return (await lossless?.run(state, hidden, entry)) ?? CAME_TO_BE;
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
        return failure(error, decision ?? entry.decision, entry.analysis);
      }
    });
    return { entry, ...unlessGivenUp(state, outcome, entry, decision ?? entry.decision, this.gaveUp) };
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
        const planned = await planBind(this.state, this.hidden, request);
        if (planned !== null && 'kind' in planned) return planned;
        bound = planned;
        return null;
      } catch (error) {
        return failure(error, decision, entry.analysis);
      }
    });
    if (this.gaveUp) outcome = canceled(decision);
    // What has failed may be nothing that was waited for.
    if (outcome === null && this.state.failedUntold !== null) outcome = { kind: 'discarded' };
    if (outcome === null) return { kind: 'planned', name, portal, bound };
    outcome = await this.concluded(outcome, entry);
    switch (outcome.kind) {
      case 'without': {
        await this.hidden.leaveSegment();
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

  private async inQuery(text: Buffer, entry: AuditEntry, decision: Capturing): Promise<CaptureOutcome> {
    const { state, hidden } = this;
    const services = state.services.snapshots!;
    const gaveUp = () => this.gaveUp;
    const committing = () => {
      this.preparing = false;
    };
    return await captureQuery({ state, services, hidden, text, entry, decision, gaveUp, committing });
  }

  private async inSegment(bound: BoundPortal, entry: AuditEntry): Promise<CaptureOutcome> {
    const { state, hidden } = this;
    const { request, text, decision, ends, counted } = bound;
    if (ends !== null) throw ends;
    const begun = state.early === bound.begun ? bound.begun : null;
    state.early = null;
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
      counted,
      gaveUp: () => this.gaveUp,
      // Nothing else has run since the server has told the status.
      mayEndAtSync: () => bound.aloneIn === state.segment && state.isInBlock && syncsAtOnce(state.putBy()),
      rebind: () => this.rebindOf(bound),
    } as const;
    return await captureRows(run, bound.plan, begun);
  }

  /** For what a Sync of ours may take back without taking anything else along. */
  private rebindOf({ name, portal, text, sent, aloneIn }: BoundPortal): Rebind | null {
    const { state } = this;
    const { transactionStatus, inImplicitBlock, segment } = state;
    const bind = sent?.bound?.bind ?? null;
    if (bind === null || portal.approvalId !== null || countedOf(portal.decision) !== null) return null;
    if (aloneIn !== segment || transactionStatus !== 'I' || inImplicitBlock) return null;
    return syncsAtOnce(state.putBy()) ? rebindOf(name, portal, bind, text) : null;
  }

  /**
   * Where a query of ours has failed inside a segment, the server discards up to the client's Sync, so that there is
   * nothing to replace: the client is told at once. One that was given up may still be under way, and fail.
   */
  private async concluded(outcome: CaptureOutcome, entry: AuditEntry): Promise<CaptureOutcome> {
    const { state } = this;
    if (!UNRUN.has(outcome.kind)) return outcome;
    await state.untilHiddenOver();
    const { failedUntold } = state;
    if (!state.discarding) return outcome;
    if (!(failedUntold instanceof HiddenQueryError)) return { kind: 'discarded' };
    state.failedUntold = null;
    const isTold = outcome.kind === 'without' || outcome.kind === 'refused' || outcome.kind === 'unplanned';
    const error = isTold ? errorOf(outcome, entry.decision) : nativeError(failedUntold, entry.analysis);
    entry.decision = noted(entry.decision, null, error['M'] ?? '');
    entry.end = 'blocked';
    entry.sqlstate = error['C'] ?? null;
    state.ended.push(entry);
    state.inject(encodeErrorResponse(error, state.clientEncoding));
    return { kind: 'discarded' };
  }
}

/** What a query of ours that has failed keeps from running. */
const UNRUN: ReadonlySet<CaptureOutcome['kind']> = new Set(['without', 'refused', 'unplanned', 'discarded']);

const FLUSH = encodeFlush();

const unplanned = (reason: string): CaptureOutcome => ({ kind: 'unplanned', reason });

/** It was bound as one that loses nothing; sent again, it is decided by what is there. */
const CAME_TO_BE: CaptureOutcome = {
  kind: 'refused',
  error: driftError('what it names stands for something else than when it was bound', false),
};
