import { assert } from '../../base/assert.ts';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import {
  cutErrorFields,
  decodeErrorFields,
  encodeErrorResponse,
  encodeMessage,
  isFatalError,
} from '../../wire/backend.ts';
import { lengthAt } from '../../wire/frame.ts';
import { Backend, HEADER_BYTES } from '../../wire/message-type.ts';
import { type Reply, ReplyKind } from '../replies.ts';
import type { SessionState } from '../state.ts';
import type { ReplyVerdict } from '../verdict.ts';
import { HiddenQueryEnded } from './hidden-exchange.ts';
import { namesOwn } from './hidden-queries.ts';

/** What may come between any two messages, and answers none. */
export const ASYNCHRONOUS = new Uint8Array(256);
for (const type of [Backend.NoticeResponse, Backend.NotificationResponse, Backend.ParameterStatus]) {
  ASYNCHRONOUS[type] = 1;
}

const NO_BODY = Buffer.alloc(0);

/** What the server says to whatever comes in a transaction that has failed. */
const ABORTED = encodeErrorResponse(
  {
    S: 'ERROR',
    V: 'ERROR',
    C: '25P02',
    M: 'current transaction is aborted, commands ignored until end of transaction block',
  },
  null,
).subarray(HEADER_BYTES);

/** Whoever takes a row may keep it until it is stored, which what the link has read into does not; all else is read at once. */
function bodyOf(bytes: Buffer, at: number, messageEnd: number): Buffer {
  const start = at + HEADER_BYTES;
  if (start === messageEnd) return NO_BODY;
  const body = bytes.subarray(start, messageEnd);
  return bytes[at] === Backend.DataRow ? Buffer.from(body) : body;
}

/** What the server says besides may be about something of the gateway's own. */
export function verdictOfNotice(head: Reply | null, body: Buffer): ReplyVerdict {
  if (head?.kind !== ReplyKind.Hidden) return 'forward';
  if (namesOwn(body)) return 'skip';
  if (head.exchange?.tellsNotices === true) return 'forward';
  head.exchange?.notice(decodeErrorFields(body) === null ? cutErrorFields(body) : body);
  return 'skip';
}

/**
 * Reads what the server answers to hidden queries, for the stream that has found it to be that.
 *
 * States:
 * - between: the next message is to be looked at by its header.
 * - gathering: a message that did not come whole is put together in a buffer of just its size.
 * - paused: whoever takes the rows has not taken the last one yet, or the client has not been told of a commit of ours
 *   yet. Nothing is read, and what has come already, which is one buffer of the link's, is put by.
 */
export class HiddenReplies {
  private readonly state: SessionState;
  private gathered: Buffer | null = null;
  private gatheredBytes = 0;
  private gatheredType = 0;
  isPaused = false;
  private untold = false;
  /** Called when the rows have been taken and reading may go on. */
  onResumed: () => void = () => {};

  constructor(state: SessionState) {
    this.state = state;
  }

  get isGathering(): boolean {
    return this.gathered !== null;
  }

  /** Takes the message whose whole header stands at `at`, or as much of it as there is. Returns where it stopped. */
  take(bytes: Buffer, at: number, end: number): number {
    const length = lengthAt(bytes, at);
    const messageEnd = at + length + 1;
    const start = at + HEADER_BYTES;
    if (messageEnd <= end) {
      if (bytes[at] === Backend.DataRow) {
        const taken = this.state.replies.head!.exchange!.rows?.(bytes, at, end) ?? at;
        if (taken > at) return taken;
      }
      this.deliver(bytes[at]!, bodyOf(bytes, at, messageEnd));
      return messageEnd;
    }
    this.gatheredType = bytes[at]!;
    this.gathered = Buffer.allocUnsafeSlow(length + 1 - HEADER_BYTES);
    this.gatheredBytes = 0;
    return this.gather(bytes, start, end);
  }

  /** Goes on with the message being gathered. Returns where it stopped. */
  gather(bytes: Buffer, at: number, end: number): number {
    const message = this.gathered!;
    const part = Math.min(message.length - this.gatheredBytes, end - at);
    bytes.copy(message, this.gatheredBytes, at, at + part);
    this.gatheredBytes += part;
    if (this.gatheredBytes === message.length) {
      this.gathered = null;
      this.deliver(this.gatheredType, message);
    }
    return at + part;
  }

