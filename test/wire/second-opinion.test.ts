import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import { parse, serialize } from 'pg-protocol';
import { describe, expect, it } from 'vitest';
import { encodeAuthenticationResponse } from '../../src/wire/authentication-response.ts';
import { type BackendMessage, encodeBackendMessage } from '../../src/wire/backend-message.ts';
import type { CopyResponse } from '../../src/wire/copy-response.ts';
import { encodeFrontendMessage } from '../../src/wire/frontend-message.ts';
import { encodeCancelRequest, encodeSslRequest, encodeStartupMessage } from '../../src/wire/startup.ts';
import { BACKEND } from './generated.ts';

/** `pg-protocol`, which `pg` speaks with, as a second opinion on the same bytes. */

const text = fc.string({ unit: 'grapheme', maxLength: 40 }).map((value) => value.replaceAll('\0', ''));
const name = text.filter((value) => value.length <= 63);

function readByPg(bytes: Buffer): Record<string, unknown> {
  const messages: unknown[] = [];
  const stream = new EventEmitter();
  void parse(stream as unknown as NodeJS.ReadableStream, (message) => messages.push(message));
  stream.emit('data', Buffer.from(bytes));
  expect(messages).toHaveLength(1);
  return messages[0] as Record<string, unknown>;
}

describe('what pg writes, we write', () => {
  it('without parameters', () => {
    expect(encodeFrontendMessage({ kind: 'sync' })).toEqual(serialize.sync());
    expect(encodeFrontendMessage({ kind: 'flush' })).toEqual(serialize.flush());
    expect(encodeFrontendMessage({ kind: 'terminate' })).toEqual(serialize.end());
    expect(encodeFrontendMessage({ kind: 'copy-done' })).toEqual(serialize.copyDone());
    expect(encodeSslRequest()).toEqual(serialize.requestSsl());
    const key = Buffer.from([0, 0, 4, 210]);
    expect(encodeCancelRequest(77, key)).toEqual(serialize.cancel(77, 1234));
    const parameters = [
      ['user', 'anna'],
      ['client_encoding', 'UTF8'],
    ] as const;
    expect(encodeStartupMessage(3, 0, parameters)).toEqual(serialize.startup({ user: 'anna' }));
  });

  it('with any texts and values', () => {
    fc.assert(
      fc.property(name, text, fc.array(fc.nat({ max: 0x7fff_ffff })), (statement, query, parameterTypes) => {
        expect(encodeFrontendMessage({ kind: 'query', query })).toEqual(serialize.query(query));
        expect(encodeFrontendMessage({ kind: 'parse', statement, query, parameterTypes })).toEqual(
          serialize.parse({ name: statement, text: query, types: parameterTypes }),
        );
        for (const [target, type] of [
          ['statement', 'S'],
          ['portal', 'P'],
        ] as const) {
          expect(encodeFrontendMessage({ kind: 'describe', target, name: statement })).toEqual(
            serialize.describe({ type, name: statement }),
          );
          expect(encodeFrontendMessage({ kind: 'close', target, name: statement })).toEqual(
            serialize.close({ type, name: statement }),
          );
        }
        expect(encodeFrontendMessage({ kind: 'execute', portal: statement, rowsMax: 9 })).toEqual(
          serialize.execute({ portal: statement, rows: 9 }),
        );
        expect(encodeFrontendMessage({ kind: 'copy-fail', message: query })).toEqual(
          serialize.copyFail(query),
        );
        expect(encodeAuthenticationResponse({ kind: 'password', password: query })).toEqual(
          serialize.password(query),
        );
        const response = Buffer.from(query);
        expect(
          encodeAuthenticationResponse({ kind: 'sasl-initial-response', mechanism: statement, response }),
        ).toEqual(serialize.sendSASLInitialResponseMessage(statement, query));
      }),
    );
  });

  it('a Bind of texts, bytes and NULLs', () => {
    const value = fc.option(
      fc.oneof(
        text,
        fc.uint8Array().map((array) => Buffer.from(array)),
      ),
      { nil: null },
    );
    fc.assert(
      fc.property(
        name,
        name,
        fc.array(value, { maxLength: 20 }),
        fc.boolean(),
        (portal, statement, values, binary) => {
          const ours = encodeFrontendMessage({
            kind: 'bind',
            portal,
            statement,
            parameterFormats: values.map((one) => (Buffer.isBuffer(one) ? 1 : 0)),
            parameters: values.map((one) => (typeof one === 'string' ? Buffer.from(one) : one)),
            resultFormats: [binary ? 1 : 0],
          });
          expect(ours).toEqual(serialize.bind({ portal, statement, values, binary }));
        },
      ),
    );
  });
});

