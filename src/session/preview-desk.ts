import { LIMITS } from '../base/limits.ts';
import { ownCopy } from '../base/own-copy.ts';
import type { Hold } from '../policy/decision.ts';
import { type Computed, computePreview, type RowsNow, rowsNow } from '../preview/compute.ts';
import { nothingKnown, type Unknown, unknown } from '../preview/preview.ts';
import type { PreviewRequest } from '../preview/request.ts';
import { inSandbox, NoSandbox, NotLeft, type Sandbox } from '../preview/sandbox.ts';
import type { TurnKind } from '../preview/turns.ts';
import { NO_PARAMETERS, type StatementParameters } from '../snapshot/plan.ts';
import type { Analysis } from '../sql/effects.ts';
import type { Bind } from '../wire/bind.ts';
import { encodeFlush } from '../wire/frontend.ts';
import { decodeFrontendMessage } from '../wire/frontend-message.ts';
import { Frontend } from '../wire/message-type.ts';
import { parametersOf } from './bound-parameters.ts';
import type { HiddenQueries } from './hidden-queries.ts';
import { whyNone } from './noted.ts';
import { mayEndSegment, mayOweNothing } from './segment-fits.ts';
import type { PreviewServices, SessionState } from './state.ts';
import { NOT_UTF8 } from './text-encoding.ts';

const FLUSH = encodeFlush();

const LEFT = 'the hold ended before the server could be asked';

/** A Bind, and the name of its statement as it is on the wire. */
export interface BoundValues {
  readonly bind: Bind;
  readonly statement: Buffer;
}

/** Those of the Bind whose body is `bytes[start, end)`; null where it is malformed. */
export function boundValues(
  bytes: Buffer,
  start: number,
  end: number,
  nameStart: number,
  nameEnd: number,
): BoundValues | null {
  const bind = decodeFrontendMessage(Frontend.Bind, ownCopy(bytes.subarray(start, end)), 'latin1');
  if (bind.kind !== 'bind') return null;
  return { bind, statement: ownCopy(bytes.subarray(nameStart, nameEnd)) };
}

export interface HeldText {
  readonly analysis: Analysis;
  /** With its secrets, which a preview does not show; null where it was never read. */
  readonly text: string | null;
  readonly decision: Hold;
  /** How many parameters, and what they are where the gateway has them. */
  readonly parameters: number;
  readonly bound: BoundValues | null;
}

/**
 * What an approver sees of a statement is asked of the server on the held session's own connection, which stands idle
 * meanwhile: it has the rights, settings and transaction that the statement will have, and no more.
 */
export class PreviewDesk {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private counting: Asking | null = null;

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  begin(approvalId: string, held: HeldText): HeldPreview {
    return new HeldPreview(this.state, this.hidden, approvalId, held);
  }

  /**
   * The rows that the statement changes, counted to the last; null where that is not to be had in time, or nobody wants it
   * any more. With a salt they are told from each other.
   */
  async rowsNow(held: HeldText, salt: Uint8Array | null): Promise<RowsNow | null> {
    const { previews } = this.state.services;
    if (previews === null) return null;
    const asking = new Asking(this.state, this.hidden, 'count');
    this.counting = asking;
    const late = setTimeout(() => asking.stopWaiting(), LIMITS.countTurnMs);
    try {
      const found = await asking
        .ask(held, (sandbox, request) => rowsNow(sandbox, previews.sources, request, salt))
        .catch(() => null);
      return found === null || 'kind' in found ? null : found;
    } finally {
      clearTimeout(late);
      this.counting = null;
    }
  }

  /** Nobody waits for the count any more. */
  giveUp(): void {
    void this.counting?.stop();
  }
}

/** The preview of one statement, made while the hold lasts, and again where somebody asks for that. */
export class HeldPreview {
  private readonly state: SessionState;
  private readonly held: HeldText;
  private asking: Asking;
  private isStopped = false;
  private readonly over: Promise<void>;
  private readonly withdraw: () => void;

  constructor(state: SessionState, hidden: HiddenQueries, approvalId: string, held: HeldText) {
    this.state = state;
    this.held = held;
    this.asking = new Asking(state, hidden, 'preview');
    const { previews, log } = state.services;
    if (previews === null) {
      this.over = Promise.resolve();
      this.withdraw = () => {};
      return;
    }
    previews.results.begin(approvalId);
    this.over = this.computed(previews)
      .then(({ preview, set }) => previews.results.finish(approvalId, preview, set))
      .catch((err: unknown) => log.warn({ err, approval: approvalId }, 'a preview was not kept'));
    this.withdraw = previews.results.offer(approvalId, async () => {
      await this.over;
      if (this.isStopped) return null;
      this.asking = new Asking(state, hidden, 'preview');
      return await this.computed(previews);
    });
  }

  private async computed({ sources }: PreviewServices): Promise<Computed> {
    const { state, held } = this;
    const found = await this.asking
      .ask(held, (sandbox, request) => computePreview(sandbox, sources, request))
      .catch((error: unknown) => unknown(error instanceof Error ? error.message : String(error)));
    return 'kind' in found ? nothingComputed(state, held, found.reason) : found;
  }

  /** The hold is over. Resolves when the connection is the client's again, and what was shown is what is kept. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.withdraw();
    await this.asking.stop();
    await this.over;
  }

  /** Waits for it, but not for long. */
  async within(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([this.over, late]);
    clearTimeout(timer);
    await this.stop();
  }
}

/**
 * Questions about a statement that stands still.
 *
 * States:
 * - waiting: what the client has sent before is not answered yet. It may be left at once.
 * - asking: a question is under way, and the transaction of the questions is open. It is left once that has been
 *   answered, which the server's own time limit sees to, and the transaction rolled back.
 * - over: the connection is as it was, or the session ends.
 *
 * Invariant: nothing that the client has sent goes on before it is over, or left while it waits.
 */
