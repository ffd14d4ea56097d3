import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  authenticationCode,
  decodeChannelBindingFlag,
  decodeSaslMechanisms,
  encodeSaslMechanisms,
} from '../../src/wire/authentication.ts';
import { decodePasswordMessage, decodeSaslInitialResponse } from '../../src/wire/authentication-response.ts';
import { decodeErrorFields, sqlstateOf } from '../../src/wire/backend.ts';
import { decodeBackendMessage } from '../../src/wire/backend-message.ts';
import { decodeFrontendMessage } from '../../src/wire/frontend-message.ts';
import { MessageReader } from '../../src/wire/message-reader.ts';
import { HEADER_BYTES } from '../../src/wire/message-type.ts';
import { decodeStartupPacket } from '../../src/wire/startup.ts';
import { cstring, int16, int32 } from '../support/frontend-messages.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const join = (...parts: Buffer[]) => Buffer.concat(parts);
const names = bytes('\0\0');

/** Each is refused by PostgreSQL, and so by the decoder. */
const FRONTEND: readonly (readonly [what: string, type: string, body: Buffer, problem: RegExp])[] = [
  ['a Query without a NUL', 'Q', bytes('SELECT 1'), /invalid string/],
  ['a Query with a NUL inside', 'Q', bytes('SELECT 1\0; DROP TABLE t\0'), /invalid message format/],
  ['a Query of nothing', 'Q', bytes(''), /invalid string/],
  ['a Query that is not UTF-8', 'Q', bytes('SELECT \xff\0'), /invalid byte sequence/],
  ['a Parse without its text', 'P', bytes('s\0'), /invalid string/],
  ['a Parse without a count of types', 'P', bytes('s\0SELECT 1\0'), /insufficient data/],
  ['a Parse with fewer types than it says', 'P', join(names, int16(2), int32(23)), /insufficient data/],
  [
    'a Parse with more types than it says',
    'P',
    join(names, int16(1), int32(23), int32(23)),
    /message format/,
  ],
  ['a Bind with one name', 'B', bytes('p\0s'), /invalid string/],
  ['a Bind without formats', 'B', names, /insufficient data/],
  [
    'a Bind with two formats for three parameters',
    'B',
    join(names, int16(2), int16(0), int16(0), int16(3), int32(-1), int32(-1), int32(-1), int16(0)),
    /2 parameter formats but 3 parameters/,
  ],
  ['a Bind of a third format', 'B', join(names, int16(1), int16(2), int16(0), int16(0)), /format code: 2/],
  [
    'a Bind of a negative length',
    'B',
    join(names, int16(0), int16(1), int32(-2), int16(0)),
    /insufficient data/,
  ],
  [
    'a Bind of a length beyond its end',
    'B',
    join(names, int16(0), int16(1), int32(0x7fff_ffff), int16(0)),
    /insufficient data/,
  ],
  ['a Bind without result formats', 'B', join(names, int16(0), int16(0)), /insufficient data/],
  ['a Bind of a third result format', 'B', join(names, int16(0), int16(0), int16(1), int16(7)), /code: 7/],
  ['a Bind with something behind it', 'B', join(names, int16(0), int16(0), int16(0), int16(0)), /format/],
  ['an Execute without a limit', 'E', bytes('p\0'), /insufficient data/],
  ['an Execute with a short limit', 'E', bytes('p\0\0\0\0'), /insufficient data/],
  ['an Execute with a long limit', 'E', bytes('p\0\0\0\0\0\0'), /invalid message format/],
  ['a Describe of neither', 'D', bytes('X\0'), /DESCRIBE message subtype/],
  ['a Describe of nothing', 'D', bytes(''), /insufficient data/],
  ['a Describe with a lower-case letter', 'D', bytes('s\0'), /DESCRIBE message subtype/],
  ['a Describe without a NUL', 'D', bytes('Sname'), /invalid string/],
  ['a Describe with two names', 'D', bytes('Sa\0b\0'), /invalid message format/],
  ['a Close of neither', 'C', bytes('\0\0'), /CLOSE message subtype/],
  ['a Close without a NUL', 'C', bytes('P'), /invalid string/],
  ['a Sync with a body', 'S', bytes('\0'), /invalid message format/],
  ['a Flush with a body', 'H', bytes('x'), /invalid message format/],
  ['a CopyFail without a NUL', 'f', bytes('why'), /invalid string/],
  ['a FunctionCall without its OID', 'F', bytes('\0\0'), /insufficient data/],
  [
    'a FunctionCall of more arguments than there can be',
    'F',
    join(int32(1), int16(0), int16(101), ...Array.from({ length: 101 }, () => int32(-1)), int16(0)),
    /101 arguments/,
  ],
  [
    'a FunctionCall with two formats for one argument',
    'F',
    join(int32(1), int16(2), int16(0), int16(0), int16(1), int32(-1), int16(0)),
    /2 argument formats but 1 arguments/,
  ],
  [
    'a FunctionCall of a negative length',
    'F',
    join(int32(1), int16(0), int16(1), int32(-5), int16(0)),
    /insufficient data/,
  ],
  ['a FunctionCall of a third format', 'F', join(int32(1), int16(0), int16(0), int16(2)), /format code: 2/],
  ['a password in an open session', 'p', bytes('secret\0'), /invalid frontend message type 112/],
  ['a type that there is not', 'y', bytes(''), /invalid frontend message type 121/],
  ['the type byte zero', '\0', bytes(''), /invalid frontend message type 0/],
];

