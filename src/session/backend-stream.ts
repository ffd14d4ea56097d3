import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import { cutErrorFields } from '../wire/backend.ts';
import { isBackendHeaderValid, lengthAt } from '../wire/frame.ts';
import { Backend, HEADER_BYTES } from '../wire/message-type.ts';
import type { BackendMessages } from './backend-messages.ts';
import { HiddenReplies } from './hidden/hidden-replies.ts';
import type { SessionState } from './state.ts';

/** Which types are read, so that they have to be there whole; all others pass by their header alone. */
const READ_WHOLE = new Uint8Array(256);
for (const type of [
  Backend.CommandComplete,
  Backend.ErrorResponse,
  Backend.NoticeResponse,
  Backend.ReadyForQuery,
  Backend.ParameterStatus,
  Backend.BackendKeyData,
]) {
  READ_WHOLE[type] = 1;
}

/** What is short but for words of the user's, and says first what has to be known of it. */
function hasHead(type: number): boolean {
  return type === Backend.ErrorResponse || type === Backend.NoticeResponse;
}

/**
 * The direction from server to client. It finds the messages in what the server sends, tells `messages` of each
 * that matters, and forwards the server's own bytes in runs as long as can be. Rows and COPY data are passed by
 * their headers and never held.
 *
 * Invariant: what the client gets is a sequence of whole messages, apart from the one that is passing by.
 */
export class BackendStream {
  private readonly state: SessionState;
  private readonly messages: BackendMessages;
  private passBytes = 0;
  private skipBytes = 0;
  /** The beginning of a message, of which at least `wantedBytes` have to be there. */
  private gathered: Buffer[] = [];
  private gatheredBytes = 0;
  private wantedBytes = 0;
  private injections: Buffer[] = [];
  private broken = false;
  private readonly hidden: HiddenReplies;
  /** What has come behind a row of a hidden query that has not been taken yet, or a commit that has not been told. */
  private putBy: Buffer[] = [];

  constructor(state: SessionState, messages: BackendMessages) {
    this.state = state;
    this.messages = messages;
    this.hidden = new HiddenReplies(state);
    this.hidden.onResumed = () => this.proceed();
    state.inject = (message) => this.inject(message);
  }

  /** Whether a message may be sent to the client now without standing inside another. */
  get atBoundary(): boolean {
    return this.passBytes === 0;
  }

  /** Takes what the server sent; `bytes[0, length)` is the upstream's read buffer. */
  receive(bytes: Buffer, length: number): void {
    if (this.broken) return;
    if (this.hidden.isPaused) {
      this.putAside(bytes, 0, length);
      // Whatever has let it be read on, the row is not taken yet.
      this.state.upstream.pause();
      return;
    }
    if (this.gatheredBytes === 0) this.consume(bytes, 0, length);
    else this.receiveMore(Buffer.from(bytes.subarray(0, length)));
    this.afterBytes();
  }

  /** Reads the server on, if nothing else stands against it. */
  relax(): void {
    if (!this.hidden.isPaused && this.state.client.writable) this.state.upstream.resume();
  }

  private afterBytes(): void {
    if (this.injections.length > 0 && this.atBoundary) this.flushInjections();
    if (!this.state.client.writable) this.state.upstream.pause();
    if (this.state.client.socket.isPaused()) this.state.relax();
  }

  private inject(message: Buffer): void {
    this.injections.push(message);
    if (this.atBoundary) this.flushInjections();
    this.hidden.told();
  }

  private flushInjections(): void {
    for (const message of this.injections) this.state.client.write(message);
    this.injections = [];
  }

  private consume(bytes: Buffer, at: number, end: number): void {
    let run = at;
    if (this.passBytes > 0) {
      const part = Math.min(this.passBytes, end - at);
      this.passBytes -= part;
      at += part;
    } else if (this.skipBytes > 0) {
      const part = Math.min(this.skipBytes, end - at);
      this.skipBytes -= part;
      at += part;
      run = at;
    } else if (this.hidden.isGathering) {
      at = this.hidden.gather(bytes, at, end);
      if (this.hidden.isPaused) return this.putAside(bytes, at, end);
      run = at;
    }
    if (this.state.replies.folded !== null) at = this.messages.plain.receive(bytes, at, end);
    while (at < end) {
      const available = end - at;
      const type = bytes[at]!;
      const length = available < HEADER_BYTES ? -1 : lengthAt(bytes, at);
      if (length >= 0 && !isBackendHeaderValid(type, length)) {
        this.forward(bytes, run, at);
        this.violate(`a message of type ${type} and length ${length}`);
        return;
      }
      if (length >= 0 && this.state.hiddenQueued > 0 && this.messages.isHidden(type)) {
        this.forward(bytes, run, at);
        at = this.takeHidden(bytes, at, end, length);
        if (this.broken) return;
        if (this.hidden.isPaused) return this.putAside(bytes, at, end);
        run = at;
        continue;
      }
      const wanted = this.wantedOf(type, length);
      if (available < wanted) {
        this.forward(bytes, run, at);
        if (wanted > LIMITS.controlReplyBytes) this.violate(`a message of type ${type} and length ${length}`);
        else this.gather(Buffer.from(bytes.subarray(at, end)), wanted);
        return;
      }
      const messageEnd = Math.min(at + length + 1, end);
      const verdict =
        type === Backend.DataRow || type === Backend.CopyData
          ? 'forward'
          : this.messages.receive(type, bytes, at + HEADER_BYTES, messageEnd);
      const rest = at + length + 1 - messageEnd;
      if (verdict === 'forward') {
        this.passBytes = rest;
        at = messageEnd;
        continue;
      }
      this.forward(bytes, run, at);
      if (verdict !== 'skip') this.state.client.write(verdict);
      this.skipBytes = rest;
      at = messageEnd;
      run = at;
    }
    this.forward(bytes, run, at);
  }

