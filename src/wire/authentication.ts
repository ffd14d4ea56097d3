import { encodeMessage } from './backend.ts';
import { Backend } from './message-type.ts';

/** The code in an Authentication message ("AuthenticationOk" and its kin in the protocol's message formats). */
export const AuthenticationCode = {
  Ok: 0,
  KerberosV5: 2,
  CleartextPassword: 3,
  Md5Password: 5,
  Gss: 7,
  GssContinue: 8,
  Sspi: 9,
  Sasl: 10,
  SaslContinue: 11,
  SaslFinal: 12,
} as const;

/** The code of an Authentication message's body, or -1 where it is too short to have one. */
export function authenticationCode(body: Buffer): number {
  return body.length < 4 ? -1 : body.readUInt32BE(0);
}

/** The mechanisms that AuthenticationSASL offers, or null where the body is malformed. */
export function decodeSaslMechanisms(body: Buffer): readonly string[] | null {
  const names = body.toString('latin1', 4).split('\0');
  // The list ends with an empty name, and that with a NUL of its own.
  if (names.pop() !== '' || names.pop() !== '') return null;
  return names.includes('') ? null : names;
}

export function encodeSaslMechanisms(mechanisms: readonly string[]): Buffer {
  const text = Buffer.from(`${mechanisms.map((name) => `${name}\0`).join('')}\0`, 'latin1');
  const body = Buffer.allocUnsafe(4 + text.length);
  body.writeUInt32BE(AuthenticationCode.Sasl, 0);
  text.copy(body, 4);
  return encodeMessage(Backend.Authentication, body);
}

/**
 * The channel-binding flag of a SASLInitialResponse (RFC 5802, gs2-cbind-flag): `n` the client knows none, `y` it
 * does and believes that the server does not, `p` it binds. Null where the message is malformed.
 */
export function decodeChannelBindingFlag(body: Buffer): 'n' | 'y' | 'p' | null {
  const nameEnd = body.indexOf(0);
  if (nameEnd < 0 || body.length < nameEnd + 6) return null;
  switch (body[nameEnd + 5]) {
    case 0x6e:
      return 'n';
    case 0x79:
      return 'y';
    case 0x70:
      return 'p';
    default:
      return null;
  }
}
