import type { BodyReader, InvalidMessage } from './body-reader.ts';
import type { BodyWriter } from './body-writer.ts';
import { Backend } from './message-type.ts';

/** One column of a RowDescription. */
export interface FieldDescription {
  readonly name: string;
  /** Zero where the column is none of a table. */
  readonly tableOid: number;
  readonly columnNumber: number;
  readonly typeOid: number;
  /** Negative for types of a variable width. */
  readonly typeSize: number;
  readonly typeModifier: number;
  /** Zero also where it is not known yet, as in the answer to Describe of a statement. */
  readonly format: number;
}

export interface RowDescription {
  readonly kind: 'row-description';
  readonly fields: readonly FieldDescription[];
}

export interface DataRow {
  readonly kind: 'data-row';
  /** As they came, in the format that was asked for; null is NULL. */
  readonly values: readonly (Buffer | null)[];
}

/** Types of the parameters of a prepared statement. */
export interface ParameterDescription {
  readonly kind: 'parameter-description';
  readonly typeOids: readonly number[];
}

export function readRowDescription(reader: BodyReader): RowDescription | InvalidMessage {
  const fields = reader.list(reader.uint16(), () => ({
    name: reader.string(),
    tableOid: reader.uint32(),
    columnNumber: reader.int16(),
    typeOid: reader.uint32(),
    typeSize: reader.int16(),
    typeModifier: reader.int32(),
    format: reader.format(),
  }));
  return reader.finish({ kind: 'row-description', fields });
}

export function writeRowDescription(writer: BodyWriter, message: RowDescription): Buffer {
  return writer
    .list(message.fields, (field) =>
      writer
        .string(field.name)
        .uint32(field.tableOid)
        .int16(field.columnNumber)
        .uint32(field.typeOid)
        .int16(field.typeSize)
        .int32(field.typeModifier)
        .int16(field.format),
    )
    .message(Backend.RowDescription);
}

export function readDataRow(reader: BodyReader): DataRow | InvalidMessage {
  const values = reader.list(reader.uint16(), () => reader.value());
  return reader.finish({ kind: 'data-row', values });
}

export function writeDataRow(writer: BodyWriter, message: DataRow): Buffer {
  return writer.list(message.values, (value) => writer.value(value)).message(Backend.DataRow);
}

export function readParameterDescription(reader: BodyReader): ParameterDescription | InvalidMessage {
  const typeOids = reader.list(reader.uint16(), () => reader.uint32());
  return reader.finish({ kind: 'parameter-description', typeOids });
}

export function writeParameterDescription(writer: BodyWriter, message: ParameterDescription): Buffer {
  return writer.list(message.typeOids, (oid) => writer.uint32(oid)).message(Backend.ParameterDescription);
}
