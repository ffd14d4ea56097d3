import fc from 'fast-check';
import type { BackendMessage, Empty } from '../../src/wire/backend-message.ts';
import type { FrontendMessage } from '../../src/wire/frontend-message.ts';

/** Arbitrary messages, one for each kind, so that a property over all kinds leaves none out. */

const text = fc.string({ unit: 'grapheme', maxLength: 40 }).map((value) => value.replaceAll('\0', ''));
/** Text as it is where each character is one byte. */
const oneCharacterEach = (value: string): string => Buffer.from(value, 'utf8').toString('latin1');
const data = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
const value = fc.option(data, { nil: null });
const format = fc.constantFrom(0, 1);
const oid = fc.nat({ max: 0xffff_ffff });
const int16 = fc.integer({ min: -0x8000, max: 0x7fff });
const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const target = fc.constantFrom('statement' as const, 'portal' as const);

/** Values with the formats that go with them: none, one for all, or one each. */
const valuesAndFormats = fc.array(value, { maxLength: 12 }).chain((values) =>
  fc.record({
    values: fc.constant(values),
    formats: fc.oneof(
      fc.constant([] as number[]),
      fc.tuple(format),
      fc.array(format, { minLength: values.length, maxLength: values.length }),
    ),
  }),
);

export const FRONTEND: { readonly [K in FrontendMessage['kind']]: fc.Arbitrary<FrontendMessage> } = {
  bind: fc
    .tuple(text, text, valuesAndFormats, fc.array(format, { maxLength: 12 }))
    .map(([portal, statement, { values, formats }, resultFormats]) => ({
      kind: 'bind' as const,
      portal,
      statement,
      parameterFormats: formats,
      parameters: values,
      resultFormats,
    })),
  close: fc.record({ kind: fc.constant('close' as const), target, name: text }),
  'copy-data': fc.record({ kind: fc.constant('copy-data' as const), data }),
  'copy-done': fc.record({ kind: fc.constant('copy-done' as const) }),
  'copy-fail': fc.record({ kind: fc.constant('copy-fail' as const), message: text }),
  describe: fc.record({ kind: fc.constant('describe' as const), target, name: text }),
  execute: fc.record({ kind: fc.constant('execute' as const), portal: text, rowsMax: int32 }),
  flush: fc.record({ kind: fc.constant('flush' as const) }),
  'function-call': fc
    .tuple(oid, valuesAndFormats, format)
    .map(([functionOid, { values, formats }, resultFormat]) => ({
      kind: 'function-call' as const,
      functionOid,
      argumentFormats: formats,
      arguments: values,
      resultFormat,
    })),
  parse: fc.record({
    kind: fc.constant('parse' as const),
    statement: text,
    query: text,
    parameterTypes: fc.array(oid, { maxLength: 12 }),
  }),
  query: fc.record({ kind: fc.constant('query' as const), query: text }),
  sync: fc.record({ kind: fc.constant('sync' as const) }),
  terminate: fc.record({ kind: fc.constant('terminate' as const) }),
};

const empty = (kind: Empty['kind']) => fc.constant<BackendMessage>({ kind });
const authentication = fc.oneof(
  fc
    .constantFrom('ok' as const, 'kerberos-v5' as const, 'cleartext-password' as const, 'gss' as const)
    .map((method) => ({ kind: 'authentication' as const, method })),
  fc.constant({ kind: 'authentication' as const, method: 'sspi' as const }),
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map((salt) => ({
    kind: 'authentication' as const,
    method: 'md5-password' as const,
    salt: Buffer.from(salt),
  })),
  fc
    .array(
      text.filter((name) => name !== ''),
      { maxLength: 4 },
    )
    .map((mechanisms) => ({ kind: 'authentication' as const, method: 'sasl' as const, mechanisms })),
  fc
    .tuple(fc.constantFrom('gss-continue' as const, 'sasl-continue' as const, 'sasl-final' as const), data)
    .map(([method, bytes]) => ({ kind: 'authentication' as const, method, data: bytes })),
);
const fields = fc.dictionary(fc.constantFrom(...'SVCMDHPpqWscdtnFLR'), text, { noNullPrototype: true });
const copyResponse = <K extends 'copy-in-response' | 'copy-out-response' | 'copy-both-response'>(kind: K) =>
  fc.oneof(
    fc.array(fc.constant(0), { maxLength: 12 }).map((columnFormats) => ({ kind, format: 0, columnFormats })),
    fc.array(format, { maxLength: 12 }).map((columnFormats) => ({ kind, format: 1, columnFormats })),
  );

export const BACKEND: { readonly [K in BackendMessage['kind']]: fc.Arbitrary<BackendMessage> } = {
  authentication,
  'backend-key-data': fc.record({
    kind: fc.constant('backend-key-data' as const),
    processId: int32,
    secretKey: fc.uint8Array({ minLength: 4, maxLength: 256 }).map((key) => Buffer.from(key)),
  }),
  'bind-complete': empty('bind-complete'),
  'close-complete': empty('close-complete'),
  'command-complete': fc.record({ kind: fc.constant('command-complete' as const), tag: text }),
  'copy-both-response': copyResponse('copy-both-response'),
  'copy-data': fc.record({ kind: fc.constant('copy-data' as const), data }),
  'copy-done': empty('copy-done'),
  'copy-in-response': copyResponse('copy-in-response'),
  'copy-out-response': copyResponse('copy-out-response'),
  'data-row': fc.record({
    kind: fc.constant('data-row' as const),
    values: fc.array(value, { maxLength: 12 }),
  }),
  'empty-query-response': empty('empty-query-response'),
  'error-response': fc.record({ kind: fc.constant('error-response' as const), fields }),
  'function-call-response': fc.record({ kind: fc.constant('function-call-response' as const), value }),
  'negotiate-protocol-version': fc.record({
    kind: fc.constant('negotiate-protocol-version' as const),
    major: fc.constant(3),
    minor: fc.nat({ max: 0xffff }),
    unknownOptions: fc.array(text.map(oneCharacterEach), { maxLength: 4 }),
  }),
  'no-data': empty('no-data'),
  'notice-response': fc.record({ kind: fc.constant('notice-response' as const), fields }),
  'notification-response': fc.record({
    kind: fc.constant('notification-response' as const),
    processId: int32,
    channel: text,
    payload: text,
  }),
  'parameter-description': fc.record({
    kind: fc.constant('parameter-description' as const),
    typeOids: fc.array(oid, { maxLength: 12 }),
  }),
  'parameter-status': fc.record({
    kind: fc.constant('parameter-status' as const),
    name: text,
    value: text,
  }),
  'parse-complete': empty('parse-complete'),
  'portal-suspended': empty('portal-suspended'),
  'ready-for-query': fc.record({
    kind: fc.constant('ready-for-query' as const),
    status: fc.constantFrom('I' as const, 'T' as const, 'E' as const),
  }),
  'row-description': fc.record({
    kind: fc.constant('row-description' as const),
    fields: fc.array(
      fc.record({
        name: text,
        tableOid: oid,
        columnNumber: int16,
        typeOid: oid,
        typeSize: int16,
        typeModifier: int32,
        format,
      }),
      { maxLength: 6 },
    ),
  }),
};
