import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeBackendKeyData,
  decodeErrorFields,
  decodeNegotiateProtocolVersion,
  decodeParameterStatus,
  encodeErrorResponse,
  encodeNegotiateProtocolVersion,
  encodeNoticeResponse,
  rowsOfCommandTag,
  sqlstateOf,
} from '../../src/wire/backend.ts';
import {
  bindParameterCount,
  encodeDescribe,
  encodeExecute,
  encodeQuery,
  isParseTailValid,
  queryTextEnd,
  stringEnd,
} from '../../src/wire/frontend.ts';
import { encodeFrontendMessage } from '../../src/wire/frontend-message.ts';
import { HEADER_BYTES } from '../../src/wire/message-type.ts';
import * as fe from '../support/frontend-messages.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const body = (message: Buffer) => message.subarray(HEADER_BYTES);

describe('rows of a command tag', () => {
  it.each<[string, number]>([
    ['SELECT 5', 5],
    ['SELECT 0', 0],
    ['INSERT 0 5', 5],
    ['INSERT 16384 1', 1],
    ['UPDATE 1234567', 1_234_567],
    ['DELETE 0', 0],
    ['MERGE 3', 3],
    ['COPY 4294967296', 4_294_967_296],
    ['FETCH 10', 10],
    ['MOVE 2', 2],
    ['CREATE TABLE AS', -1],
    ['CREATE TABLE', -1],
    ['BEGIN', -1],
    ['DO', -1],
    ['', -1],
  ])('"%s" has %d', (tag, rows) => {
    const message = Buffer.concat([bytes('xxxx9'), bytes(`${tag}\0`)]);
    // What stands before the body does not count, digits included.
    expect(rowsOfCommandTag(message, 5, message.length)).toBe(rows);
  });
});

describe('error fields', () => {
  it('are read and written in order', () => {
    const fields = { S: 'FEHLER', V: 'ERROR', C: '42501', M: 'kein Zugriff – nein', H: 'fragen' };
    const message = encodeErrorResponse(fields, 'UTF8');
    expect(message[0]).toBe(0x45);
    expect(decodeErrorFields(body(message))).toEqual(fields);
    expect(encodeNoticeResponse(fields, 'UTF8')[0]).toBe(0x4e);
  });

  it('never carry a NUL out of one field into the next', () => {
    const message = encodeErrorResponse({ S: 'ERROR', M: 'a\0VFATAL', C: '42601' }, 'UTF8');
    expect(decodeErrorFields(body(message))).toEqual({ S: 'ERROR', M: 'aVFATAL', C: '42601' });
  });

  it.each<[string, string, string | null]>([
    ['in the middle', 'SERROR\0C42P05\0Mno\0\0', '42P05'],
    ['alone', 'C00000\0\0', '00000'],
    ['missing', 'SERROR\0Mno C42P05\0\0', null],
    ['too short', 'C4250\0\0', null],
    ['too long', 'C425010\0\0', null],
    ['without its NUL', 'C42501', null],
    ['behind the end', '\0C42501\0\0', null],
  ])('the SQLSTATE %s', (_where, fields, sqlstate) => {
    expect(sqlstateOf(bytes(fields))).toBe(sqlstate);
  });
});

describe('what the server tells of itself', () => {
  it('a parameter', () => {
    expect(decodeParameterStatus(bytes('TimeZone\0Europe/Berlin\0'))).toEqual({
      name: 'TimeZone',
      value: 'Europe/Berlin',
    });
    for (const wrong of ['', 'TimeZone', 'TimeZone\0', 'TimeZone\0UTC', 'TimeZone\0UTC\0\0']) {
      expect(decodeParameterStatus(bytes(wrong))).toBeNull();
    }
  });

  it('its cancel key, which it may change afterwards without changing ours', () => {
    const message = Buffer.concat([fe.int32(9), Buffer.alloc(32, 1)]);
    const key = decodeBackendKeyData(message);
    message.fill(0);
    expect(key).toEqual({ processId: 9, secretKey: Buffer.alloc(32, 1) });
  });

  it('the protocol that it understands', () => {
    const message = encodeNegotiateProtocolVersion(3, 2, ['_pq_.a', '_pq_.b']);
    expect(decodeNegotiateProtocolVersion(body(message))).toEqual({
      major: 3,
      minor: 2,
      unknownOptions: ['_pq_.a', '_pq_.b'],
    });
    for (const wrong of [
      fe.int32(0x30000),
      Buffer.concat([fe.int32(0x30000), fe.int32(1), bytes('a\0b\0')]),
      Buffer.concat([fe.int32(0x30000), fe.int32(1), bytes('a')]),
    ]) {
      expect(decodeNegotiateProtocolVersion(wrong)).toBeNull();
    }
  });
});

describe('readers of a whole buffer', () => {
  it('never look behind the end of their message', () => {
    const buffer = bytes('SELECT 1;SELECT 2\0');
    expect(stringEnd(buffer, 0, 9)).toBe(-1);
    expect(queryTextEnd(buffer, 0, 9)).toBe(-1);
    expect(queryTextEnd(buffer, 9, buffer.length)).toBe(buffer.length - 1);
    expect(queryTextEnd(bytes('a\0b\0'), 0, 4)).toBe(-1);
  });

  it('agree with what the decoder makes of a Bind', () => {
    fc.assert(
      fc.property(fc.nat({ max: 40 }), fc.boolean(), (count, oneFormat) => {
        const message = encodeFrontendMessage({
          kind: 'bind',
          portal: 'p',
          statement: 's',
          parameterFormats: oneFormat ? [0] : Array.from({ length: count }, () => 1),
          parameters: Array.from({ length: count }, () => Buffer.from('x')),
          resultFormats: [],
        });
        expect(bindParameterCount(message, HEADER_BYTES + 4, message.length)).toBe(count);
      }),
    );
    expect(bindParameterCount(bytes('\0'), 0, 1)).toBe(-1);
    expect(bindParameterCount(bytes('\0\x02\0\0\0'), 0, 5)).toBe(-1);
  });

  it('take the tail of a Parse for what it is', () => {
    expect(isParseTailValid(fe.int16(0), 0, 2)).toBe(true);
    expect(isParseTailValid(Buffer.concat([fe.int16(1), fe.int32(23)]), 0, 6)).toBe(true);
    expect(isParseTailValid(fe.int16(1), 0, 2)).toBe(false);
    expect(isParseTailValid(fe.int32(0), 0, 4)).toBe(false);
    expect(isParseTailValid(fe.int16(0), 0, 1)).toBe(false);
    // 0xffff types are 65,535, not minus one.
    expect(
      isParseTailValid(Buffer.concat([fe.int16(0xffff), Buffer.alloc(0xffff * 4)]), 0, 2 + 0xffff * 4),
    ).toBe(true);
  });

  it('and the short encoders write what the tests write from the documentation', () => {
    expect(encodeQuery('SELECT ä')).toEqual(fe.query('SELECT ä'));
    expect(encodeExecute('p', 7)).toEqual(fe.execute('p', 7));
    expect(encodeDescribe('P', 'p')).toEqual(fe.describe('P', 'p'));
  });
});