const BACKEND: readonly (readonly [what: string, type: string, body: Buffer])[] = [
  ['an Authentication without a code', 'R', bytes('\0\0\0')],
  ['an Authentication of an unknown code', 'R', int32(4)],
  ['an AuthenticationOk with a body', 'R', join(int32(0), bytes('x'))],
  ['an AuthenticationMD5Password with a short salt', 'R', join(int32(5), bytes('abc'))],
  ['an AuthenticationMD5Password with a long salt', 'R', join(int32(5), bytes('abcde'))],
  ['an AuthenticationSASL without the end of its list', 'R', join(int32(10), bytes('SCRAM-SHA-256\0'))],
  ['an AuthenticationSASL with something behind it', 'R', join(int32(10), bytes('A\0\0B\0\0'))],
  ['a BackendKeyData with a key of 3 bytes', 'K', join(int32(1), bytes('abc'))],
  ['a BackendKeyData with a key of 257 bytes', 'K', join(int32(1), Buffer.alloc(257))],
  ['a ParseComplete with a body', '1', bytes('x')],
  ['a CommandComplete without a NUL', 'C', bytes('SELECT 1')],
  ['a CommandComplete with two tags', 'C', bytes('SELECT 1\0SELECT 2\0')],
  ['a CopyInResponse of a third format', 'G', join(bytes('\x02'), int16(0))],
  ['a CopyInResponse of text with a binary column', 'G', join(bytes('\0'), int16(1), int16(1))],
  ['a CopyOutResponse with too few columns', 'H', join(bytes('\0'), int16(2), int16(0))],
  ['a DataRow with too few values', 'D', join(int16(2), int32(-1))],
  ['a DataRow with too many values', 'D', join(int16(1), int32(-1), int32(-1))],
  ['a DataRow with a negative length', 'D', join(int16(1), int32(-2))],
  ['a DataRow with a length beyond its end', 'D', join(int16(1), int32(5), bytes('abcd'))],
  ['an ErrorResponse without its end', 'E', bytes('SERROR\0')],
  ['an ErrorResponse with a field that has no NUL', 'E', bytes('SERROR')],
  ['an ErrorResponse with something behind it', 'E', bytes('SERROR\0\0x')],
  ['a NoticeResponse of nothing', 'N', bytes('')],
  ['a FunctionCallResponse shorter than it says', 'V', join(int32(3), bytes('ab'))],
  ['a NegotiateProtocolVersion with fewer options than it says', 'v', join(int32(0x30002), int32(1))],
  ['a NotificationResponse without a payload', 'A', join(int32(1), bytes('channel\0'))],
  ['a ParameterDescription shorter than it says', 't', join(int16(2), int32(23))],
  ['a ParameterStatus without a value', 'S', bytes('name\0')],
  ['a ParameterStatus with something behind it', 'S', bytes('name\0value\0x')],
  ['a ReadyForQuery of an unknown status', 'Z', bytes('X')],
  ['a ReadyForQuery without a status', 'Z', bytes('')],
  ['a ReadyForQuery of two statuses', 'Z', bytes('II')],
  ['a RowDescription with a field cut short', 'T', join(int16(1), cstring('a'), int32(0), int16(0))],
  ['a type that there is not', 'y', bytes('')],
];

