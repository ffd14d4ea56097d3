/**
 * Rows on disk: PostgreSQL's own binary COPY format under zstd, so that a file can be read back with nothing but
 * `zstd -dc FILE | psql -c "copy t from stdin with (format binary)"`. A tuple of that format is byte for byte the
 * body of a DataRow in binary, so rows are written as the server sent them.
 *
 * Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
 */

export const ROW_FILE_SUFFIX = '.pgcopy.zst';
/** Of files that an earlier version has written, under gzip. */
export const GZIP_SUFFIX = '.gz';

/** What is written of one table's rows: where, how much, and what a reader has to find. */
export interface RowFile {
  /** The key of the blob; of what is inline, the name that it is told by. */
  readonly blob: string;
  /** The bytes themselves where they are in the manifest. */
  readonly inline?: Uint8Array;
  readonly rows: number;
  /** As it is stored. */
  readonly bytes: number;
  readonly sha256: string;
  /** Before compression. */
  readonly rawBytes: number;
}

/** Signature, flags and the length of an extension that is not there. */
export const FILE_HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);

/** Where a tuple's count of fields would stand. */
export const FILE_TRAILER = Buffer.from([0xff, 0xff]);

/** Columns of one table, which is also the most that a tuple can have. */
export const FIELDS_MAX = 1664;
