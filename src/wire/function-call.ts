import type { BodyReader, InvalidMessage } from './body-reader.ts';
import type { BodyWriter } from './body-writer.ts';
import { Frontend } from './message-type.ts';

/** FUNC_MAX_ARGS of PostgreSQL as it is built by everybody. */
const ARGUMENTS_MAX = 100;

/** FunctionCall: runs a function by its OID. */
export interface FunctionCall {
  readonly kind: 'function-call';
  readonly functionOid: number;
  /** None: all are text. One: it holds for all. Otherwise one for each argument. */
  readonly argumentFormats: readonly number[];
  readonly arguments: readonly (Buffer | null)[];
  readonly resultFormat: number;
}

export function readFunctionCall(reader: BodyReader): FunctionCall | InvalidMessage {
  const functionOid = reader.uint32();
  const argumentFormats = reader.list(reader.uint16(), () => reader.format());
  const count = reader.uint16();
  if (count > ARGUMENTS_MAX) reader.fail(`function call message contains ${count} arguments`);
  if (argumentFormats.length > 1 && argumentFormats.length !== count) {
    reader.fail(
      `function call message contains ${argumentFormats.length} argument formats but ${count} arguments`,
    );
  }
  const values = reader.list(count, () => reader.value());
  const resultFormat = reader.format();
  return reader.finish({
    kind: 'function-call',
    functionOid,
    argumentFormats,
    arguments: values,
    resultFormat,
  });
}

export function writeFunctionCall(writer: BodyWriter, call: FunctionCall): Buffer {
  return writer
    .uint32(call.functionOid)
    .list(call.argumentFormats, (format) => writer.int16(format))
    .list(call.arguments, (value) => writer.value(value))
    .int16(call.resultFormat)
    .message(Frontend.FunctionCall);
}
