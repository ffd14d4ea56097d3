import { assert } from '../base/assert.ts';
import { encodeMessage } from './backend.ts';
import type { TextEncoding } from './body-reader.ts';

/**
 * Writes the body of a message that the gateway originates. What does not fit the wire (a NUL in a text, a number
 * out of range) is our own mistake and fails an assertion or throws a RangeError.
 */
export class BodyWriter {
  private readonly parts: Uint8Array[] = [];
  private readonly encoding: TextEncoding;

  constructor(encoding: TextEncoding) {
    this.encoding = encoding;
  }

  uint8(value: number): this {
    const bytes = Buffer.allocUnsafe(1);
    bytes.writeUInt8(value);
    return this.bytes(bytes);
  }

  int16(value: number): this {
    const bytes = Buffer.allocUnsafe(2);
    bytes.writeInt16BE(value);
    return this.bytes(bytes);
  }

  uint16(value: number): this {
    const bytes = Buffer.allocUnsafe(2);
    bytes.writeUInt16BE(value);
    return this.bytes(bytes);
  }

  int32(value: number): this {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeInt32BE(value);
    return this.bytes(bytes);
  }

  uint32(value: number): this {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(value);
    return this.bytes(bytes);
  }

  bytes(bytes: Uint8Array): this {
    this.parts.push(bytes);
    return this;
  }

  string(text: string): this {
    assert(!text.includes('\0'), 'a text on the wire holds no NUL');
    return this.bytes(Buffer.from(`${text}\0`, this.encoding));
  }

  value(value: Uint8Array | null): this {
    return value === null ? this.int32(-1) : this.int32(value.length).bytes(value);
  }

  /** A count in two bytes and the things counted. */
  list<T>(items: readonly T[], write: (item: T) => void): this {
    this.uint16(items.length);
    for (const item of items) write(item);
    return this;
  }

  message(type: number): Buffer {
    return encodeMessage(type, this.body());
  }

  body(): Buffer {
    return Buffer.concat(this.parts);
  }
}