class Asking {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly kind: TurnKind;
  private isAsking = false;
  private isStopped = false;
  private sandbox: Sandbox | null = null;
  private readonly left = Promise.withResolvers<void>();
  private readonly free = Promise.withResolvers<void>();

  constructor(state: SessionState, hidden: HiddenQueries, kind: TurnKind) {
    this.state = state;
    this.hidden = hidden;
    this.kind = kind;
  }

  /** What is under way goes on. */
  stopWaiting(): void {
    if (!this.isAsking) void this.stop();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.sandbox?.stop();
    this.left.resolve();
    if (this.isAsking) await this.free.promise;
  }

  async ask<T>(
    held: HeldText,
    work: (sandbox: Sandbox, request: PreviewRequest) => Promise<T>,
  ): Promise<T | Unknown> {
    const { previews } = this.state.services;
    const problem = this.problemOfText(held) ?? (await this.untilQuiet());
    if (problem !== null || previews === null) return unknown(problem ?? 'nothing is asked');
    if (!(await previews.turns.take(this.kind, this.state.facts.role, this.left.promise)))
      return unknown(LEFT);
    try {
      return await this.askNow(held, work);
    } finally {
      previews.turns.give();
    }
  }

  private async askNow<T>(
    held: HeldText,
    work: (sandbox: Sandbox, request: PreviewRequest) => Promise<T>,
  ): Promise<T | Unknown> {
    const { state, hidden } = this;
    // Whoever waits for it may have gone on since it was found that the server could be asked.
    const problem = this.isStopped ? LEFT : this.problemOfPlace();
    if (problem !== null) return unknown(problem);
    this.isAsking = true;
    try {
      if (state.replies.segmentOpen) await hidden.endSegment();
      const parameters = await this.parametersOf(held);
      if (parameters === null) return unknown('the types of its parameters are not known');
      const request = requestOf(state, held, parameters);
      return await inSandbox(
        hidden.ending('sync'),
        state.transactionStatus === 'T',
        SANDBOX_LIMITS,
        (sandbox) => work(sandbox, request),
        (sandbox) => {
          this.sandbox = sandbox;
          if (this.isStopped) sandbox.stop();
        },
      );
    } catch (error) {
      if (error instanceof NoSandbox) return unknown(error.message);
      // What the client sends must not run in a transaction that is not its own.
      if (error instanceof NotLeft && !state.upstream.socket.destroyed) state.fail(error);
      throw error;
    } finally {
      this.isAsking = false;
      this.free.resolve();
    }
  }

  private problemOfText({ text, bound, parameters }: HeldText): string | null {
    if (text === null) return 'its text was not read';
    if (bound === null && parameters > 0) return 'its parameters are not known';
    return this.state.textFacts.encoding === 'utf8' ? null : NOT_UTF8;
  }

  /** Waits until the server has answered all that was sent; gives why that is not to be waited for. */
  private async untilQuiet(): Promise<string | null> {
    const { state } = this;
    // What stands in front of the message is sent by then.
    await Promise.resolve();
    let flushed = false;
    while (!this.isStopped) {
      if (state.copyingIn || state.copyDoubt !== 'none') return 'it follows a COPY';
      if (state.discarding || state.fatal) return 'an error stands in front of it';
      if (state.owesNothing()) return null;
      if (mayOweNothing(state)) return 'it follows a COPY';
      if (!flushed && state.replies.segmentOpen) state.upstream.write(FLUSH);
      flushed = true;
      await Promise.race([state.untilAnswered(), this.left.promise]);
    }
    return LEFT;
  }

  /** Why the segment that is open cannot be ended ahead of the client's Sync, or nothing asked in the transaction. */
  private problemOfPlace(): string | null {
    const { state } = this;
    if (state.discarding || state.fatal || !state.owesNothing()) return 'an error stands in front of it';
    if (state.transactionStatus === 'E') return 'its transaction has failed';
    if (state.inImplicitBlock) return 'it follows an Execute that no Sync has ended';
    if (!state.replies.segmentOpen) return null;
    return mayEndSegment(state) ? null : 'it follows messages that no Sync has ended';
  }

  private async parametersOf({ bound, parameters }: HeldText): Promise<StatementParameters | null> {
    if (bound === null || parameters === 0) return NO_PARAMETERS;
    const types = await this.hidden.describe(bound.statement, 'sync');
    return parametersOf(bound.bind, types);
  }
}

const SANDBOX_LIMITS = {
  statementMs: LIMITS.previewStatementMs,
  lockMs: LIMITS.previewLockMs,
  totalMs: LIMITS.previewTotalMs,
};

function requestOf(state: SessionState, held: HeldText, parameters: StatementParameters): PreviewRequest {
  return {
    scope: state.facts.database,
    text: held.text!,
    analysis: held.analysis,
    parameters,
    snapshot: held.decision.snapshot,
    noSnapshot: whyNoSnapshot(state, held.decision),
    masks: state.services.policy.current.masks ?? [],
  };
}

function whyNoSnapshot({ services }: SessionState, decision: Hold): string | null {
  return services.snapshots === null ? 'the gateway takes no snapshots (snapshots_taken)' : whyNone(decision);
}

function nothingComputed(state: SessionState, { decision, parameters }: HeldText, reason: string): Computed {
  const why = whyNoSnapshot(state, decision);
  const undo = { possible: why === null ? ('unknown' as const) : ('no' as const), reason: why ?? reason };
  return { preview: nothingKnown(reason, undo, { count: parameters, values: null }), set: null };
}
