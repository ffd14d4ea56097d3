import { BodyReader, type InvalidMessage, type TextEncoding } from './body-reader.ts';
import { BodyWriter } from './body-writer.ts';
import { Frontend } from './message-type.ts';

/**
 * What a client answers to an Authentication message. All have the type byte 'p': which one it is follows from what
 * the server asked for, so there is a decoder for each.
 */

export interface PasswordMessage {
  readonly kind: 'password';
  /** As typed, or `md5` and the hash where AuthenticationMD5Password asked. */
  readonly password: string;
}

export interface SaslInitialResponse {
  readonly kind: 'sasl-initial-response';
  readonly mechanism: string;
  readonly response: Buffer | null;
}

/** SASLResponse and GSSResponse are data of their mechanism and nothing else. */
export interface SaslResponse {
  readonly kind: 'sasl-response';
  readonly data: Buffer;
}

export function decodePasswordMessage(
  body: Buffer,
  encoding: TextEncoding = 'utf8',
): PasswordMessage | InvalidMessage {
  const reader = new BodyReader(body, encoding);
  const password = reader.string();
  if (password === '') reader.fail('empty password returned by client');
  return reader.finish({ kind: 'password', password });
}

export function decodeSaslInitialResponse(body: Buffer): SaslInitialResponse | InvalidMessage {
  const reader = new BodyReader(body, 'utf8');
  return reader.finish({
    kind: 'sasl-initial-response',
    mechanism: reader.string(),
    response: reader.value(),
  });
}

export function decodeSaslResponse(body: Buffer): SaslResponse {
  return { kind: 'sasl-response', data: body };
}

export function encodeAuthenticationResponse(
  message: PasswordMessage | SaslInitialResponse | SaslResponse,
  encoding: TextEncoding = 'utf8',
): Buffer {
  const writer = new BodyWriter(encoding);
  switch (message.kind) {
    case 'password':
      return writer.string(message.password).message(Frontend.Password);
    case 'sasl-initial-response':
      return writer.string(message.mechanism).value(message.response).message(Frontend.Password);
    case 'sasl-response':
      return writer.bytes(message.data).message(Frontend.Password);
    default:
      return message satisfies never;
  }
}
