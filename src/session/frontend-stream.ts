import { LIMITS } from '../base/limits.ts';
import { ownCopy } from '../base/own-copy.ts';
import { isFrontendHeaderValid, lengthAt } from '../wire/frame.ts';
import { Frontend, HEADER_BYTES } from '../wire/message-type.ts';
import type { FrontendMessages } from './frontend-messages.ts';
import { NOTHING } from './ruling/poison.ts';
import { internalError } from './ruling/refusal.ts';
import type { SessionState } from './state.ts';
import type { Answer, Verdict } from './verdict.ts';

/** What putting by costs besides the bytes, so that a client cannot fill the memory with single ones. */
const PUT_BY_COST_BYTES = 256;

/**
 * The direction from client to server. It finds the messages in what the client sends, has each decided, and
 * forwards the client's own bytes in runs as long as can be.
 *
 * States:
 * - reading: messages are decided as they come. A message that did not come whole is gathered, unless it can be
 *   decided by its head (Bind) or needs no decision (CopyData): the rest of it then passes by.
 * - waiting: a message cannot be decided yet (it is held, or its text is being parsed elsewhere). Nothing is
 *   forwarded; what comes is put by, up to a limit, above which the client is read no further.
 * - closed: the client has said Terminate, or something that ends the session; what comes is dropped.
 *
 * Invariant: every byte that the client sends is, in order, forwarded once, replaced, or put by.
 */
export class FrontendStream {
  private readonly state: SessionState;
  private readonly messages: FrontendMessages;
  /** Bytes still to come of a message that is being forwarded, or dropped because it was replaced. */
  private passBytes = 0;
  private dropBytes = 0;
  /** The beginning of a message that has not come whole. */
  private gathered: Buffer | null = null;
  private gatheredBytes = 0;
  /** The Bind being gathered cannot be decided by its head. */
  private wantsWhole = false;
  private waiting = false;
  private answer: Answer | null = null;
  private putBy: Buffer[] = [];
  private putByBytes = 0;
  private closed = false;
  private clientEnded = false;
  /** The server is gone. */
  private isCutOff = false;
  /** Called when nothing is waited for any more. */
  onSettled: () => void = () => {};

  constructor(state: SessionState, messages: FrontendMessages) {
    this.state = state;
    this.messages = messages;
    state.putBy = () => this.putBy;
  }

  /** The client has said Terminate, has closed its side, or has broken the protocol. */
  get isClosed(): boolean {
    return this.closed || this.clientEnded;
  }

  get isWaiting(): boolean {
    return this.waiting;
  }

  /** Takes what the client sent; `bytes[0, length)` is the client's read buffer. */
  receive(bytes: Buffer, length: number): void {
    // Behind a FATAL the server reads nothing any more.
    if (this.closed || this.isCutOff || this.state.fatal) return;
    if (this.waiting) {
      this.putAside(bytes, 0, length);
      return;
    }
    this.consume(bytes, 0, length);
    this.restrain();
  }

  /** The client sends no more. What is being held is given up; what was forwarded is still answered. */
  end(): void {
    this.clientEnded = true;
    if (this.waiting) this.messages.giveUp('disconnected');
    else this.state.upstream.end();
  }

  /** The server is gone: what waits is decided for the audit, and nothing else is looked at. */
  cutOff(): void {
    this.isCutOff = true;
  }

  /** Reads the client on, if nothing else stands against it. */
  relax(): void {
    if (this.waiting && this.putByBytes > LIMITS.heldInputBytes) return;
    if (this.state.replies.isFull) return;
    if (this.state.services.audit.saturated || !this.state.upstream.writable) return;
    this.state.client.resume();
  }

  private restrain(): void {
    const { state } = this;
    if (!state.upstream.writable || state.replies.isFull) {
      state.client.pause();
    } else if (state.services.audit.saturated) {
      state.client.pause();
      state.services.audit.onceDrained(() => this.relax());
    }
  }

  private putAside(bytes: Buffer, start: number, end: number): void {
    if (start >= end) return;
    this.putBy.push(ownCopy(bytes.subarray(start, end)));
    this.putByBytes += end - start + PUT_BY_COST_BYTES;
    if (this.putByBytes > LIMITS.heldInputBytes) this.state.client.pause();
  }