  /** A row that is larger than what is held of one: its query fails, and the row passes by unread. */
  refuseLarge(bytes: number): void {
    const limit = LIMITS.hiddenRowBytes;
    const detail = `It takes ${bytes} bytes, of ${limit} at most.`;
    const error = new HoldfastError('SNAPSHOT_FAILED', 'a row is too large to be captured', { detail });
    this.state.replies.head!.exchange!.fail(error);
  }

  /** Takes an error of which the body was cut. */
  takeError(body: Buffer): void {
    this.deliver(Backend.ErrorResponse, body);
  }

  private deliver(type: number, body: Buffer): void {
    const exchange = this.state.replies.head!.exchange!;
    if (type === Backend.DataRow) {
      const taken = exchange.row(body);
      if (taken !== undefined) this.pauseUntil(taken);
      return;
    }
    if (type === Backend.ErrorResponse) this.state.fates.failedOnce();
    if (type === Backend.ErrorResponse && isFatalError(body)) {
      this.state.fatal = true;
      // The session ends with it, whoever asked, and the client is owed the server's reason.
      this.state.client.write(encodeMessage(type, body));
    }
    const next = exchange.receive(type, body);
    if (type === Backend.ReadyForQuery) this.ready(body[0]!);
    if (next !== 'more') this.shift();
    if (type === Backend.ReadyForQuery && exchange.joined === true) this.failJoined(body);
    if (next === 'over' && exchange.isCommitUntold) this.pauseUntilTold();
    if (next === 'over and discarding') this.discard();
  }

  /** The hidden query at the head has had its last reply. */
  private shift(): void {
    this.state.replies.shift();
    this.state.hiddenQueued--;
    this.state.answered();
  }

  /** The client is told nothing of the answer to a Sync of ours, but what it says is so. */
  private ready(status: number): void {
    const { state } = this;
    state.transactionStatus = String.fromCharCode(status) as 'I' | 'T' | 'E';
    if (state.transactionStatus === 'I') state.portals.clearMade();
    state.fates.ready(state.transactionStatus);
    const isLast = state.replies.length === 1;
    state.statusTold(isLast);
    if (state.settings.ready(state.transactionStatus, isLast, -1)) state.epoch++;
  }

  /**
   * A query has failed inside a segment of the client's, which waits: the server discards the others of ours that
   * were sent with it, a Bind that was sent among them, and whatever the client sends up to its Sync.
   */
  private discard(): void {
    const { replies, portals } = this.state;
    for (let { head } = replies; head !== null; head = replies.head) {
      if (head.kind === ReplyKind.Hidden) {
        head.exchange?.fail(new HiddenQueryEnded('discarded'));
        this.shift();
      } else if (head.kind === ReplyKind.Bind || head.kind === ReplyKind.Describe) {
        if (head.of === 'portal') portals.answer(head.name, head.portal, false);
        replies.shift();
      } else break;
    }
    this.state.discarding = true;
    this.state.failedUntold = true;
  }

  /**
   * A query has failed that others were joined to, which the server has discarded: they end as they would have, each with
   * a Sync of its own, in the transaction that has failed.
   */
  private failJoined(ready: Buffer): void {
    const { replies } = this.state;
    for (let isJoined = true; isJoined; ) {
      const { exchange } = replies.head!;
      assert(exchange !== null, 'a query is joined to one of ours');
      exchange.receive(Backend.ErrorResponse, ABORTED);
      exchange.receive(Backend.ReadyForQuery, ready);
      isJoined = exchange.joined === true;
      this.shift();
    }
  }

  /** The client has been told of what was committed. */
  told(): void {
    if (!this.untold) return;
    this.untold = false;
    this.isPaused = false;
    this.onResumed();
  }

  /** A server that ends the session right behind a commit says so behind the success of what was committed. */
  private pauseUntilTold(): void {
    this.isPaused = true;
    this.untold = true;
    // The client is told before anything else can come in; where it is not, because of a fault, nobody is kept waiting.
    setImmediate(() => this.told());
  }

  private pauseUntil(taken: Promise<void>): void {
    this.isPaused = true;
    this.state.upstream.pause();
    void taken
      .then(() => {
        this.isPaused = false;
        this.onResumed();
      })
      .catch((error: unknown) => this.state.fail(error));
  }
}
