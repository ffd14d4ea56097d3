import type net from 'node:net';
import { type StreamHandle, streams } from './stream-wrap.ts';

/**
 * Has `deliver` told of the bytes that a plain socket with `onread` reads, without Node's streams in between, which do
 * nothing then but to find it: they cost as much as the text of a statement does. What is not bytes (the end, an error)
 * goes to the stream as before, and so does everything where Node is made otherwise.
 */
export function readDirectly(socket: net.Socket, deliver: (length: number) => void): void {
  const { _handle: handle } = socket as unknown as { _handle: StreamHandle | null };
  const native = handle?.onread;
  if (handle === null || streams === null || typeof native !== 'function') return;
  const { streamBaseState, kReadBytesOrError } = streams;
  handle.onread = (bytes) => {
    const length = streamBaseState[kReadBytesOrError]!;
    if (length <= 0) return native.call(handle, bytes);
    deliver(length);
    return undefined;
  };
}