  /** Works through `bytes[at, end)`, which may change as soon as this returns. */
  private consume(bytes: Buffer, at: number, end: number): void {
    let run = at;
    this.state.messageAtMs = 0;
    while (at < end && !this.closed) {
      if (this.passBytes > 0) {
        const part = Math.min(this.passBytes, end - at);
        this.passBytes -= part;
        at += part;
        continue;
      }
      if (this.dropBytes > 0) {
        this.forward(bytes, run, at);
        const part = Math.min(this.dropBytes, end - at);
        this.dropBytes -= part;
        at += part;
        run = at;
        continue;
      }
      if (this.gathered !== null) {
        at = this.gather(bytes, at, end);
        run = at;
        if (this.waiting) {
          this.putAside(bytes, at, end);
          return;
        }
        continue;
      }
      const available = end - at;
      const length = available < HEADER_BYTES ? -1 : lengthAt(bytes, at);
      const type = bytes[at]!;
      if (length >= 0 && !isFrontendHeaderValid(type, length)) {
        this.forward(bytes, run, at);
        this.breakOff(bytes.subarray(at, at + HEADER_BYTES));
        return;
      }
      if (length < 0 || length + 1 > available) {
        if (type === Frontend.CopyData && length >= 0) {
          this.messages.copyData();
          this.passBytes = length + 1;
          continue;
        }
        this.forward(bytes, run, at);
        at = this.gather(bytes, at, end);
        run = at;
        if (this.waiting) {
          this.putAside(bytes, at, end);
          return;
        }
        continue;
      }
      if (type === Frontend.Bind || type === Frontend.Parse) {
        const executionEnd = this.runsPlain(bytes, at, end);
        if (executionEnd > 0) {
          at = executionEnd;
          continue;
        }
      }
      const messageEnd = at + length + 1;
      const verdict = this.decide(type, bytes, at + HEADER_BYTES, messageEnd);
      if (verdict === null) {
        at = messageEnd;
        continue;
      }
      if (verdict.kind === 'gate') {
        this.forward(bytes, run, messageEnd);
        if (verdict.behind !== null) this.state.upstream.writeSoon(verdict.behind);
        verdict.sent();
        this.waitBehind(verdict.until);
        this.putAside(bytes, messageEnd, end);
        return;
      }
      this.forward(bytes, run, at);
      if (verdict.kind === 'break') {
        this.breakOff(bytes.subarray(at, at + HEADER_BYTES));
        return;
      }
      if (verdict.kind === 'wait') {
        this.wait(verdict);
        this.putAside(bytes, at, end);
        return;
      }
      if (verdict.kind === 'replace') this.state.upstream.write(verdict.bytes);
      at = messageEnd;
      run = at;
    }
    this.forward(bytes, run, at);
  }

  private forward(bytes: Buffer, start: number, end: number): void {
    if (start < end) this.state.upstream.relay(bytes, start, end);
  }

  /** Adds to the message being gathered, and decides it once enough of it is there. Returns where it stopped. */
  private gather(bytes: Buffer, at: number, end: number): number {
    // The header comes first and alone, so that its length is checked before anything more is gathered.
    if (this.gatheredBytes < HEADER_BYTES) {
      const part = Math.min(HEADER_BYTES - this.gatheredBytes, end - at);
      this.append(bytes, at, at + part, HEADER_BYTES);
      at += part;
      if (this.gatheredBytes < HEADER_BYTES || this.headerDecides()) return at;
    }
    const type = this.gathered![0]!;
    const total = lengthAt(this.gathered!, 0) + 1;
    const byHead = type === Frontend.Bind && !this.wantsWhole;
    const wanted = byHead ? Math.min(total, LIMITS.nameBytes) : total;
    const part = Math.min(wanted - this.gatheredBytes, end - at);
    this.append(bytes, at, at + part, wanted);
    at += part;
    if (this.gatheredBytes < wanted) return at;
    this.decideGathered(type, total);
    return at;
  }

  /** Whether the header that was gathered is all there is to see of the message; the rest then passes or drops. */
  private headerDecides(): boolean {
    const type = this.gathered![0]!;
    const length = lengthAt(this.gathered!, 0);
    const rest = length + 1 - HEADER_BYTES;
    if (!isFrontendHeaderValid(type, length)) {
      this.breakOff(this.take());
      return true;
    }
    if (type === Frontend.CopyData) {
      this.messages.copyData();
      this.state.upstream.write(this.take());
      this.passBytes = rest;
      return true;
    }
    if (length + 1 > this.state.services.statementBytesMax && type !== Frontend.Bind) {
      const header = this.take();
      if (this.messages.isInCopy) {
        this.breakOff(header);
        return true;
      }
      this.state.upstream.write(this.messages.tooLarge(type));
      this.dropBytes = rest;
      return true;
    }
    return false;
  }

  private decideGathered(type: number, total: number): void {
    const message = this.take();
    const rest = total - message.length;
    const verdict = this.decide(type, message, HEADER_BYTES, message.length, rest);
    if (verdict === null) {
      this.state.upstream.write(message);
      this.passBytes = rest;
    } else if (verdict.kind === 'gate') {
      this.state.upstream.write(message);
      if (verdict.behind !== null) this.state.upstream.writeSoon(verdict.behind);
      verdict.sent();
      this.waitBehind(verdict.until);
    } else if (verdict.kind === 'whole') {
      this.gathered = message;
      this.gatheredBytes = message.length;
      this.wantsWhole = true;
    } else if (verdict.kind === 'replace') {
      this.state.upstream.write(verdict.bytes);
      this.dropBytes = rest;
    } else if (verdict.kind === 'break') {
      this.breakOff(message.subarray(0, HEADER_BYTES));
    } else {
      this.wait(verdict);
      this.putBy.push(ownCopy(message));
      this.putByBytes += message.length;
    }
  }

