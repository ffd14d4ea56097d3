import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodePasswordMessage,
  decodeSaslInitialResponse,
  decodeSaslResponse,
  encodeAuthenticationResponse,
} from '../../src/wire/authentication-response.ts';
import { decodeBackendMessage, encodeBackendMessage } from '../../src/wire/backend-message.ts';
import { isBackendHeaderValid, isFrontendHeaderValid, lengthAt } from '../../src/wire/frame.ts';
import { decodeFrontendMessage, encodeFrontendMessage } from '../../src/wire/frontend-message.ts';
import { MessageReader } from '../../src/wire/message-reader.ts';
import { Backend, Frontend, HEADER_BYTES } from '../../src/wire/message-type.ts';
import { BACKEND, FRONTEND } from './generated.ts';

/** fast-check prints the seed and the smallest counterexample of a property that fails. */
const RUNS = { numRuns: 150 };

describe('every frontend message', () => {
  it.each(Object.entries(FRONTEND))('%s survives being encoded and decoded', (_kind, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        const bytes = encodeFrontendMessage(message);
        const length = lengthAt(bytes, 0);
        expect(length).toBe(bytes.length - 1);
        expect(isFrontendHeaderValid(bytes[0]!, length)).toBe(true);
        expect(decodeFrontendMessage(bytes[0]!, bytes.subarray(HEADER_BYTES))).toEqual(message);
      }),
      RUNS,
    );
  });

  it.each(Object.entries(FRONTEND))('%s is refused when cut short or lengthened', (kind, arbitrary) => {
    if (kind === 'copy-data') return; // Any bytes are COPY data.
    fc.assert(
      fc.property(arbitrary, fc.nat(), (message, cut) => {
        const bytes = encodeFrontendMessage(message);
        const body = bytes.subarray(HEADER_BYTES);
        const longer = Buffer.concat([body, Buffer.from([0])]);
        expect(decodeFrontendMessage(bytes[0]!, longer).kind).toBe('invalid');
        if (body.length === 0) return;
        const shorter = body.subarray(0, cut % body.length);
        expect(decodeFrontendMessage(bytes[0]!, shorter).kind).toBe('invalid');
      }),
      RUNS,
    );
  });

  it('has a decoder for each type byte but that of the login', () => {
    for (const [name, type] of Object.entries(Frontend)) {
      const decoded = decodeFrontendMessage(type, Buffer.alloc(0));
      const unknown =
        decoded.kind === 'invalid' && decoded.problem.startsWith('invalid frontend message type');
      expect([name, unknown]).toEqual([name, name === 'Password']);
    }
  });
});

describe('every backend message', () => {
  it.each(Object.entries(BACKEND))('%s survives being encoded and decoded', (_kind, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        const bytes = encodeBackendMessage(message);
        const length = lengthAt(bytes, 0);
        expect(length).toBe(bytes.length - 1);
        expect(isBackendHeaderValid(bytes[0]!, length)).toBe(true);
        expect(decodeBackendMessage(bytes[0]!, bytes.subarray(HEADER_BYTES))).toEqual(message);
      }),
      RUNS,
    );
  });

  it('has a decoder for each type byte', () => {
    for (const type of Object.values(Backend)) {
      const decoded = decodeBackendMessage(type, Buffer.alloc(0));
      expect(decoded).not.toMatchObject({ problem: `invalid backend message type ${type}` });
    }
  });
});

