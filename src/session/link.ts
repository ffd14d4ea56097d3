import net from 'node:net';
import { TLSSocket } from 'node:tls';
import { LIMITS } from '../base/limits.ts';

/** What the owner of a link does with what comes in. Replaced as the connection moves from phase to phase. */
export interface LinkHandler {
  /**
   * Bytes have come. They are `bytes[0, length)` and belong to the link: they are valid until the call returns,
   * and as long as a write of them is on its way, but no longer.
   */
  onBytes(bytes: Buffer, length: number): void;
  /** The peer sends no more; it may still read. */
  onEnd(): void;
  /** The connection is gone; called once, last. */
  onClose(error: Error | null): void;
  /** What was written has been taken; the other side may be read on. */
  onDrain(): void;
}

/**
 * One TCP or TLS connection. A plain socket reads into a buffer of its own over and over (Node's `onread`), which
 * saves an allocation and a copy per chunk; the buffer is given up for a new one only where a write of it has not
 * been taken by the kernel at once.
 */
export class Link {
  handler: LinkHandler = IGNORE;
  readonly socket: net.Socket;
  bytesIn = 0;
  bytesOut = 0;
  private buffer: Buffer | null = null;
  private bufferLent = false;
  private closeError: Error | null = null;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    // A peer whose machine went away without a word is noticed, as PostgreSQL notices it.
    socket.setKeepAlive(true, LIMITS.keepAliveMs);
    socket.on('end', () => this.handler.onEnd());
    socket.on('drain', () => this.handler.onDrain());
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
    } as net.SocketConstructorOpts);
    const link = new Link(socket);
    slot.link = link;
    return link;
  }

  /** Connects to an address. The link is returned at once; `connected` calls back when it stands. */
  static connect(target: { readonly host: string; readonly port: number } | { readonly path: string }): Link {
    const slot: { link: Link | null } = { link: null };
    const socket = net.connect({
      ...target,
      allowHalfOpen: true,
      onread: onread(slot),
    } as net.NetConnectOpts);
    const link = new Link(socket);
    slot.link = link;
    return link;
  }

  /** A link over a socket that emits 'data', as TLS sockets do. */
  static stream(socket: net.Socket): Link {
    const link = new Link(socket);
    socket.on('data', (chunk: Buffer) => {
      link.bytesIn += chunk.length;
      link.handler.onBytes(chunk, chunk.length);
    });
    return link;
  }

  get encrypted(): boolean {
    return this.socket instanceof TLSSocket;
  }

  /** Bytes written that the kernel has not taken yet. */
  get queuedBytes(): number {
    return this.socket.writableLength;
  }

  /** Whether more should be written now; false asks to wait for `onDrain`. */
  get writable(): boolean {
    return !this.socket.writableNeedDrain;
  }

  /**
   * Writes bytes that the caller leaves unchanged from now on, or that are the read buffer of `source`, which is
   * told if they have to outlive the call. Returns whether more may be written at once.
   */
  write(bytes: Buffer, source: Link | null = null): boolean {
    if (this.socket.destroyed || this.socket.writableEnded) return true;
    this.bytesOut += bytes.length;
    const more = this.socket.write(bytes);
    if (source !== null && this.socket.writableLength > 0) source.bufferLent = true;
    return more;
  }

  /** Leaves the bytes that were given to `onBytes` last as they are: what comes next is read into another buffer. */
  keepBuffer(): void {
    this.bufferLent = true;
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

  /** @internal Called by `onread`. */
  received(length: number, bytes: Buffer): void {
    this.bytesIn += length;
    this.handler.onBytes(bytes, length);
  }

  /** @internal The buffer to read into next. */
  nextBuffer(): Buffer {
    if (this.buffer === null || this.bufferLent) {
      this.buffer = Buffer.allocUnsafeSlow(LIMITS.readBufferBytes);
      this.bufferLent = false;
    }
    return this.buffer;
  }
}

function onread(slot: { link: Link | null }): {
  buffer: () => Uint8Array;
  callback: (n: number, b: Uint8Array) => boolean;
} {
  // Node asks for the first buffer while the socket is being made, before there is a link to ask.
  const first = Buffer.allocUnsafeSlow(LIMITS.readBufferBytes);
  let firstLent = false;
  return {
    buffer: () => {
      if (slot.link === null) return first;
      if (!firstLent) {
        firstLent = true;
        slot.link['buffer'] = first;
      }
      return slot.link.nextBuffer();
    },
    callback: (length, bytes) => {
      slot.link?.received(length, bytes as Buffer);
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
