import { type Authentication, readAuthentication, writeAuthentication } from './authentication-message.ts';
import {
  decodeBackendKeyData,
  decodeErrorFields,
  decodeNegotiateProtocolVersion,
  type ErrorFields,
  encodeErrorResponse,
  encodeNegotiateProtocolVersion,
  encodeNoticeResponse,
} from './backend.ts';
import { BodyReader, type InvalidMessage, type TextEncoding } from './body-reader.ts';
import { BodyWriter } from './body-writer.ts';
import { type CopyResponse, readCopyResponse, writeCopyResponse } from './copy-response.ts';
import { Backend } from './message-type.ts';
import {
  type DataRow,
  type ParameterDescription,
  type RowDescription,
  readDataRow,
  readParameterDescription,
  readRowDescription,
  writeDataRow,
  writeParameterDescription,
  writeRowDescription,
} from './row.ts';

/** The messages that a server may send, named as in PostgreSQL's documentation. */
export type BackendMessage =
  | Authentication
  | { readonly kind: 'backend-key-data'; readonly processId: number; readonly secretKey: Buffer }
  | CopyResponse
  | DataRow
  | Empty
  | { readonly kind: 'command-complete'; readonly tag: string }
  | { readonly kind: 'copy-data'; readonly data: Buffer }
  | { readonly kind: 'error-response'; readonly fields: ErrorFields }
  | { readonly kind: 'function-call-response'; readonly value: Buffer | null }
  | {
      readonly kind: 'negotiate-protocol-version';
      readonly major: number;
      readonly minor: number;
      readonly unknownOptions: readonly string[];
    }
  | { readonly kind: 'notice-response'; readonly fields: ErrorFields }
  | {
      readonly kind: 'notification-response';
      readonly processId: number;
      readonly channel: string;
      readonly payload: string;
    }
  | ParameterDescription
  | { readonly kind: 'parameter-status'; readonly name: string; readonly value: string }
  | { readonly kind: 'ready-for-query'; readonly status: TransactionStatus }
  | RowDescription;

/** Idle, in a transaction block, in one that has failed. */
export type TransactionStatus = 'I' | 'T' | 'E';

/** Messages that have no body. */
export interface Empty {
  readonly kind:
    | 'bind-complete'
    | 'close-complete'
    | 'copy-done'
    | 'empty-query-response'
    | 'no-data'
    | 'parse-complete'
    | 'portal-suspended';
}

const TYPE_OF_EMPTY: Readonly<Record<Empty['kind'], number>> = {
  'bind-complete': Backend.BindComplete,
  'close-complete': Backend.CloseComplete,
  'copy-done': Backend.CopyDone,
  'empty-query-response': Backend.EmptyQueryResponse,
  'no-data': Backend.NoData,
  'parse-complete': Backend.ParseComplete,
  'portal-suspended': Backend.PortalSuspended,
};

