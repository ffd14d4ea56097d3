import net from 'node:net';
import { TLSSocket } from 'node:tls';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { readDirectly } from './direct-read.ts';
import { DirectWriter } from './direct-write.ts';
import { readBuffer } from './read-buffer.ts';

/** What the owner of a link does with what comes in. Replaced as the connection moves from phase to phase. */
export interface LinkHandler {
  /**
   * Bytes have come. They are `bytes[0, length)` and valid until the call returns, since the next that come, on
   * whatever connection, are read into the same memory.
   */
  onBytes(bytes: Buffer, length: number): void;
  /** The peer sends no more; it may still read. */
  onEnd(): void;
  /** The connection is gone; called once, last. A LinkFault says that the handler is to blame. */
  onClose(error: Error | null): void;
  /** What was written has been taken; the other side may be read on. */
  onDrain(): void;
}

/** The owner of a link has failed at what it was told. It ends this connection, as one that the peer broke. */
export class LinkFault extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'LinkFault';
  }
}

/** As who opens the session tells of it. */
export function openingFault(cause: unknown): HoldfastError {
  return new HoldfastError('INTERNAL', 'the gateway failed to open the session', { cause });
}

/** One TCP or TLS connection. */
export class Link {
  handler: LinkHandler = IGNORE;
  readonly socket: net.Socket;
  readonly encrypted: boolean;
  bytesIn = 0;
  bytesOut = 0;
  private closeError: Error | null = null;
  private gathers = false;
  /** What is still to be written behind all that is gathered. */
  private tail: Buffer | null = null;
  /** Once it is connected, and if it is not encrypted. */
  private direct: DirectWriter | null = null;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    this.encrypted = socket instanceof TLSSocket;
    // Node would set them twice for one that is not connected yet.
    if (socket.connecting) socket.once('connect', () => keepAwake(socket));
    else keepAwake(socket);
    socket.on('end', () => this.guarded(() => this.handler.onEnd()));
    socket.on('drain', () => this.guarded(() => this.handler.onDrain()));
    socket.on('error', (error) => {
      this.closeError = error;
    });
    socket.on('close', () => this.handler.onClose(this.closeError));
  }

  /**
   * Takes over a connection from a server that accepts with `pauseOnConnect`. Node gives accepted sockets no
   * `onread`, so the handle is moved to a socket that has it.
   */
  static accept(accepted: net.Socket): Link {
    const carrier = accepted as unknown as { _handle: unknown };
    const handle = carrier._handle;
    if (!handle) return Link.stream(accepted);
    carrier._handle = null;
    const slot: { link: Link | null } = { link: null };
    const socket = new net.Socket({
      handle,
      allowHalfOpen: true,
      onread: onread(slot),
    } as unknown as net.SocketConstructorOpts);
    const link = new Link(socket);
    slot.link = link;
    link.goDirect();
    return link;
  }

  /** Connects to an address. The link is returned at once; `connected` calls back when it stands. */
  static connect({ host, port }: { readonly host: string; readonly port: number }): Link {
    const slot: { link: Link | null } = { link: null };
    const socket = net.connect({
      host,
      port,
      allowHalfOpen: true,
      onread: onread(slot),
    } as net.NetConnectOpts);
    const link = new Link(socket);
    slot.link = link;
    socket.once('connect', () => link.goDirect());
    return link;
  }

  /** A link over a socket that emits 'data', as TLS sockets do. */
  static stream(socket: net.Socket): Link {
    const link = new Link(socket);
    socket.on('data', (chunk: Buffer) => {
      link.deliver(chunk, chunk.length);
    });
    return link;
  }

  /** It is connected, and reads into the one buffer. */
  private goDirect(): void {
    this.direct = DirectWriter.of(this.socket);
    readDirectly(this.socket, (length) => this.deliver(readBuffer, length));
  }

  /** The peer has said that it sends no more, to whoever was the handler then. */
  get hasEnded(): boolean {
    return this.socket.readableEnded;
  }

  /** Whether more should be written now; false asks to wait for `onDrain`. */
  get writable(): boolean {
    return !this.socket.writableNeedDrain;
  }

  /** Writes bytes that the caller leaves unchanged from now on. Returns whether more may be written at once. */
  write(bytes: Buffer): boolean {
    this.writeTail();
    if (this.socket.destroyed || this.socket.writableEnded) return true;
    this.bytesOut += bytes.length;
    return this.socket.write(bytes);
  }

  /**
   * As `write`, together with what else is written until those that run now have nothing left to do: a call into the
   * system costs more than what is sent by it. The tail comes behind it, ahead of whatever else is written, unless it is
   * taken back before.
   */
  writeSoon(bytes: Buffer, tail: Buffer | null = null): void {
    const { socket } = this;
    if (!this.gathers) {
      this.gathers = true;
      socket.cork();
      // Behind the promises that are settled by now.
      queueMicrotask(() =>
        process.nextTick(() => {
          this.gathers = false;
          this.writeTail();
          socket.uncork();
        }),
      );
    }
    this.write(bytes);
    this.tail = tail;
  }

  /** Takes a tail back that has not been written, and tells whether there was one. */
  takeTail(): boolean {
    const { tail } = this;
    this.tail = null;
    return tail !== null;
  }

  get hasTail(): boolean {
    return this.tail !== null;
  }

  private writeTail(): void {
    const { tail } = this;
    if (tail === null) return;
    this.tail = null;
    this.write(tail);
  }

  /**
   * Writes `bytes[start, end)`, which another link has read and which may change as soon as this returns.
   *
   * Nearly always the kernel takes all of it at once, and is given it without Node's streams in between: they cost
   * more than all else that the gateway does with a message. What the kernel does not take waits in the stream, in
   * memory of its own and of its size, and so does everything behind it; the stream also sees to errors.
   */
  relay(bytes: Buffer, start: number, end: number): void {
    const { socket, direct } = this;
    if (direct === null || direct.isUnderWay || socket.writableLength > 0) {
      this.write(Buffer.from(bytes.subarray(start, end)));
      return;
    }
    if (socket.destroyed || socket.writableEnded) return;
    const taken = direct.write(bytes, start, end);
    this.bytesOut += taken;
    if (taken < end - start) this.write(Buffer.from(bytes.subarray(start + taken, end)));
  }

  pause(): void {
    if (!this.socket.isPaused()) this.socket.pause();
  }

  resume(): void {
    if (this.socket.isPaused()) this.socket.resume();
  }

  /** Starts reading a connection that was accepted paused. */
  start(): void {
    this.socket.resume();
  }

  end(last?: Buffer): void {
    this.writeTail();
    if (this.socket.destroyed || this.socket.writableEnded) return;
    if (last) {
      this.bytesOut += last.length;
      this.socket.end(last);
    } else {
      this.socket.end();
    }
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Acts on the connection after a while, unless it is gone by then: a timer left behind would keep its session. */
  after(ms: number, act: (link: Link) => void): void {
    if (this.socket.closed) return;
    const timer = setTimeout(act, ms, this).unref();
    this.socket.once('close', () => clearTimeout(timer));
  }

  /** Gives up this link's events, so that a TLS socket can take the connection over. */
  release(): net.Socket {
    this.handler = IGNORE;
    return this.socket;
  }

  /** @internal Called for what has come. */
  deliver(bytes: Buffer, length: number): void {
    this.bytesIn += length;
    try {
      this.handler.onBytes(bytes, length);
    } catch (error) {
      this.fail(error);
    }
  }

  /** A fault of our own ends what it has to do with, and nothing else. */
  fail(error: unknown): void {
    this.socket.destroy(new LinkFault(error));
  }

  private guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.fail(error);
    }
  }
}

function keepAwake(socket: net.Socket): void {
  socket.setNoDelay(true);
  // A peer whose machine went away without a word is noticed, as PostgreSQL notices it.
  socket.setKeepAlive(true, LIMITS.keepAliveMs);
}

function onread(slot: { link: Link | null }): {
  buffer: Uint8Array;
  callback: (length: number) => boolean;
} {
  return {
    buffer: readBuffer,
    callback: (length) => {
      slot.link?.deliver(readBuffer, length);
      return true;
    },
  };
}

const IGNORE: LinkHandler = {
  onBytes() {},
  onEnd() {},
  onClose() {},
  onDrain() {},
};
