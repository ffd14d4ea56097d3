import { existsSync } from 'node:fs';
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { zstdDecompressSync } from 'node:zlib';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { AuditRow, AuditSource } from './audit-source.ts';
import type { SignedCut } from './control-store.ts';
import { auditCut } from './sqlite-audit-cut.ts';
import { storeError } from './sqlite-database.ts';
import { APPLICATION_ID, MIGRATIONS } from './sqlite-migrations.ts';
import { signedHeadRow } from './sqlite-signed-heads.ts';

const SQLITE_CANTOPEN = 14;
/** The schemas of which everything is there that is read here, but for a cut. */
const CHAINED_SINCE = 2;

/** The audit of a SQLite file, which a gateway may have open: nothing is written, and it is not held up. */
export function openSqliteAuditSource(path: string): AuditSource {
  if (!existsSync(path)) throw new HoldfastError('STORE_FAILED', `there is no store ${path}`);
  return naming(path, () => {
    const open = readersOf(path);
    const database = open();
    try {
      check(database, path);
      return source(database, open, path);
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

/** SQLite keeps a file beside its own also to read. Where none can be made, nobody can be writing either. */
function readersOf(path: string): () => DatabaseSync {
  const usual = (): DatabaseSync =>
    new DatabaseSync(path, { readOnly: true, timeout: LIMITS.storeLockWaitMs });
  const asItIs = (): DatabaseSync => {
    const url = pathToFileURL(path);
    url.searchParams.set('immutable', '1');
    return new DatabaseSync(url, { readOnly: true });
  };
  const first = usual();
  try {
    first.prepare('select 1 from sqlite_schema').get();
    return usual;
  } catch (error) {
    const cannotMake = (error as { errcode?: unknown }).errcode === SQLITE_CANTOPEN;
    if (!cannotMake || existsSync(`${path}-wal`)) throw error;
    return asItIs;
  } finally {
    first.close();
  }
}

function check(database: DatabaseSync, path: string): void {
  const pragma = (name: string): number => Number(database.prepare(`pragma ${name}`).get()?.[name]);
  if (pragma('application_id') !== APPLICATION_ID) {
    throw new HoldfastError('STORE_FAILED', `${path} is not a Holdfast store`);
  }
  const version = pragma('user_version');
  if (version >= CHAINED_SINCE && version <= MIGRATIONS.length) return;
  throw new HoldfastError(
    'STORE_FAILED',
    version > MIGRATIONS.length
      ? `the store ${path} was written by a newer Holdfast (schema ${version}, this one knows ${MIGRATIONS.length})`
      : `the store ${path} was written by an older Holdfast, which chained nothing`,
  );
}

function source(database: DatabaseSync, open: () => DatabaseSync, path: string): AuditSource {
  // Another connection, since this one sees only what was there when its transaction began.
  const later = open();
  database.exec('begin');
  const rows = database.prepare('select * from audit_blocks order by first_seq');
  const heads = database.prepare('select * from signed_heads order by sequence, rowid');
  return {
    rows: () => eachOf(path, rows.iterate(), auditRow),
    heads: () => eachOf(path, heads.iterate(), signedHeadRow),
    cut: () => naming(path, () => readCut(database)),
    lastSeqNow: () => {
      const last = later.prepare('select last_seq from audit_blocks order by first_seq desc limit 1').get();
      return Number(last?.['last_seq'] ?? 0);
    },
    close: () => {
      later.close();
      database.close();
    },
  };
}

/** Stores of older schemas have none. */
function readCut(database: DatabaseSync): SignedCut | null {
  const known = database.prepare(`select 1 from sqlite_schema where name = 'audit_cut'`).get() !== undefined;
  const row = known ? database.prepare('select * from audit_cut').get() : undefined;
  return row === undefined ? null : auditCut(row);
}

type Row = Record<string, SQLOutputValue>;

function* eachOf<T>(path: string, rows: Iterator<Row>, read: (row: Row) => T): Iterable<T> {
  for (;;) {
    const next = naming(path, () => rows.next());
    if (next.done === true) return;
    yield read(next.value);
  }
}

function auditRow(row: Row): AuditRow {
  return {
    firstSeq: Number(row['first_seq']),
    lastSeq: Number(row['last_seq']),
    firstTimeMs: Number(row['first_time_ms']),
    lastTimeMs: Number(row['last_time_ms']),
    rawBytes: Number(row['raw_bytes']),
    bytes: unpacked(row),
    hash: row['hash'] as Uint8Array | null,
  };
}

function unpacked(row: Row): Uint8Array | null {
  const bytes = row['bytes'] as Uint8Array;
  if (row['encoding'] === 'raw') return bytes;
  try {
    return zstdDecompressSync(bytes, { maxOutputLength: LIMITS.auditRowBytes });
  } catch {
    return null;
  }
}

function naming<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw storeError(error, path);
  }
}
