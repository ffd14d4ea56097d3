import { textToBytes } from './client-encoding.ts';
import { Backend } from './message-type.ts';

/**
 * The backend messages that the gateway reads or originates itself; all others are forwarded as they came. Every
 * decoder takes the message's body without its header, and returns null where the body is malformed.
 */

/** Fields of an ErrorResponse or NoticeResponse by their one-letter codes ("Error and Notice Message Fields"). */
export type ErrorFields = Readonly<Record<string, string>>;

export function decodeErrorFields(body: Buffer): ErrorFields | null {
  const fields: Record<string, string> = {};
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) return null;
    fields[String.fromCharCode(body[at]!)] = body.toString('utf8', at + 1, end);
    at = end + 1;
  }
  return at === body.length - 1 ? fields : null;
}

export function encodeReadyForQuery(status: 'I' | 'T' | 'E'): Buffer {
  return encodeMessage(Backend.ReadyForQuery, Buffer.from(status, 'latin1'));
}

/** `encoding` is what the client reads, as PostgreSQL names it; null is ASCII alone. */
export function encodeErrorResponse(fields: ErrorFields, encoding: string | null): Buffer {
  return encodeFields(Backend.ErrorResponse, fields, encoding);
}

export function encodeNoticeResponse(fields: ErrorFields, encoding: string | null): Buffer {
  return encodeFields(Backend.NoticeResponse, fields, encoding);
}

function encodeFields(type: number, fields: ErrorFields, encoding: string | null): Buffer {
  let text = '';
  // A NUL ends a field on the wire, so none may stand inside one.
  for (const [code, value] of Object.entries(fields)) text += `${code}${value.replaceAll('\0', '')}\0`;
  return encodeMessage(type, textToBytes(`${text}\0`, encoding));
}

/** The beginning of an ErrorResponse's or NoticeResponse's body as a whole one; its last field may end early. */
export function cutErrorFields(head: Buffer): Buffer {
  const inField = head.length > 0 && head[head.length - 1] !== 0;
  return Buffer.concat([head, Buffer.alloc(inField ? 2 : 1)]);
}

/** Whether an ErrorResponse, of which the head suffices, is the last that its connection says. */
export function isFatalError(body: Buffer): boolean {
  let severity = '';
  for (let at = 0; at < body.length && body[at] !== 0; ) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) break;
    // V is S in English, whatever the language of the messages, and follows it.
    if (body[at] === 0x56 /* V */ || (body[at] === 0x53 /* S */ && severity === ''))
      severity = body.latin1Slice(at + 1, end);
    at = end + 1;
  }
  return severity === 'FATAL' || severity === 'PANIC';
}

/** SQLSTATE of an ErrorResponse or NoticeResponse, or null where it has none. */
export function sqlstateOf(body: Buffer): string | null {
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) return null;
    if (body[at] === 0x43 /* C */) return end - at - 1 === 5 ? body.toString('latin1', at + 1, end) : null;
    at = end + 1;
  }
  return null;
}

export function decodeParameterStatus(
  body: Buffer,
): { readonly name: string; readonly value: string } | null {
  const nameEnd = body.indexOf(0);
  if (nameEnd < 0) return null;
  const valueEnd = body.indexOf(0, nameEnd + 1);
  if (valueEnd !== body.length - 1) return null;
  return { name: body.toString('utf8', 0, nameEnd), value: body.toString('utf8', nameEnd + 1, valueEnd) };
}

export function decodeBackendKeyData(
  body: Buffer,
): { readonly processId: number; readonly secretKey: Buffer } | null {
  if (body.length < 8 || body.length > 4 + 256) return null;
  return { processId: body.readInt32BE(0), secretKey: Buffer.from(body.subarray(4)) };
}

/**
 * How many rows a CommandComplete reports: the number its tag ends with (`SELECT 5`, `INSERT 0 5`), or -1 where
 * the tag has none. `start` and `end` bound the body, of which the last byte is the tag's NUL.
 */
export function rowsOfCommandTag(bytes: Uint8Array, start: number, end: number): number {
  let at = end - 2;
  let rows = 0;
  let scale = 1;
  while (at >= start) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) break;
    rows += digit * scale;
    scale *= 10;
    at--;
  }
  return scale === 1 ? -1 : rows;
}

/**
 * NegotiateProtocolVersion. PostgreSQL sends the whole version number although the documentation says that it is
 * the minor version; clients expect what PostgreSQL sends. The names of options are the client's own bytes, one
 * character each.
 */
export function encodeNegotiateProtocolVersion(
  major: number,
  minor: number,
  unknownOptions: readonly string[],
): Buffer {
  const names = Buffer.from(unknownOptions.map((name) => `${name}\0`).join(''), 'latin1');
  const body = Buffer.allocUnsafe(8 + names.length);
  body.writeUInt32BE(((major << 16) | minor) >>> 0, 0);
  body.writeInt32BE(unknownOptions.length, 4);
  names.copy(body, 8);
  return encodeMessage(Backend.NegotiateProtocolVersion, body);
}

export function decodeNegotiateProtocolVersion(
  body: Buffer,
): { readonly major: number; readonly minor: number; readonly unknownOptions: readonly string[] } | null {
  if (body.length < 8) return null;
  const version = body.readUInt32BE(0);
  const names = body.toString('latin1', 8).split('\0');
  if (names.pop() !== '' || names.length !== body.readInt32BE(4)) return null;
  return { major: version >>> 16, minor: version & 0xffff, unknownOptions: names };
}

export function encodeMessage(type: number, body: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(5 + body.length);
  message[0] = type;
  message.writeUInt32BE(4 + body.length, 1);
  message.set(body, 5);
  return message;
}
