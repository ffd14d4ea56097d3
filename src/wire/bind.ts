import type { BodyReader, InvalidMessage } from './body-reader.ts';
import type { BodyWriter } from './body-writer.ts';
import { Frontend } from './message-type.ts';

/** Bind: makes a portal of a prepared statement and its parameters. */
export interface Bind {
  readonly kind: 'bind';
  readonly portal: string;
  readonly statement: string;
  /** None: all are text. One: it holds for all. Otherwise one for each parameter. */
  readonly parameterFormats: readonly number[];
  readonly parameters: readonly (Buffer | null)[];
  /** As `parameterFormats`, for the columns of the result. */
  readonly resultFormats: readonly number[];
}

export function readBind(reader: BodyReader): Bind | InvalidMessage {
  const portal = reader.string();
  const statement = reader.string();
  const parameterFormats = reader.list(reader.uint16(), () => reader.format());
  const count = reader.uint16();
  if (parameterFormats.length > 1 && parameterFormats.length !== count) {
    reader.fail(`bind message has ${parameterFormats.length} parameter formats but ${count} parameters`);
  }
  const parameters = reader.list(count, () => reader.value());
  const resultFormats = reader.list(reader.uint16(), () => reader.format());
  return reader.finish({ kind: 'bind', portal, statement, parameterFormats, parameters, resultFormats });
}

export function writeBind(writer: BodyWriter, bind: Bind): Buffer {
  return writer
    .string(bind.portal)
    .string(bind.statement)
    .list(bind.parameterFormats, (format) => writer.int16(format))
    .list(bind.parameters, (value) => writer.value(value))
    .list(bind.resultFormats, (format) => writer.int16(format))
    .message(Frontend.Bind);
}
