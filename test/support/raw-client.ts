import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import * as fe from './frontend-messages.ts';

export interface BackendMessage {
  readonly type: string;
  readonly body: Buffer;
}

/** How a connection stands: open, closed in order by the other side, or torn down. */
export type ConnectionEnd = 'open' | 'end' | 'reset';

export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

const DEADLINE_MS = 10_000;

/**
 * A PostgreSQL client that does only what it is told: it writes the bytes given and cuts what comes back into
 * messages. Nothing waits longer than a deadline, so that a hang of the other side is a failure with a name.
 */
export class RawClient {
  readonly stream: Duplex;
  /** Messages received and not yet taken. */
  readonly inbox: BackendMessage[] = [];
  received = 0;
  receivedBytes = 0;
  end: ConnectionEnd = 'open';
  /** Bytes that are no complete message; complete on purpose only when the other side was cut off. */
  rest: Buffer = Buffer.alloc(0);
  processId = 0;
  secretKey: Buffer = Buffer.alloc(0);
  readonly parameters: Record<string, string> = {};
  #wakers: (() => void)[] = [];
  /** Bytes are expected raw (the answer to SSLRequest) while true. */
  #raw = false;

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
      if (!this.#raw) this.#cut();
      this.#wake();
    });
    stream.on('end', () => {
      if (this.end === 'open') this.end = 'end';
      this.#wake();
    });
    stream.on('error', () => {
      if (this.end === 'open') this.end = 'reset';
      this.#wake();
    });
    stream.on('close', () => {
      if (this.end === 'open') this.end = 'reset';
      this.#wake();
    });
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    return new RawClient(await openSocket(port, host));
  }

  /** Connects, starts a session and waits until the server is ready. */
  static async open(port: number, parameters: Record<string, string> = {}): Promise<RawClient> {
    const client = await RawClient.connect(port);
    client.write(fe.startup({ user: 'postgres', database: 'postgres', ...parameters }));
    const messages = await client.untilReady();
    const error = messages.find((m) => m.type === 'E');
    if (error !== undefined) throw new Error(`startup failed: ${JSON.stringify(fieldsOf(error))}`);
    return client;
  }

  write(...parts: Buffer[]): void {
    if (this.stream.destroyed || this.stream.writableEnded) return;
    this.stream.write(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
  }

  /** Writes the bytes in pieces of the given sizes, the last one repeated, each a packet of its own. */
  async writeSplit(bytes: Buffer, sizes: readonly number[]): Promise<void> {
    let at = 0;
    for (let i = 0; at < bytes.length; i++) {
      const size = Math.max(1, sizes[Math.min(i, sizes.length - 1)]!);
      this.write(bytes.subarray(at, at + size));
      at += size;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Reads bytes that are no message, such as the single letter that answers SSLRequest. */
  async rawBytes(length: number, deadlineMs = DEADLINE_MS): Promise<Buffer> {
    this.#raw = true;
    try {
      await this.#until(() => this.rest.length >= length || this.end !== 'open', deadlineMs, 'raw bytes');
      const out = this.rest.subarray(0, length);
      this.rest = this.rest.subarray(length);
      return out;
    } finally {
      this.#raw = false;
      this.#cut();
    }
  }

  /** The next message, or null where the connection ended before one came. */
  async next(deadlineMs = DEADLINE_MS): Promise<BackendMessage | null> {
    await this.#until(() => this.inbox.length > 0 || this.end !== 'open', deadlineMs, 'a message');
    return this.inbox.shift() ?? null;
  }

  /** Every message up to the first of this type, which is included; what came if the connection ends before. */
  async until(type: string, deadlineMs = DEADLINE_MS): Promise<BackendMessage[]> {
    const out: BackendMessage[] = [];
    const deadline = performance.now() + deadlineMs;
    while (true) {
      const message = await this.next(Math.max(1, deadline - performance.now())).catch((error: unknown) => {
        throw new DeadlineError(`no ${type} within ${deadlineMs} ms after ${describeAll(out)}`, {
          cause: error,
        });
      });
      if (message === null) return out;
      out.push(message);
      if (message.type === type) return out;
    }
  }

  untilReady(deadlineMs = DEADLINE_MS): Promise<BackendMessage[]> {
    return this.until('Z', deadlineMs);
  }

  /** Everything until the other side closes. */
  async untilEnd(deadlineMs = DEADLINE_MS): Promise<BackendMessage[]> {
    await this.#until(() => this.end !== 'open', deadlineMs, 'the end of the connection');
    return this.inbox.splice(0);
  }

  /** Waits until so many messages came in all, or the connection ended. */
  async untilCount(count: number, deadlineMs = DEADLINE_MS): Promise<boolean> {
    await this.#until(() => this.received >= count || this.end !== 'open', deadlineMs, `${count} messages`);
    return this.received >= count;
  }

  /** Waits for the nth message of a type without taking any from the inbox. */
  async untilCountWithType(type: string, count: number, deadlineMs = DEADLINE_MS): Promise<void> {
    const seen = () => this.inbox.filter((m) => m.type === type).length;
    await this.#until(() => this.end !== 'open' || seen() >= count, deadlineMs, `${count} of ${type}`);
  }

  /** Waits for a row that holds the text, and for the ReadyForQuery after it, taking none from the inbox. */
  async untilMark(mark: string, deadlineMs = DEADLINE_MS): Promise<void> {
    const marked = () => {
      const n = this.inbox.length;
      return n >= 3 && this.inbox[n - 1]!.type === 'Z' && this.inbox[n - 3]!.body.includes(mark);
    };
    await this.#until(() => this.end !== 'open' || marked(), deadlineMs, `the row '${mark}'`);
  }

  async untilClosed(deadlineMs = DEADLINE_MS): Promise<void> {
    await this.#until(() => this.end !== 'open', deadlineMs, 'the end of the connection');
  }

  /** Waits until nothing came for so long. */
  async untilQuiet(quietMs: number, deadlineMs = DEADLINE_MS): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    let seen = -1;
    while (seen !== this.receivedBytes && this.end === 'open' && performance.now() < deadline) {
      seen = this.receivedBytes;
      await new Promise((resolve) => setTimeout(resolve, quietMs));
    }
  }

  async query(sql: fe.Text, deadlineMs = DEADLINE_MS): Promise<BackendMessage[]> {
    this.write(fe.query(sql));
    return this.untilReady(deadlineMs);
  }

  /** Runs a simple Query that must succeed and gives its rows as text. */
  async rows(sql: string, deadlineMs = DEADLINE_MS): Promise<(string | null)[][]> {
    const messages = await this.query(sql, deadlineMs);
    const error = messages.find((m) => m.type === 'E');
    if (error !== undefined) throw new Error(`${sql}: ${JSON.stringify(fieldsOf(error))}`);
    return messages.filter((m) => m.type === 'D').map((m) => columnsOf(m));
  }

  /** Shuts down the writing side only. */
  halfClose(): void {
    this.stream.end();
  }

  /** Says goodbye and waits until the other side has closed. */
  async terminate(deadlineMs = DEADLINE_MS): Promise<void> {
    this.write(fe.terminate());
    await this.#until(() => this.end !== 'open', deadlineMs, 'the end after Terminate');
    this.stream.destroy();
  }

  destroy(): void {
    this.stream.destroy();
  }

  /** Vanishes with RST instead of FIN. */
  reset(): void {
    (this.stream as Socket).resetAndDestroy();
  }

  #cut(): void {
    let at = 0;
    const rest = this.rest;
    while (rest.length - at >= 5) {
      const length = rest.readUInt32BE(at + 1);
      if (rest.length - at < length + 1) break;
      const type = String.fromCharCode(rest[at]!);
      const body = rest.subarray(at + 5, at + 1 + length);
      at += length + 1;
      if (type === 'K') {
        this.processId = body.readUInt32BE(0);
        this.secretKey = Buffer.from(body.subarray(4));
      } else if (type === 'S') {
        const [name, value] = body.toString('utf8').split('\0');
        this.parameters[name!] = value!;
      }
      this.received++;
      this.inbox.push({ type, body });
    }
    if (at > 0) this.rest = rest.subarray(at);
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }

  async #until(condition: () => boolean, deadlineMs: number, what: string): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    while (!condition()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new DeadlineError(`waited ${deadlineMs} ms for ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wakers.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}

export async function openSocket(port: number, host = '127.0.0.1'): Promise<Socket> {
  return await new Promise<Socket>((resolve, reject) => {
    const socket = connectTcp({ port, host, allowHalfOpen: true, noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

/** Sends a CancelRequest and waits until the other side has closed, as libpq does. */
export async function cancel(port: number, processId: number, key: Buffer): Promise<void> {
  const client = await RawClient.connect(port);
  client.write(fe.cancelRequest(processId, key));
  await client.untilEnd();
  client.destroy();
}

/** The fields of an ErrorResponse or NoticeResponse by their letters. */
export function fieldsOf(message: BackendMessage): Record<string, string> {
  const out: Record<string, string> = {};
  let at = 0;
  while (at < message.body.length && message.body[at] !== 0) {
    const end = message.body.indexOf(0, at + 1);
    out[String.fromCharCode(message.body[at]!)] = message.body.toString('utf8', at + 1, end);
    at = end + 1;
  }
  return out;
}

/** The columns of a DataRow as text. */
export function columnsOf(message: BackendMessage): (string | null)[] {
  const out: (string | null)[] = [];
  let at = 2;
  for (let i = message.body.readUInt16BE(0); i > 0; i--) {
    const length = message.body.readInt32BE(at);
    at += 4;
    out.push(length < 0 ? null : message.body.toString('utf8', at, at + length));
    at += Math.max(0, length);
  }
  return out;
}

export function errorsOf(messages: readonly BackendMessage[]): Record<string, string>[] {
  return messages.filter((m) => m.type === 'E').map(fieldsOf);
}

export function statusOf(messages: readonly BackendMessage[]): string {
  const ready = messages.findLast((m) => m.type === 'Z');
  return ready === undefined ? 'no ReadyForQuery' : String.fromCharCode(ready.body[0]!);
}

/** One line a message, for people who read a failure. */
export function describeMessage(message: BackendMessage): string {
  const { type, body } = message;
  switch (type) {
    case 'E':
    case 'N':
      return `${type} ${JSON.stringify(fieldsOf(message))}`;
    case 'Z':
      return `Z ${String.fromCharCode(body[0]!)}`;
    case 'D':
      return `D ${JSON.stringify(columnsOf(message)).slice(0, 200)}`;
    case 'C':
    case 'S':
      return `${type} ${JSON.stringify(body.toString('latin1').slice(0, 200))}`;
    default:
      return `${type} ${body.length > 64 ? `${body.length} bytes` : body.toString('hex')}`;
  }
}

export function describeAll(messages: readonly BackendMessage[]): string {
  return messages.map(describeMessage).join('\n');
}
