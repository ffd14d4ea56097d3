import { type Bind, readBind, writeBind } from './bind.ts';
import { BodyReader, type InvalidMessage, type TextEncoding } from './body-reader.ts';
import { BodyWriter } from './body-writer.ts';
import { type FunctionCall, readFunctionCall, writeFunctionCall } from './function-call.ts';
import { Frontend } from './message-type.ts';

/** Parse: makes a prepared statement of a text. */
export interface Parse {
  readonly kind: 'parse';
  readonly statement: string;
  readonly query: string;
  /** OIDs; zero leaves a type to the server. */
  readonly parameterTypes: readonly number[];
}

/** What Describe and Close are about. */
export type Target = 'statement' | 'portal';

/**
 * The messages that a client may send in an open session. Those of the login share one type byte and are told
 * apart by what the server has asked for: see authentication-response.ts.
 */
export type FrontendMessage =
  | Bind
  | { readonly kind: 'close'; readonly target: Target; readonly name: string }
  | { readonly kind: 'copy-data'; readonly data: Buffer }
  | { readonly kind: 'copy-done' }
  | { readonly kind: 'copy-fail'; readonly message: string }
  | { readonly kind: 'describe'; readonly target: Target; readonly name: string }
  /** `rowsMax` of zero or less asks for all rows. */
  | { readonly kind: 'execute'; readonly portal: string; readonly rowsMax: number }
  | { readonly kind: 'flush' }
  | FunctionCall
  | Parse
  | { readonly kind: 'query'; readonly query: string }
  | { readonly kind: 'sync' }
  | { readonly kind: 'terminate' };

/**
 * Decodes the body of a message, header taken off, as the documentation describes it ("Message Formats"). It takes
 * nothing that PostgreSQL refuses. It is stricter in that CopyDone, CopyFail and Terminate may carry nothing more
 * than is described, and that format codes are looked at even where nothing has that format.
 */
export function decodeFrontendMessage(
  type: number,
  body: Buffer,
  encoding: TextEncoding = 'utf8',
): FrontendMessage | InvalidMessage {
  const reader = new BodyReader(body, encoding);
  switch (type) {
    case Frontend.Bind:
      return readBind(reader);
    case Frontend.Close:
      return reader.finish({ kind: 'close', target: readTarget(reader, 'CLOSE'), name: reader.string() });
    case Frontend.CopyData:
      return { kind: 'copy-data', data: body };
    case Frontend.CopyDone:
      return reader.finish({ kind: 'copy-done' });
    case Frontend.CopyFail:
      return reader.finish({ kind: 'copy-fail', message: reader.string() });
    case Frontend.Describe:
      return reader.finish({
        kind: 'describe',
        target: readTarget(reader, 'DESCRIBE'),
        name: reader.string(),
      });
    case Frontend.Execute:
      return reader.finish({ kind: 'execute', portal: reader.string(), rowsMax: reader.int32() });
    case Frontend.Flush:
      return reader.finish({ kind: 'flush' });
    case Frontend.FunctionCall:
      return readFunctionCall(reader);
    case Frontend.Parse:
      return readParse(reader);
    case Frontend.Query:
      return reader.finish({ kind: 'query', query: reader.string() });
    case Frontend.Sync:
      return reader.finish({ kind: 'sync' });
    case Frontend.Terminate:
      return reader.finish({ kind: 'terminate' });
    default:
      return { kind: 'invalid', problem: `invalid frontend message type ${type}` };
  }
}

/** Encodes a message with its header. */
export function encodeFrontendMessage(message: FrontendMessage, encoding: TextEncoding = 'utf8'): Buffer {
  const writer = new BodyWriter(encoding);
  switch (message.kind) {
    case 'bind':
      return writeBind(writer, message);
    case 'close':
      return writeTarget(writer, message.target).string(message.name).message(Frontend.Close);
    case 'copy-data':
      return writer.bytes(message.data).message(Frontend.CopyData);
    case 'copy-done':
      return writer.message(Frontend.CopyDone);
    case 'copy-fail':
      return writer.string(message.message).message(Frontend.CopyFail);
    case 'describe':
      return writeTarget(writer, message.target).string(message.name).message(Frontend.Describe);
    case 'execute':
      return writer.string(message.portal).int32(message.rowsMax).message(Frontend.Execute);
    case 'flush':
      return writer.message(Frontend.Flush);
    case 'function-call':
      return writeFunctionCall(writer, message);
    case 'parse':
      return writer
        .string(message.statement)
        .string(message.query)
        .list(message.parameterTypes, (oid) => writer.uint32(oid))
        .message(Frontend.Parse);
    case 'query':
      return writer.string(message.query).message(Frontend.Query);
    case 'sync':
      return writer.message(Frontend.Sync);
    case 'terminate':
      return writer.message(Frontend.Terminate);
    default:
      return message satisfies never;
  }
}

function readParse(reader: BodyReader): Parse | InvalidMessage {
  const statement = reader.string();
  const query = reader.string();
  const parameterTypes = reader.list(reader.uint16(), () => reader.uint32());
  return reader.finish({ kind: 'parse', statement, query, parameterTypes });
}

function readTarget(reader: BodyReader, message: string): Target {
  const subtype = reader.uint8();
  if (subtype !== 0x53 && subtype !== 0x50) reader.fail(`invalid ${message} message subtype ${subtype}`);
  return subtype === 0x53 ? 'statement' : 'portal';
}

function writeTarget(writer: BodyWriter, target: Target): BodyWriter {
  return writer.uint8(target === 'statement' ? 0x53 : 0x50);
}
