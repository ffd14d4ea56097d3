import { LIMITS } from '../base/limits.ts';

/** Request codes of the messages that have no type byte. */
const CANCEL_REQUEST = 80877102;
const SSL_REQUEST = 80877103;
const GSSENC_REQUEST = 80877104;

export type StartupPacket =
  | { readonly kind: 'ssl-request' }
  | { readonly kind: 'gssenc-request' }
  | { readonly kind: 'cancel-request'; readonly processId: number; readonly secretKey: Buffer }
  | {
      readonly kind: 'startup';
      readonly major: number;
      readonly minor: number;
      /**
       * In the order sent; a name may stand twice, as PostgreSQL allows, and the last one counts. PostgreSQL takes
       * them as bytes of no known encoding, so each character here is one byte (latin1).
       */
      readonly parameters: readonly (readonly [name: string, value: string])[];
    }
  | { readonly kind: 'invalid'; readonly problem: string };

/**
 * How long the startup packet that begins here is, its length word included; null while fewer than four bytes
 * are there, and -1 where PostgreSQL would refuse the length (ProcessStartupPacket).
 */
export function startupPacketLength(bytes: Buffer): number | null {
  if (bytes.length < 4) return null;
  const length = bytes.readUInt32BE(0);
  return length < 8 || length > LIMITS.startupPacketBytes + 4 ? -1 : length;
}

/** Decodes one whole startup packet. Never throws. */
export function decodeStartupPacket(packet: Buffer): StartupPacket {
  if (startupPacketLength(packet) !== packet.length) return invalid('invalid length of startup packet');
  const code = packet.readUInt32BE(4);
  switch (code) {
    case SSL_REQUEST:
      return packet.length === 8 ? { kind: 'ssl-request' } : invalid('SSLRequest of a wrong length');
    case GSSENC_REQUEST:
      return packet.length === 8 ? { kind: 'gssenc-request' } : invalid('GSSENCRequest of a wrong length');
    case CANCEL_REQUEST:
      return decodeCancelRequest(packet);
    default:
      return decodeStartupMessage(packet, code);
  }
}

function decodeCancelRequest(packet: Buffer): StartupPacket {
  const keyBytes = packet.length - 12;
  if (keyBytes < 4 || keyBytes > 256) return invalid('CancelRequest of a wrong length');
  return {
    kind: 'cancel-request',
    processId: packet.readInt32BE(8),
    secretKey: Buffer.from(packet.subarray(12)),
  };
}

function decodeStartupMessage(packet: Buffer, code: number): StartupPacket {
  const major = code >>> 16;
  const minor = code & 0xffff;
  const parameters: [string, string][] = [];
  let at = 8;
  for (;;) {
    const nameEnd = packet.indexOf(0, at);
    if (nameEnd < 0) return invalid('invalid startup packet layout: expected terminator as last byte');
    if (nameEnd === at) break;
    const valueEnd = packet.indexOf(0, nameEnd + 1);
    if (valueEnd < 0) return invalid('invalid startup packet layout: expected terminator as last byte');
    parameters.push([
      packet.toString('latin1', at, nameEnd),
      packet.toString('latin1', nameEnd + 1, valueEnd),
    ]);
    at = valueEnd + 1;
  }
  if (at !== packet.length - 1) {
    return invalid('invalid startup packet layout: expected terminator as last byte');
  }
  return { kind: 'startup', major, minor, parameters };
}

function invalid(problem: string): StartupPacket {
  return { kind: 'invalid', problem };
}

/** The parameters have one character for each byte, as decodeStartupPacket gives them. */
export function encodeStartupMessage(
  major: number,
  minor: number,
  parameters: readonly (readonly [string, string])[],
): Buffer {
  const text = Buffer.from(
    `${parameters.map(([name, value]) => `${name}\0${value}\0`).join('')}\0`,
    'latin1',
  );
  const packet = Buffer.allocUnsafe(8 + text.length);
  packet.writeUInt32BE(packet.length, 0);
  packet.writeUInt32BE(((major << 16) | minor) >>> 0, 4);
  text.copy(packet, 8);
  return packet;
}

export function encodeSslRequest(): Buffer {
  const packet = Buffer.allocUnsafe(8);
  packet.writeUInt32BE(8, 0);
  packet.writeUInt32BE(SSL_REQUEST, 4);
  return packet;
}

export function encodeCancelRequest(processId: number, secretKey: Uint8Array): Buffer {
  const packet = Buffer.allocUnsafe(12 + secretKey.length);
  packet.writeUInt32BE(packet.length, 0);
  packet.writeUInt32BE(CANCEL_REQUEST, 4);
  packet.writeInt32BE(processId, 8);
  packet.set(secretKey, 12);
  return packet;
}
