import { describe, expect, it } from 'vitest';
import {
  decodeStartupPacket,
  encodeCancelRequest,
  encodeSslRequest,
  encodeStartupMessage,
  startupPacketLength,
} from '../../src/wire/startup.ts';
import {
  cancelRequest,
  cstring,
  gssEncryptionRequest,
  int32,
  PROTOCOL_3_0,
  PROTOCOL_3_2,
  sslRequest,
  startup,
  startupPacket,
} from '../support/frontend-messages.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');

describe('the length of a startup packet', () => {
  it('is not known before four bytes have come', () => {
    for (let count = 0; count < 4; count++) expect(startupPacketLength(Buffer.alloc(count))).toBeNull();
  });

  it.each([
    [0, -1],
    [4, -1],
    [7, -1],
    [8, 8],
    [10_004, 10_004],
    [10_005, -1],
    [0x7fff_ffff, -1],
    [-1, -1],
  ])('%d is read as %d', (length, read) => {
    expect(startupPacketLength(int32(length))).toBe(read);
  });
});

describe('requests without a type byte', () => {
  it('are told apart', () => {
    expect(decodeStartupPacket(sslRequest())).toEqual({ kind: 'ssl-request' });
    expect(decodeStartupPacket(gssEncryptionRequest())).toEqual({ kind: 'gssenc-request' });
    expect(encodeSslRequest()).toEqual(sslRequest());
  });

  it('have nothing behind their code', () => {
    for (const code of [80877103, 80877104]) {
      const packet = startupPacket(Buffer.concat([int32(code), bytes('x')]));
      expect(decodeStartupPacket(packet).kind).toBe('invalid');
    }
  });

  it.each([4, 5, 32, 255, 256])('a cancel key of %d bytes is taken', (count) => {
    const secretKey = Buffer.alloc(count, 0xa5);
    const packet = cancelRequest(-7, secretKey);
    expect(decodeStartupPacket(packet)).toEqual({ kind: 'cancel-request', processId: -7, secretKey });
    expect(encodeCancelRequest(-7, secretKey)).toEqual(packet);
  });

  it.each([0, 3, 257, 1000])('a cancel key of %d bytes is refused', (count) => {
    expect(decodeStartupPacket(cancelRequest(1, Buffer.alloc(count))).kind).toBe('invalid');
  });

  it('a CancelRequest without a process is refused', () => {
    expect(decodeStartupPacket(startupPacket(int32(80877102))).kind).toBe('invalid');
  });

  it('a packet of another length than it says is refused', () => {
    const packet = sslRequest();
    expect(decodeStartupPacket(packet.subarray(0, 7)).kind).toBe('invalid');
    expect(decodeStartupPacket(Buffer.concat([packet, bytes('x')])).kind).toBe('invalid');
    expect(decodeStartupPacket(Buffer.alloc(0)).kind).toBe('invalid');
  });
});

describe('a StartupMessage', () => {
  it('gives its version and its parameters in order', () => {
    for (const [protocol, minor] of [
      [PROTOCOL_3_0, 0],
      [PROTOCOL_3_2, 2],
      [0x0003_270f, 9999],
    ] as const) {
      const packet = startup({ user: 'anna', database: 'shop', application_name: '' }, protocol);
      const parameters = [
        ['user', 'anna'],
        ['database', 'shop'],
        ['application_name', ''],
      ] as const;
      expect(decodeStartupPacket(packet)).toEqual({ kind: 'startup', major: 3, minor, parameters });
      expect(encodeStartupMessage(3, minor, parameters)).toEqual(packet);
    }
  });

  it('keeps a parameter that stands twice, both times', () => {
    const body = Buffer.concat([
      int32(PROTOCOL_3_0),
      cstring('user'),
      cstring('anna'),
      cstring('user'),
      cstring('postgres'),
      bytes('\0'),
    ]);
    expect(decodeStartupPacket(startupPacket(body))).toMatchObject({
      parameters: [
        ['user', 'anna'],
        ['user', 'postgres'],
      ],
    });
  });

  it('may have no parameters: the server asks for the user itself', () => {
    const packet = startupPacket(Buffer.concat([int32(PROTOCOL_3_0), bytes('\0')]));
    expect(decodeStartupPacket(packet)).toMatchObject({ kind: 'startup', parameters: [] });
  });

  it.each<[string, string]>([
    ['nothing behind the version', ''],
    ['no terminator', 'user\0anna\0'],
    ['a name without a value', 'user\0'],
    ['a value that is the terminator', 'user\0\0'],
    ['a name without a NUL', 'user'],
    ['a value without a NUL', 'user\0anna'],
    ['something behind the terminator', 'user\0anna\0\0x'],
    ['a second terminator', 'user\0anna\0\0\0'],
  ])('with %s is refused', (_what, rest) => {
    const packet = startupPacket(Buffer.concat([int32(PROTOCOL_3_0), bytes(rest)]));
    expect(decodeStartupPacket(packet)).toEqual({
      kind: 'invalid',
      problem: 'invalid startup packet layout: expected terminator as last byte',
    });
  });

  it('of the longest length is taken', () => {
    const value = 'x'.repeat(10_004 - 8 - 'user\0'.length - 2);
    const packet = startup({ user: value });
    expect(packet.length).toBe(10_004);
    expect(decodeStartupPacket(packet)).toMatchObject({ parameters: [['user', value]] });
  });
});
