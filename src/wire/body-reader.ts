import { isUtf8 } from 'node:buffer';

/**
 * How the texts in a message are read. `latin1` gives one character for each byte, whatever the session's
 * client_encoding is, and loses nothing; `utf8` refuses what is not UTF-8, as PostgreSQL does.
 */
export type TextEncoding = 'utf8' | 'latin1';

/** What a decoder gives for a message that PostgreSQL, or a client of it, would refuse. */
export interface InvalidMessage {
  readonly kind: 'invalid';
  readonly problem: string;
}

/**
 * Reads the body of one message from its start to its end. The first fault is kept, and all that is read behind
 * it is zero or empty, so that a decoder reads straight on and asks once, by `finish`. The problems are in
 * PostgreSQL's words (pqformat.c). Bytes are given as views of the body and not copied.
 */
export class BodyReader {
  private readonly body: Buffer;
  private readonly encoding: TextEncoding;
  private at = 0;
  private problem: string | null = null;

  constructor(body: Buffer, encoding: TextEncoding) {
    this.body = body;
    this.encoding = encoding;
  }

  fail(problem: string): void {
    this.problem ??= problem;
  }

  uint8(): number {
    return this.has(1) ? this.body[this.at++]! : 0;
  }

  int16(): number {
    if (!this.has(2)) return 0;
    this.at += 2;
    return this.body.readInt16BE(this.at - 2);
  }

  uint16(): number {
    return this.int16() & 0xffff;
  }

  int32(): number {
    if (!this.has(4)) return 0;
    this.at += 4;
    return this.body.readInt32BE(this.at - 4);
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  bytes(count: number): Buffer {
    if (!this.has(count)) return EMPTY;
    this.at += count;
    return this.body.subarray(this.at - count, this.at);
  }

  /** All that is left. */
  rest(): Buffer {
    return this.bytes(this.body.length - this.at);
  }

  /** A text up to its NUL. */
  string(): string {
    const end = this.problem === null ? this.body.indexOf(0, this.at) : -1;
    if (end < 0) {
      this.fail('invalid string in message');
      return '';
    }
    const bytes = this.body.subarray(this.at, end);
    this.at = end + 1;
    if (this.encoding === 'utf8' && !isUtf8(bytes)) {
      this.fail('invalid byte sequence for encoding "UTF8"');
      return '';
    }
    return bytes.toString(this.encoding);
  }

  /** `count` things in a row; fewer where the body ends before. */
  list<T>(count: number, read: () => T): T[] {
    const items: T[] = [];
    for (let i = 0; i < count && this.problem === null; i++) items.push(read());
    return items;
  }

  /** A value with its length before it: -1 is NULL, and no other length may be negative. */
  value(): Buffer | null {
    const length = this.int32();
    return length === -1 ? null : this.bytes(length);
  }

  /** The code of a format: 0 is text, 1 is binary, and there is no other. */
  format(): number {
    const code = this.int16();
    if (code !== 0 && code !== 1) this.fail(`unsupported format code: ${code}`);
    return code;
  }

  /** The message, if all of it could be read and nothing stands behind it. */
  finish<T>(message: T): T | InvalidMessage {
    if (this.problem === null && this.at < this.body.length) this.fail('invalid message format');
    return this.problem === null ? message : { kind: 'invalid', problem: this.problem };
  }

  private has(count: number): boolean {
    if (count < 0 || this.body.length - this.at < count) this.fail('insufficient data left in message');
    return this.problem === null;
  }
}

const EMPTY = Buffer.alloc(0);
