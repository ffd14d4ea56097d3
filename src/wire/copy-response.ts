import type { BodyReader, InvalidMessage } from './body-reader.ts';
import type { BodyWriter } from './body-writer.ts';
import { Backend } from './message-type.ts';

/** CopyInResponse, CopyOutResponse and CopyBothResponse, which differ in their type byte alone. */
export interface CopyResponse {
  readonly kind: 'copy-in-response' | 'copy-out-response' | 'copy-both-response';
  /** 0: rows of text; 1: binary. */
  readonly format: number;
  readonly columnFormats: readonly number[];
}

const TYPE_OF: Readonly<Record<CopyResponse['kind'], number>> = {
  'copy-in-response': Backend.CopyInResponse,
  'copy-out-response': Backend.CopyOutResponse,
  'copy-both-response': Backend.CopyBothResponse,
};

export function readCopyResponse(
  reader: BodyReader,
  kind: CopyResponse['kind'],
): CopyResponse | InvalidMessage {
  const format = reader.uint8();
  if (format > 1) reader.fail(`unsupported format code: ${format}`);
  const columnFormats = reader.list(reader.uint16(), () => reader.format());
  if (format === 0 && columnFormats.includes(1)) reader.fail('a binary column in a COPY of text');
  return reader.finish({ kind, format, columnFormats });
}

export function writeCopyResponse(writer: BodyWriter, message: CopyResponse): Buffer {
  return writer
    .uint8(message.format)
    .list(message.columnFormats, (format) => writer.int16(format))
    .message(TYPE_OF[message.kind]);
}
