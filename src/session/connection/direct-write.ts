import { writeSync } from 'node:fs';
import type net from 'node:net';
import { Beginnings, readBuffer } from './read-buffer.ts';
import { type StreamHandle, streams, type WriteRequest } from './stream-wrap.ts';

/** What is longer costs more to copy than the shorter call saves. */
const COPIED_BYTES_MAX = 4096;

let request: WriteRequest | null = null;
/** What is written is copied here first, because libuv keeps what the kernel does not take where it stands. */
let slab = Buffer.allocUnsafeSlow(COPIED_BYTES_MAX);
let written = new Beginnings(slab, COPIED_BYTES_MAX);
/** Mostly what was read is passed on as it came. */
const read = new Beginnings(readBuffer, COPIED_BYTES_MAX);

/**
 * Writes to one plain socket what the kernel takes at once, without Node's streams in between; where their insides are
 * not to be had, `fs.writeSync` does the same for more.
 *
 * States: at rest; or `isUnderWay`, in which libuv still has a part of what was written, so that whatever follows has
 * to go through the stream, which it queues behind that.
 */
export class DirectWriter {
  private readonly socket: net.Socket;
  private readonly handle: StreamHandle;
  private readonly descriptor: number;
  isUnderWay = false;

  private constructor(socket: net.Socket, handle: StreamHandle, descriptor: number) {
    this.socket = socket;
    this.handle = handle;
    this.descriptor = descriptor;
  }

  /** For a socket that is connected and not encrypted; null where the system has no descriptor for it. */
  static of(socket: net.Socket): DirectWriter | null {
    const { _handle: handle } = socket as unknown as { _handle: StreamHandle | null };
    const descriptor = handle?.fd ?? -1;
    return handle === null || descriptor < 0 ? null : new DirectWriter(socket, handle, descriptor);
  }

  /**
   * Takes `bytes[start, end)`, which may change as soon as this returns, and gives how many of them it has taken. The
   * rest is for the stream, which sees to errors as well.
   */
  write(bytes: Buffer, start: number, end: number): number {
    const length = end - start;
    if (streams === null || length > COPIED_BYTES_MAX || this.handle.writeBuffer === undefined)
      return writtenAtOnce(this.descriptor, bytes, start, length);
    slab.set(bytes === readBuffer && start === 0 ? read.of(length) : bytes.subarray(start, end));
    request ??= new streams.WriteWrap();
    if (this.handle.writeBuffer(request, written.of(length)) !== 0) {
      // What has failed may have used it up.
      request = null;
      return 0;
    }
    if (streams.streamBaseState[streams.kLastWriteWasAsync] !== 0) this.leave(request, slab);
    return length;
  }

  /** The kernel has not taken all: what libuv reads from later on is not written into again. */
  private leave(left: WriteRequest, from: Buffer): void {
    this.isUnderWay = true;
    left.buffer = from;
    left.oncomplete = (status) => {
      this.isUnderWay = false;
      if (status < 0) this.socket.destroy(new Error(`what was written could not be sent (${status})`));
    };
    request = null;
    slab = Buffer.allocUnsafeSlow(COPIED_BYTES_MAX);
    written = new Beginnings(slab, COPIED_BYTES_MAX);
  }
}

/** How many bytes the kernel takes now. Sockets of Node do not block, so that this never waits. */
function writtenAtOnce(descriptor: number, bytes: Buffer, start: number, length: number): number {
  try {
    return writeSync(descriptor, bytes, start, length);
  } catch {
    return 0;
  }
}