  /** Takes as much of a reply to a hidden query as there is, and gives where it ends. */
  private takeHidden(bytes: Buffer, at: number, end: number, length: number): number {
    const isRow = bytes[at] === Backend.DataRow;
    const bytesMax = isRow ? LIMITS.hiddenRowBytes : LIMITS.controlReplyBytes;
    if (bytes[at] === Backend.ErrorResponse && length > LIMITS.errorHeadBytes)
      return this.takeLongError(bytes, at, end, length);
    if (length <= bytesMax) return this.hidden.take(bytes, at, end);
    if (!isRow) this.violate(`a message of type ${bytes[at]} and length ${length}`);
    this.hidden.refuseLarge(length);
    const messageEnd = Math.min(at + length + 1, end);
    this.skipBytes = at + length + 1 - messageEnd;
    return messageEnd;
  }

  private takeLongError(bytes: Buffer, at: number, end: number, length: number): number {
    if (end - at < LIMITS.errorHeadBytes) {
      this.gather(Buffer.from(bytes.subarray(at, end)), LIMITS.errorHeadBytes);
      return end;
    }
    const messageEnd = Math.min(at + length + 1, end);
    this.skipBytes = at + length + 1 - messageEnd;
    this.hidden.takeError(cutErrorFields(bytes.subarray(at + HEADER_BYTES, at + LIMITS.errorHeadBytes)));
    return messageEnd;
  }

  /** What was waited for has happened: goes on with what came behind it. */
  private proceed(): void {
    // What comes from a server that is gone is matched with nothing any more.
    if (this.state.upstream.socket.destroyed) return;
    while (this.putBy.length > 0 && !this.hidden.isPaused && !this.broken) {
      const bytes = this.putBy.length === 1 ? this.putBy[0]! : Buffer.concat(this.putBy);
      this.putBy = [];
      this.receiveOwn(bytes);
    }
    if (this.hidden.isPaused) return;
    this.relax();
    this.afterBytes();
  }

  /** Keeps bytes for when what is waited for has happened. */
  private putAside(bytes: Buffer, at: number, end: number): void {
    if (at < end) this.putBy.push(Buffer.from(bytes.subarray(at, end)));
  }

  private receiveOwn(bytes: Buffer): void {
    if (this.gatheredBytes === 0) this.consume(bytes, 0, bytes.length);
    else this.receiveMore(bytes);
  }

  /** How much of a message has to be there: its header, and all of it where it is read. */
  private wantedOf(type: number, length: number): number {
    if (length < 0) return HEADER_BYTES;
    if (READ_WHOLE[type] === 0) return 0;
    return hasHead(type) && length > LIMITS.errorHeadBytes ? LIMITS.errorHeadBytes : length + 1;
  }

  /** Keeps bytes of our own until enough of the message is there. */
  private gather(bytes: Buffer, wanted: number): void {
    this.gathered.push(bytes);
    this.gatheredBytes += bytes.length;
    this.wantedBytes = wanted;
  }

  private receiveMore(bytes: Buffer): void {
    this.gather(bytes, this.wantedBytes);
    if (this.gatheredBytes < this.wantedBytes) return;
    const joined = Buffer.concat(this.gathered);
    this.gathered = [];
    this.gatheredBytes = 0;
    this.consume(joined, 0, joined.length);
  }

  private forward(bytes: Buffer, start: number, end: number): void {
    if (start < end) this.state.client.relay(bytes, start, end);
  }

  /** The server broke the protocol, so nothing it says can be matched any more. */
  private violate(what: string): void {
    this.broken = true;
    this.state.services.metrics.protocolErrors++;
    this.state.services.log.error({ session: this.state.identity.id, at: nowMs() }, `upstream sent ${what}`);
    this.state.upstream.destroy();
  }
}