/** Decodes the body of a message, header taken off. Values and data are views of `body`. */
export function decodeBackendMessage(
  type: number,
  body: Buffer,
  encoding: TextEncoding = 'utf8',
): BackendMessage | InvalidMessage {
  const reader = new BodyReader(body, encoding);
  switch (type) {
    case Backend.Authentication:
      return readAuthentication(reader);
    case Backend.BackendKeyData: {
      const key = decodeBackendKeyData(body);
      return key === null ? malformed('BackendKeyData') : { kind: 'backend-key-data', ...key };
    }
    case Backend.BindComplete:
      return reader.finish({ kind: 'bind-complete' });
    case Backend.CloseComplete:
      return reader.finish({ kind: 'close-complete' });
    case Backend.CommandComplete:
      return reader.finish({ kind: 'command-complete', tag: reader.string() });
    case Backend.CopyBothResponse:
      return readCopyResponse(reader, 'copy-both-response');
    case Backend.CopyData:
      return { kind: 'copy-data', data: body };
    case Backend.CopyDone:
      return reader.finish({ kind: 'copy-done' });
    case Backend.CopyInResponse:
      return readCopyResponse(reader, 'copy-in-response');
    case Backend.CopyOutResponse:
      return readCopyResponse(reader, 'copy-out-response');
    case Backend.DataRow:
      return readDataRow(reader);
    case Backend.EmptyQueryResponse:
      return reader.finish({ kind: 'empty-query-response' });
    case Backend.ErrorResponse: {
      const fields = decodeErrorFields(body);
      return fields === null ? malformed('ErrorResponse') : { kind: 'error-response', fields };
    }
    case Backend.FunctionCallResponse:
      return reader.finish({ kind: 'function-call-response', value: reader.value() });
    case Backend.NegotiateProtocolVersion: {
      const version = decodeNegotiateProtocolVersion(body);
      return version === null
        ? malformed('NegotiateProtocolVersion')
        : { kind: 'negotiate-protocol-version', ...version };
    }
    case Backend.NoData:
      return reader.finish({ kind: 'no-data' });
    case Backend.NoticeResponse: {
      const fields = decodeErrorFields(body);
      return fields === null ? malformed('NoticeResponse') : { kind: 'notice-response', fields };
    }
    case Backend.NotificationResponse:
      return reader.finish({
        kind: 'notification-response',
        processId: reader.int32(),
        channel: reader.string(),
        payload: reader.string(),
      });
    case Backend.ParameterDescription:
      return readParameterDescription(reader);
    case Backend.ParameterStatus:
      return reader.finish({ kind: 'parameter-status', name: reader.string(), value: reader.string() });
    case Backend.ParseComplete:
      return reader.finish({ kind: 'parse-complete' });
    case Backend.PortalSuspended:
      return reader.finish({ kind: 'portal-suspended' });
    case Backend.ReadyForQuery:
      return readReadyForQuery(reader);
    case Backend.RowDescription:
      return readRowDescription(reader);
    default:
      return { kind: 'invalid', problem: `invalid backend message type ${type}` };
  }
}

/** Encodes a message with its header. */
export function encodeBackendMessage(message: BackendMessage, encoding: TextEncoding = 'utf8'): Buffer {
  const writer = new BodyWriter(encoding);
  switch (message.kind) {
    case 'authentication':
      return writeAuthentication(writer, message);
    case 'backend-key-data':
      return writer.int32(message.processId).bytes(message.secretKey).message(Backend.BackendKeyData);
    case 'command-complete':
      return writer.string(message.tag).message(Backend.CommandComplete);
    case 'copy-both-response':
    case 'copy-in-response':
    case 'copy-out-response':
      return writeCopyResponse(writer, message);
    case 'copy-data':
      return writer.bytes(message.data).message(Backend.CopyData);
    case 'data-row':
      return writeDataRow(writer, message);
    case 'error-response':
      return encodeErrorResponse(message.fields, 'UTF8');
    case 'function-call-response':
      return writer.value(message.value).message(Backend.FunctionCallResponse);
    case 'negotiate-protocol-version':
      return encodeNegotiateProtocolVersion(message.major, message.minor, message.unknownOptions);
    case 'notice-response':
      return encodeNoticeResponse(message.fields, 'UTF8');
    case 'notification-response':
      return writer
        .int32(message.processId)
        .string(message.channel)
        .string(message.payload)
        .message(Backend.NotificationResponse);
    case 'parameter-description':
      return writeParameterDescription(writer, message);
    case 'parameter-status':
      return writer.string(message.name).string(message.value).message(Backend.ParameterStatus);
    case 'ready-for-query':
      return writer.uint8(message.status.charCodeAt(0)).message(Backend.ReadyForQuery);
    case 'row-description':
      return writeRowDescription(writer, message);
    default:
      return writer.message(TYPE_OF_EMPTY[message.kind]);
  }
}

function readReadyForQuery(reader: BodyReader): BackendMessage | InvalidMessage {
  const status = String.fromCharCode(reader.uint8());
  if (status !== 'I' && status !== 'T' && status !== 'E') {
    reader.fail('a transaction status other than I, T and E');
    return reader.finish({ kind: 'ready-for-query', status: 'I' });
  }
  return reader.finish({ kind: 'ready-for-query', status });
}

function malformed(message: string): InvalidMessage {
  return { kind: 'invalid', problem: `malformed ${message}` };
}
