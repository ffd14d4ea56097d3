import { AuthenticationCode } from './authentication.ts';
import type { BodyReader, InvalidMessage } from './body-reader.ts';
import type { BodyWriter } from './body-writer.ts';
import { Backend } from './message-type.ts';

/** The Authentication messages, which share a type byte and are told apart by a code. */
export type Authentication = { readonly kind: 'authentication' } & (
  | { readonly method: 'ok' | 'kerberos-v5' | 'cleartext-password' | 'gss' | 'sspi' }
  | { readonly method: 'md5-password'; readonly salt: Buffer }
  | { readonly method: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly method: 'gss-continue' | 'sasl-continue' | 'sasl-final'; readonly data: Buffer }
);

const CODE_OF: Readonly<Record<Authentication['method'], number>> = {
  ok: AuthenticationCode.Ok,
  'kerberos-v5': AuthenticationCode.KerberosV5,
  'cleartext-password': AuthenticationCode.CleartextPassword,
  'md5-password': AuthenticationCode.Md5Password,
  gss: AuthenticationCode.Gss,
  'gss-continue': AuthenticationCode.GssContinue,
  sspi: AuthenticationCode.Sspi,
  sasl: AuthenticationCode.Sasl,
  'sasl-continue': AuthenticationCode.SaslContinue,
  'sasl-final': AuthenticationCode.SaslFinal,
};

export function readAuthentication(reader: BodyReader): Authentication | InvalidMessage {
  return reader.finish<Authentication>({ kind: 'authentication', ...readMethod(reader) });
}

type Method = Authentication extends infer A ? (A extends unknown ? Omit<A, 'kind'> : never) : never;

function readMethod(reader: BodyReader): Method {
  const code = reader.int32();
  switch (code) {
    case AuthenticationCode.Ok:
      return { method: 'ok' };
    case AuthenticationCode.KerberosV5:
      return { method: 'kerberos-v5' };
    case AuthenticationCode.CleartextPassword:
      return { method: 'cleartext-password' };
    case AuthenticationCode.Md5Password:
      return { method: 'md5-password', salt: reader.bytes(4) };
    case AuthenticationCode.Gss:
      return { method: 'gss' };
    case AuthenticationCode.GssContinue:
      return { method: 'gss-continue', data: reader.rest() };
    case AuthenticationCode.Sspi:
      return { method: 'sspi' };
    case AuthenticationCode.Sasl:
      return { method: 'sasl', mechanisms: readMechanisms(reader) };
    case AuthenticationCode.SaslContinue:
      return { method: 'sasl-continue', data: reader.rest() };
    case AuthenticationCode.SaslFinal:
      return { method: 'sasl-final', data: reader.rest() };
    default:
      reader.fail(`an authentication method that PostgreSQL does not have: ${code}`);
      return { method: 'ok' };
  }
}

/** Names up to an empty one. A reader that has failed gives that as well. */
function readMechanisms(reader: BodyReader): string[] {
  const mechanisms: string[] = [];
  for (let name = reader.string(); name !== ''; name = reader.string()) mechanisms.push(name);
  return mechanisms;
}

export function writeAuthentication(writer: BodyWriter, message: Authentication): Buffer {
  writer.int32(CODE_OF[message.method]);
  if ('salt' in message) writer.bytes(message.salt);
  if ('data' in message) writer.bytes(message.data);
  if ('mechanisms' in message) {
    for (const name of message.mechanisms) writer.string(name);
    writer.string('');
  }
  return writer.message(Backend.Authentication);
}