describe('a message that PostgreSQL refuses is refused', () => {
  it.each(FRONTEND)('%s', (_what, type, body, problem) => {
    const decoded = decodeFrontendMessage(type.charCodeAt(0), body);
    expect(decoded).toMatchObject({ kind: 'invalid', problem: expect.stringMatching(problem) });
  });

  it.each(BACKEND)('from the server: %s', (_what, type, body) => {
    expect(decodeBackendMessage(type.charCodeAt(0), body).kind).toBe('invalid');
  });
});

describe('random bytes', () => {
  const random = fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array));
  const type = fc.nat({ max: 255 });

  it('are decoded or refused, and never throw', () => {
    fc.assert(
      fc.property(type, random, (code, body) => {
        decodeFrontendMessage(code, body);
        decodeBackendMessage(code, body);
        decodeStartupPacket(body);
        decodeErrorFields(body);
        sqlstateOf(body);
        decodePasswordMessage(body);
        decodeSaslInitialResponse(body);
        decodeSaslMechanisms(body);
        decodeChannelBindingFlag(body);
        authenticationCode(body);
      }),
      { numRuns: 5_000 },
    );
  });

  it('that announce many items cost no more than what is there', () => {
    const body = join(names, int16(0), int16(0xffff));
    const decoded = decodeFrontendMessage('B'.charCodeAt(0), body);
    expect(decoded.kind).toBe('invalid');
  });

  it('make a stream end with the one coded error, or go on', () => {
    fc.assert(
      fc.property(fc.array(random, { maxLength: 8 }), fc.boolean(), (chunks, fromClient) => {
        const reader = new MessageReader(fromClient ? 'frontend' : 'backend', 1 << 16);
        try {
          for (const chunk of chunks) {
            reader.push(chunk);
            while (reader.next() !== null);
          }
        } catch (error) {
          expect(error).toMatchObject({ code: 'PROTOCOL_VIOLATION' });
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('SASL', () => {
  it('lists mechanisms', () => {
    const mechanisms = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'];
    const body = encodeSaslMechanisms(mechanisms).subarray(HEADER_BYTES);
    expect(authenticationCode(body)).toBe(10);
    expect(decodeSaslMechanisms(body)).toEqual(mechanisms);
  });

  it.each<[string, Buffer]>([
    ['no end', join(int32(10), bytes('A\0'))],
    ['no NUL', join(int32(10), bytes('A'))],
    ['something behind its end', join(int32(10), bytes('A\0\0B\0\0'))],
    ['not even a code', bytes('\0')],
  ])('refuses a list with %s', (_what, body) => {
    expect(decodeSaslMechanisms(body)).toBeNull();
  });

  it.each<[string, string | null]>([
    ['n,,n=,r=x', 'n'],
    ['y,,n=,r=x', 'y'],
    ['p=tls-server-end-point,,n=,r=x', 'p'],
    ['x,,n=,r=x', null],
    ['', null],
  ])('reads the channel-binding flag of "%s"', (response, flag) => {
    const body = join(cstring('SCRAM-SHA-256'), int32(response.length), bytes(response));
    expect(decodeChannelBindingFlag(body)).toBe(flag);
  });
});
