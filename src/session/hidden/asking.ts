import { type Unknown, unknown } from '../../preview/preview.ts';
import { inSandbox, NoSandbox, NotLeft, type Sandbox, type SandboxLimits } from '../../preview/sandbox.ts';
import type { TurnKind, Turns } from '../../preview/turns.ts';
import { NO_PARAMETERS, type StatementParameters } from '../../snapshot/plan.ts';
import type { Bind } from '../../wire/bind.ts';
import { encodeFlush } from '../../wire/frontend.ts';
import { parametersOf } from '../known/bound-parameters.ts';
import { NOT_UTF8 } from '../known/text-encoding.ts';
import type { SessionState } from '../state.ts';
import type { HiddenQueries } from './hidden-queries.ts';
import { OwnEncoding } from './own-encoding.ts';
import { mayEndSegment, mayOweNothing } from './segment-fits.ts';

const FLUSH = encodeFlush();

const NOT_ASCII_BOUND =
  'a value of its parameters is not ASCII, and the client does not write UTF-8 (client_encoding)';

/** In another encoding, such a value is the same. */
function isAsciiValue(value: Buffer | null): boolean {
  return value === null || value.every((byte) => byte < 0x80);
}

const LEFT = 'the hold ended before the server could be asked';

/** A Bind, and the name of its statement as it is on the wire. */
export interface BoundValues {
  readonly bind: Bind;
  readonly statement: Buffer;
}

/** What is asked about. */
export interface AskedText {
  /** Null where it was never read. */
  readonly text: string | null;
  /** How many parameters, and what they are where the gateway has them. */
  readonly parameters: number;
  readonly bound: BoundValues | null;
  /** It is ASCII, and is asked about in UTF-8, whatever the client writes. */
  readonly inUtf8?: true;
}

/** Among those who ask the server at a time. */
export interface Turn {
  readonly of: Turns;
  readonly kind: TurnKind;
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
export class Asking {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly turn: Turn | null;
  private readonly limits: SandboxLimits;
  private isAsking = false;
  private isStopped = false;
  private sandbox: Sandbox | null = null;
  private readonly left = Promise.withResolvers<void>();
  private readonly free = Promise.withResolvers<void>();

  constructor(state: SessionState, hidden: HiddenQueries, turn: Turn | null, limits: SandboxLimits) {
    this.state = state;
    this.hidden = hidden;
    this.turn = turn;
    this.limits = limits;
  }

  /** The server works for it, so that what the client has sent before has been answered. */
  get isUnderWay(): boolean {
    return this.isAsking;
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
    asked: AskedText,
    work: (sandbox: Sandbox, parameters: StatementParameters) => Promise<T>,
  ): Promise<T | Unknown> {
    const { turn } = this;
    const problem = this.problemOfText(asked) ?? (await this.untilQuiet());
    if (problem !== null) return unknown(problem);
    if (turn === null) return await this.askNow(asked, work);
    if (!(await turn.of.take(turn.kind, this.state.facts.role, this.left.promise))) return unknown(LEFT);
    try {
      return await this.askNow(asked, work);
    } finally {
      turn.of.give();
    }
  }

  private async askNow<T>(
    asked: AskedText,
    work: (sandbox: Sandbox, parameters: StatementParameters) => Promise<T>,
  ): Promise<T | Unknown> {
    const { state, hidden } = this;
    const connection = hidden.ending('sync');
    const encoding = new OwnEncoding(state, connection);
    // Whoever waits for it may have gone on since it was found that the server could be asked.
    const problem = this.isStopped ? LEFT : this.problemOfPlace();
    if (problem !== null) return unknown(problem);
    this.isAsking = true;
    try {
      if (state.replies.segmentOpen) await hidden.endSegment();
      return await inSandbox(
        connection,
        state.transactionStatus === 'T',
        this.limits,
        async (sandbox) => {
          if (asked.inUtf8 === true) await encoding.begin();
          // The server fails to describe what gives other columns by now, and would fail the client's transaction.
          const parameters = await this.parametersOf(asked);
          if (parameters === null) return unknown('the types of its parameters are not known');
          if (state.encodingAside !== null && !parameters.values.every(isAsciiValue))
            return unknown(NOT_ASCII_BOUND);
          return await work(sandbox, parameters);
        },
        (sandbox) => {
          this.sandbox = sandbox;
          if (this.isStopped) sandbox.stop();
        },
      );
    } catch (error) {
      if (error instanceof NoSandbox) return unknown(error.message);
      // What the client sends must not run in a transaction that is not its own.
      if (error instanceof NotLeft && !state.serverIsGone) state.fail(error);
      throw error;
    } finally {
      encoding.end();
      this.isAsking = false;
      this.free.resolve();
    }
  }

  private problemOfText({ text, bound, parameters, inUtf8 }: AskedText): string | null {
    if (text === null) return 'its text was not read';
    if (bound === null && parameters > 0) return 'its parameters are not known';
    return inUtf8 === true || this.state.textFacts.encoding === 'utf8' ? null : NOT_UTF8;
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

  private async parametersOf({ bound, parameters }: AskedText): Promise<StatementParameters | null> {
    if (bound === null || parameters === 0) return NO_PARAMETERS;
    const types = await this.hidden.describe(bound.statement, 'sync');
    return parametersOf(bound.bind, types);
  }
}