describe('what we write, pg reads', () => {
  const NAMES: Partial<Record<BackendMessage['kind'], string>> = {
    'bind-complete': 'bindComplete',
    'close-complete': 'closeComplete',
    'copy-done': 'copyDone',
    'empty-query-response': 'emptyQuery',
    'no-data': 'noData',
    'parse-complete': 'parseComplete',
    'portal-suspended': 'portalSuspended',
  };

  it.each(Object.entries(NAMES))('%s', (kind, pgName) => {
    const message = { kind } as BackendMessage;
    expect(readByPg(encodeBackendMessage(message))).toMatchObject({ name: pgName });
  });

  const agrees = (kind: BackendMessage['kind'], expected: (message: never) => object) =>
    fc.assert(
      fc.property(BACKEND[kind], (message) => {
        expect(readByPg(encodeBackendMessage(message))).toMatchObject(expected(message as never));
      }),
    );

  type Of<K extends BackendMessage['kind']> = Extract<BackendMessage, { kind: K }>;

  it('RowDescription', () =>
    agrees('row-description', (message: Of<'row-description'>) => ({
      name: 'rowDescription',
      fields: message.fields.map((field) => ({
        name: field.name,
        tableID: field.tableOid,
        columnID: field.columnNumber,
        dataTypeID: field.typeOid,
        dataTypeSize: field.typeSize,
        dataTypeModifier: field.typeModifier,
        format: field.format === 0 ? 'text' : 'binary',
      })),
    })));
  it('DataRow', () =>
    agrees('data-row', (message: Of<'data-row'>) => ({
      name: 'dataRow',
      fields: message.values.map((value) => (value === null ? null : value.toString('utf8'))),
    })));
  it('ParameterDescription', () =>
    agrees('parameter-description', (message: Of<'parameter-description'>) => ({
      dataTypeIDs: message.typeOids,
    })));
  it('CommandComplete', () =>
    agrees('command-complete', (message: Of<'command-complete'>) => ({ text: message.tag })));
  it('ReadyForQuery', () =>
    agrees('ready-for-query', (message: Of<'ready-for-query'>) => ({ status: message.status })));
  it('ParameterStatus', () =>
    agrees('parameter-status', (message: Of<'parameter-status'>) => ({
      parameterName: message.name,
      parameterValue: message.value,
    })));
  it('NotificationResponse', () =>
    agrees('notification-response', (message: Of<'notification-response'>) => ({
      processId: message.processId,
      channel: message.channel,
      payload: message.payload,
    })));
  it('CopyData', () => agrees('copy-data', (message: Of<'copy-data'>) => ({ chunk: message.data })));
  it('CopyInResponse and CopyOutResponse', () => {
    for (const kind of ['copy-in-response', 'copy-out-response'] as const) {
      agrees(kind, (message: CopyResponse) => ({
        binary: message.format === 1,
        columnTypes: message.columnFormats,
      }));
    }
  });
  it('ErrorResponse and NoticeResponse', () => {
    for (const kind of ['error-response', 'notice-response'] as const) {
      agrees(kind, ({ fields }: Of<typeof kind>) => ({
        ...('C' in fields ? { code: fields['C'] } : {}),
        ...('D' in fields ? { detail: fields['D'] } : {}),
        ...('H' in fields ? { hint: fields['H'] } : {}),
      }));
    }
  });
  it('AuthenticationSASL', () => {
    const mechanisms = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'];
    const bytes = encodeBackendMessage({ kind: 'authentication', method: 'sasl', mechanisms });
    expect(readByPg(bytes)).toMatchObject({ name: 'authenticationSASL', mechanisms });
  });
});
