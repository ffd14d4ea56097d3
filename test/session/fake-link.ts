import { HoldfastError } from '../../src/base/errors.ts';
import { type Link, LinkFault, type LinkHandler } from '../../src/session/connection/link.ts';
import { MessageReader, type RawMessage } from '../../src/wire/message-reader.ts';

/** A link without a socket: what the session writes is kept, and bytes come in when the test says so. */
export class FakeLink {
  handler!: LinkHandler;
  readonly socket = { destroyed: false, isPaused: () => this.paused };
  readonly encrypted = false;
  bytesIn = 0;
  bytesOut = 0;
  hasEnded = false;
  writable = true;
  paused = false;
  /** Whether tails wait for what else is written, as they do on a real one. */
  gathers = false;
  private tail: Buffer | null = null;
  /** The session has closed its side in order. */
  ended = false;
  /** What was written and is not a whole message. */
  rest: Buffer = Buffer.alloc(0);
  private readonly reader: MessageReader;
  private readonly whole: RawMessage[] = [];

  /** `sender` is whose messages the session writes to this link. */
  constructor(sender: 'frontend' | 'backend') {
    this.reader = new MessageReader(sender, 1 << 24);
  }

  asLink(): Link {
    return this as unknown as Link;
  }

  /** Bytes come from the peer, in a buffer that is overwritten afterwards, as the real one is. */
  receive(bytes: Buffer): void {
    if (this.socket.destroyed) return;
    const lent = Buffer.from(bytes);
    this.bytesIn += bytes.length;
    try {
      this.handler.onBytes(lent, lent.length);
    } catch (error) {
      this.close(new LinkFault(error));
    }
    lent.fill(0xee);
  }

  write(bytes: Buffer): boolean {
    this.writeTail();
    if (this.socket.destroyed || this.ended) return true;
    const copy = Buffer.from(bytes);
    this.bytesOut += copy.length;
    this.rest = Buffer.concat([this.rest, copy]);
    this.reader.push(copy);
    try {
      for (let raw = this.reader.next(); raw !== null; raw = this.reader.next()) {
        this.whole.push(raw);
        this.rest = this.rest.subarray(raw.body.length + 5);
      }
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
    }
    return this.writable;
  }

  writeSoon(bytes: Buffer, tail: Buffer | null = null): void {
    this.write(bytes);
    this.tail = tail;
    if (this.gathers) queueMicrotask(() => process.nextTick(() => this.writeTail()));
    else this.writeTail();
  }

  takeTail(): boolean {
    const { tail } = this;
    this.tail = null;
    return tail !== null;
  }

  private writeTail(): void {
    const { tail } = this;
    this.tail = null;
    if (tail !== null) this.write(tail);
  }

  relay(bytes: Buffer, start: number, end: number): void {
    this.write(bytes.subarray(start, end));
  }

  /** The whole messages written since this was last asked. */
  take(): RawMessage[] {
    return this.whole.splice(0);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(last?: Buffer): void {
    if (last) this.write(last);
    this.ended = true;
  }

  destroy(): void {
    this.close();
  }

  after(ms: number, act: (link: Link) => void): void {
    setTimeout(() => this.socket.destroyed || act(this.asLink()), ms).unref();
  }

  /** The peer, or the session, has torn the connection down. */
  close(error: Error | null = null): void {
    if (this.socket.destroyed) return;
    this.socket.destroyed = true;
    queueMicrotask(() => this.handler.onClose(error));
  }
}
