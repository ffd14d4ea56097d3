import { describe, expect, it } from 'vitest';
import { isBackendHeaderValid, isFrontendHeaderValid, lengthAt } from '../../src/wire/frame.ts';
import { Backend } from '../../src/wire/message-type.ts';

/** PQ_LARGE_MESSAGE_LIMIT and PQ_SMALL_MESSAGE_LIMIT of PostgreSQL's libpq.h, as SocketBackend gives them out. */
const LARGE = 0x3fff_fffe;
const SMALL = 10_000;
const FRONTEND_MAX: Readonly<Record<string, number>> = {
  Q: LARGE,
  P: LARGE,
  B: LARGE,
  F: LARGE,
  d: LARGE,
  C: SMALL,
  D: SMALL,
  E: SMALL,
  H: SMALL,
  S: SMALL,
  X: SMALL,
  c: SMALL,
  f: SMALL,
};

describe('a header from a client', () => {
  it.each(Object.entries(FRONTEND_MAX))('of type %s is valid from 4 to %d', (letter, max) => {
    const type = letter.charCodeAt(0);
    expect(isFrontendHeaderValid(type, 3)).toBe(false);
    expect(isFrontendHeaderValid(type, 4)).toBe(true);
    expect(isFrontendHeaderValid(type, max)).toBe(true);
    expect(isFrontendHeaderValid(type, max + 1)).toBe(false);
    expect(isFrontendHeaderValid(type, 0xffff_ffff)).toBe(false);
  });

  it('of any other type is not valid, that of the login included', () => {
    for (let type = 0; type < 256; type++) {
      const known = String.fromCharCode(type) in FRONTEND_MAX;
      expect([type, isFrontendHeaderValid(type, 4)]).toEqual([type, known]);
    }
  });
});

describe('a header from a server', () => {
  it('is valid for the types of the protocol alone', () => {
    const known = new Set<number>(Object.values(Backend));
    for (let type = 0; type < 256; type++) {
      expect([type, isBackendHeaderValid(type, 4)]).toEqual([type, known.has(type)]);
      expect(isBackendHeaderValid(type, 3)).toBe(false);
      expect(isBackendHeaderValid(type, 0x8000_0000)).toBe(false);
    }
  });
});

describe('a length word', () => {
  it.each([0, 4, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])('%d is read as unsigned', (length) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(length, 3);
    expect(lengthAt(bytes, 2)).toBe(length);
  });
});
