import { HoldfastError } from '../base/errors.ts';
import { isBackendHeaderValid, isFrontendHeaderValid, lengthAt } from './frame.ts';
import { HEADER_BYTES } from './message-type.ts';

/** A message as it is framed: its type byte and its body. */
export interface RawMessage {
  readonly type: number;
  readonly body: Buffer;
}

/**
 * Cuts a stream that comes in chunks into whole messages. It is for streams that the gateway originates or ends;
 * traffic that is relayed is never gathered like this.
 *
 * Throws PROTOCOL_VIOLATION for a header that is not valid on that side or a message above the limit, and again
 * whenever it is used after that, because a stream that has lost its framing has no further messages.
 */
export class MessageReader {
  private readonly isHeaderValid: (type: number, length: number) => boolean;
  private readonly messageBytesMax: number;
  private chunks: Buffer[] = [];
  private bufferedBytes = 0;
  private violation: HoldfastError | null = null;

  constructor(sender: 'frontend' | 'backend', messageBytesMax: number) {
    this.isHeaderValid = sender === 'frontend' ? isFrontendHeaderValid : isBackendHeaderValid;
    this.messageBytesMax = messageBytesMax;
  }

  /** Bytes that have come and are not yet part of a message that was taken. */
  get pendingBytes(): number {
    return this.bufferedBytes;
  }

  /** Adds a chunk, which has to stay as it is until the messages in it have been taken. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.chunks.push(chunk);
    this.bufferedBytes += chunk.length;
  }

  /** The next whole message, or null until more has come. */
  next(): RawMessage | null {
    if (this.violation !== null) throw this.violation;
    if (this.bufferedBytes < HEADER_BYTES) return null;
    if (this.chunks[0]!.length < HEADER_BYTES) this.join();
    const first = this.chunks[0]!;
    const type = first[0]!;
    const length = lengthAt(first, 0);
    if (!this.isHeaderValid(type, length) || length >= this.messageBytesMax) {
      this.violation = new HoldfastError(
        'PROTOCOL_VIOLATION',
        `a message of type ${type} and length ${length}`,
      );
      throw this.violation;
    }
    if (this.bufferedBytes <= length) return null;
    if (first.length <= length) this.join();
    return this.take(type, length + 1);
  }

  private take(type: number, messageBytes: number): RawMessage {
    const first = this.chunks[0]!;
    const body = first.subarray(HEADER_BYTES, messageBytes);
    if (first.length === messageBytes) this.chunks.shift();
    else this.chunks[0] = first.subarray(messageBytes);
    this.bufferedBytes -= messageBytes;
    return { type, body };
  }

  private join(): void {
    this.chunks = [Buffer.concat(this.chunks, this.bufferedBytes)];
  }
}