  private append(bytes: Buffer, start: number, end: number, wanted: number): void {
    const need = this.gatheredBytes + end - start;
    if (this.gathered === null || this.gathered.length < need) {
      // Grown by what has come and not by what was announced, so that a lie about the length costs nothing.
      const room = Math.min(Math.max(need * 2, 1024), Math.max(wanted, need));
      const grown = Buffer.allocUnsafe(room);
      this.gathered?.copy(grown, 0, 0, this.gatheredBytes);
      this.gathered = grown;
    }
    bytes.copy(this.gathered, this.gatheredBytes, start, end);
    this.gatheredBytes = need;
  }

  private take(): Buffer {
    const message = this.gathered!.subarray(0, this.gatheredBytes);
    this.gathered = null;
    this.gatheredBytes = 0;
    this.wantsWhole = false;
    return message;
  }

  /** Where the execution ends that begins there, if it is plain and has been taken for sent; else 0. */
  private runsPlain(bytes: Buffer, at: number, end: number): number {
    if (this.answer !== null || this.isCutOff) return 0;
    try {
      return this.messages.runsPlain(bytes, at, end);
    } catch (error) {
      // Where nothing of it was taken for sent, its messages are decided one by one.
      if (this.state.replies.folded === null) return 0;
      this.state.fail(error);
      return end;
    }
  }

  /** Decides one message. A fault of our own refuses it; it must never pass for that. */
  private decide(type: number, bytes: Buffer, start: number, end: number, missingBytes = 0): Verdict {
    const answer = this.answer;
    this.answer = null;
    // What has been held or captured is still recorded; nothing else was begun.
    if (this.isCutOff && (answer === null || answer.outcome === null))
      return { kind: 'replace', bytes: NOTHING };
    const owed = this.state.replies.length;
    let verdict: Verdict;
    try {
      verdict = this.messages.decide(type, bytes, start, end, answer, missingBytes);
    } catch (error) {
      if (this.state.replies.length !== owed) {
        // It is taken for sent already, so that a refusal would come beside it and not in its place.
        this.state.fail(error);
        return { kind: 'replace', bytes: NOTHING };
      }
      this.state.services.log.error(
        { err: error, session: this.state.identity.id },
        'failed to decide a message',
      );
      verdict = this.messages.refuse(
        type,
        internalError(error instanceof Error ? error.message : String(error)),
      );
    }
    // The same message is decided again once it is there whole.
    if (verdict?.kind === 'whole') this.answer = answer;
    if (verdict === null && type === Frontend.Terminate) {
      this.closed = true;
      // What follows Terminate is never read by the server; the run up to here still goes out.
      queueMicrotask(() => this.state.upstream.end());
    }
    return verdict;
  }

  private wait(verdict: Extract<Verdict, { kind: 'wait' }>): void {
    this.waiting = true;
    if (verdict.ahead) this.state.upstream.write(verdict.ahead);
    void verdict.until
      .catch((error: unknown): Answer => ({ analysis: null, outcome: { kind: 'fault', error } }))
      .then((answer) => this.proceed(answer))
      .catch((error: unknown) => this.state.fail(error));
  }

  /** Looks at nothing behind the message that was just forwarded for now. */
  private waitBehind(until: Promise<void>): void {
    this.waiting = true;
    void until.then(() => this.proceed(null)).catch((error: unknown) => this.state.fail(error));
  }

  /** The message that was waited for can be decided now: goes on with it and with what came since. */
  private proceed(answer: Answer | null): void {
    this.waiting = false;
    this.answer = answer;
    while (this.putBy.length > 0 && !this.waiting && !this.closed) {
      const held = this.putBy;
      this.putBy = [];
      this.putByBytes = 0;
      const bytes = held.length === 1 ? held[0]! : Buffer.concat(held);
      this.consume(bytes, 0, bytes.length);
    }
    if (this.waiting) {
      if (this.clientEnded) this.messages.giveUp('disconnected');
      return;
    }
    this.onSettled();
    if (this.clientEnded) this.state.upstream.end();
    this.restrain();
    this.relax();
  }

  /**
   * The client has sent a header that PostgreSQL refuses. The server gets just this header and answers as it
   * would; it is not owed anything more, and the session ends with it.
   */
  private breakOff(header: Buffer): void {
    this.state.services.metrics.protocolErrors++;
    this.state.upstream.write(Buffer.from(header));
    this.closed = true;
    this.state.upstream.after(LIMITS.protocolErrorGraceMs, (upstream) => upstream.end());
    this.state.upstream.after(LIMITS.protocolErrorGraceMs * 2, (upstream) => upstream.destroy());
  }
}
