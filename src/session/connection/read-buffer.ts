import { LIMITS } from '../../base/limits.ts';

/**
 * All plain sockets read into this one buffer (Node's `onread`): what has come is dealt with before anything else
 * can be read. With a buffer for each, those of many sessions would not stay in the processor's cache, which with
 * 64 clients cost as much as all else that the gateway does.
 */
export const readBuffer: Buffer = Buffer.allocUnsafeSlow(LIMITS.readBufferBytes);

/** The first bytes of a buffer by their number. To make such a view costs more than to copy what is in it. */
export class Beginnings {
  private readonly buffer: Buffer;
  private readonly views: (Uint8Array | null)[];

  /** Of up to that many bytes; each view is made when it is first asked for. */
  constructor(buffer: Buffer, bytesMax: number) {
    this.buffer = buffer;
    this.views = Array.from({ length: bytesMax + 1 }, () => null);
  }

  of(length: number): Uint8Array {
    this.views[length] ??= this.buffer.subarray(0, length);
    return this.views[length];
  }
}