describe('the answers to authentication', () => {
  const body = (bytes: Buffer) => bytes.subarray(HEADER_BYTES);

  it('survive being encoded and decoded', () => {
    const response = { kind: 'sasl-initial-response', mechanism: 'SCRAM-SHA-256' } as const;
    for (const data of [null, Buffer.alloc(0), Buffer.from('n,,n=,r=abc')]) {
      const message = { ...response, response: data };
      expect(decodeSaslInitialResponse(body(encodeAuthenticationResponse(message)))).toEqual(message);
    }
    const password = { kind: 'password', password: 'pä$$' } as const;
    expect(decodePasswordMessage(body(encodeAuthenticationResponse(password)))).toEqual(password);
    const sasl = { kind: 'sasl-response', data: Buffer.from('c=biws,r=abc') } as const;
    expect(decodeSaslResponse(body(encodeAuthenticationResponse(sasl)))).toEqual(sasl);
  });

  it.each<[string, Buffer]>([
    ['no NUL', Buffer.from('secret')],
    ['something behind the NUL', Buffer.from('secret\0x')],
    ['an empty password', Buffer.from('\0')],
    ['nothing', Buffer.alloc(0)],
  ])('a password with %s is refused', (_what, bytes) => {
    expect(decodePasswordMessage(bytes).kind).toBe('invalid');
  });

  it.each<[string, Buffer]>([
    ['no length', Buffer.from('SCRAM-SHA-256\0')],
    ['a length below -1', Buffer.from('S\0\xff\xff\xff\xfe', 'latin1')],
    ['less data than announced', Buffer.from('S\0\0\0\0\x05abcd', 'latin1')],
    ['more data than announced', Buffer.from('S\0\0\0\0\x03abcd', 'latin1')],
    ['data behind no response', Buffer.from('S\0\xff\xff\xff\xffa', 'latin1')],
  ])('a SASLInitialResponse with %s is refused', (_what, bytes) => {
    expect(decodeSaslInitialResponse(bytes).kind).toBe('invalid');
  });
});

describe('texts', () => {
  it('that are not UTF-8 are refused as UTF-8 and kept as Latin-1', () => {
    const body = Buffer.from("SELECT '\xe4'\0", 'latin1');
    expect(decodeFrontendMessage(Frontend.Query, body).kind).toBe('invalid');
    const decoded = decodeFrontendMessage(Frontend.Query, body, 'latin1');
    expect(decoded).toEqual({ kind: 'query', query: "SELECT '\xe4'" });
    if (decoded.kind === 'query') {
      expect(encodeFrontendMessage(decoded, 'latin1').subarray(HEADER_BYTES)).toEqual(body);
    }
  });

  it('with a NUL are never written', () => {
    expect(() => encodeFrontendMessage({ kind: 'query', query: 'SELECT 1\0; DROP TABLE t' })).toThrow(/NUL/);
  });
});

describe('MessageReader', () => {
  const frontend = fc.array(fc.oneof(...Object.values(FRONTEND)), { minLength: 1, maxLength: 8 });

  it('gives the same messages however the stream is cut', () => {
    fc.assert(
      fc.property(frontend, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (messages, cuts) => {
        const stream = Buffer.concat(messages.map((message) => encodeFrontendMessage(message)));
        const reader = new MessageReader('frontend', 1 << 20);
        const read: unknown[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length]!;
          reader.push(stream.subarray(at, at + size));
          at += size;
          for (let raw = reader.next(); raw !== null; raw = reader.next()) {
            read.push(decodeFrontendMessage(raw.type, raw.body));
          }
        }
        expect(read).toEqual(messages);
        expect(reader.pendingBytes).toBe(0);
      }),
      RUNS,
    );
  });

  it('refuses a header that is not valid, or a message above its limit, and stays broken', () => {
    for (const header of [
      [0x51, 0, 0, 0, 3],
      [0x51, 0xff, 0xff, 0xff, 0xff],
      [0x79, 0, 0, 0, 4],
      [0x51, 0, 0, 0x10, 0],
    ]) {
      const reader = new MessageReader('frontend', 4096);
      reader.push(Buffer.from(header));
      expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
      reader.push(encodeFrontendMessage({ kind: 'sync' }));
      expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
    }
  });

  it('takes a message that is as long as the limit', () => {
    const reader = new MessageReader('backend', 4096);
    const longest = encodeBackendMessage({ kind: 'copy-data', data: Buffer.alloc(4091) });
    reader.push(longest);
    expect(reader.next()?.body.length).toBe(4091);
  });
});
