import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { constants as zlib, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { LIMITS } from '../base/limits.ts';
import type {
  AuditBlock,
  AuditChain,
  AuditHead,
  AuditRange,
  AuditWrite,
  OpenAuditRecord,
  StoredAuditBlock,
} from './control-store.ts';

type Row = Record<string, SQLOutputValue>;

/** Below this, zstd's own frame eats what it saves. */
const COMPRESS_FROM_BYTES = 256;

/**
 * The audit's tables. At a low rate every event makes a row of its own; so that a search need not read a
 * hundred thousand of them, neighbouring small rows are joined into one from time to time.
 *
 * With a chain, every row has the hash of its last block. A join keeps that of the last row, and what the blocks
 * themselves hold of the chain.
 */
export class AuditBlocks {
  readonly #database: DatabaseSync;
  readonly #chain: AuditChain | null;
  readonly #statements;
  #rowsSinceJoin = 0;

  constructor(database: DatabaseSync, chain: AuditChain | null = null) {
    this.#database = database;
    this.#chain = chain;
    this.#statements = {
      insert: database.prepare(
        `insert into audit_blocks
           (first_seq, last_seq, first_time_ms, last_time_ms, raw_bytes, encoding, bytes, hash)
         values (?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      open: database.prepare(
        'insert into audit_open (id, bytes) values (?, ?) on conflict do update set bytes = excluded.bytes',
      ),
      close: database.prepare('delete from audit_open where id = ?'),
      allOpen: database.prepare('select id, bytes from audit_open order by id'),
      last: database.prepare('select last_seq, hash from audit_blocks order by first_seq desc limit 1'),
      // Newer rows cannot start before `beforeSeq`; the time span is only a filter, since rows overlap in time.
      read: database.prepare(
        `select first_seq, last_seq, encoding, bytes from audit_blocks
         where first_seq < ? and last_time_ms >= ? and first_time_ms <= ? order by first_seq desc`,
      ),
      remove: database.prepare('delete from audit_blocks where first_seq between ? and ?'),
      newerThan: database.prepare('select * from audit_blocks where first_seq > ? order by first_seq'),
    };
    this.#rowsSinceJoin = Number(
      database.prepare('select count(*) as n from audit_blocks where first_seq > ?').get(this.#joinedSeq())?.[
        'n'
      ],
    );
  }

  append(write: AuditWrite): void {
    let { lastSeq, lastHash } = this.#last();
    for (const block of write.blocks) {
      // Written before, by a call whose answer was lost.
      if (block.lastSeq <= lastSeq) continue;
      lastHash = this.#chain?.chainBlock(block.bytes, lastHash ?? this.#chain.GENESIS) ?? null;
      this.#insert(block, lastHash);
      lastSeq = block.lastSeq;
      this.#rowsSinceJoin++;
    }
    for (const record of write.opened) this.#statements.open.run(record.id, record.bytes);
    for (const id of write.closed) this.#statements.close.run(id);
  }

  head(): AuditHead {
    const open = this.#statements.allOpen.all().map((row): OpenAuditRecord => {
      return { id: Number(row['id']), bytes: row['bytes'] as Uint8Array };
    });
    const { lastSeq, lastHash } = this.#last();
    return { lastSeq, lastHash: lastHash ?? this.#chain?.GENESIS ?? null, open };
  }

  read(range: AuditRange): StoredAuditBlock[] {
    const found: StoredAuditBlock[] = [];
    let bytes = 0;
    const rows = this.#statements.read.iterate(range.beforeSeq, range.sinceMs, range.untilMs);
    for (const row of rows) {
      const block = storedBlock(row);
      found.push(block);
      bytes += block.bytes.length;
      if (bytes >= range.bytesMax) break;
    }
    return found;
  }

  get joinIsDue(): boolean {
    return this.#rowsSinceJoin >= LIMITS.storeJoinRows;
  }

  /** Joins runs of small rows written since the last time. To be called in a transaction of its own. */
  join(): void {
    const rows = this.#statements.newerThan.all(this.#joinedSeq());
    let run: Row[] = [];
    let runBytes = 0;
    for (const row of rows) {
      const size = Number(row['raw_bytes']);
      const endsRun = size > LIMITS.storeJoinBytes || runBytes + size > LIMITS.auditBlockBytes;
      if (endsRun || isChained(run.at(-1) ?? row) !== isChained(row)) {
        this.#joinRun(run);
        run = [];
        runBytes = 0;
      }
      if (size <= LIMITS.storeJoinBytes) {
        run.push(row);
        runBytes += size;
      }
    }
    this.#joinRun(run);
    this.#database
      .prepare(`insert into meta (key, value) values ('audit_joined_seq', ?)
                on conflict (key) do update set value = excluded.value`)
      .run(String(this.#last().lastSeq));
    this.#rowsSinceJoin = 0;
  }

  #joinRun(rows: readonly Row[]): void {
    if (rows.length < 2) return;
    const first = rows[0]!;
    const last = rows.at(-1)!;
    this.#statements.remove.run(Number(first['first_seq']), Number(last['first_seq']));
    const joined = {
      firstSeq: Number(first['first_seq']),
      lastSeq: Number(last['last_seq']),
      firstTimeMs: Math.min(...rows.map((row) => Number(row['first_time_ms']))),
      lastTimeMs: Math.max(...rows.map((row) => Number(row['last_time_ms']))),
      bytes: Buffer.concat(rows.map((row) => storedBlock(row).bytes)),
    };
    this.#insert(joined, hashOf(last));
  }

  #insert(block: AuditBlock, hash: Uint8Array | null): void {
    const { firstSeq, lastSeq, firstTimeMs, lastTimeMs, bytes } = block;
    const packed = bytes.length < COMPRESS_FROM_BYTES ? bytes : compress(bytes);
    const encoding = packed === bytes ? 'raw' : 'zstd';
    this.#statements.insert.run(
      firstSeq,
      lastSeq,
      firstTimeMs,
      lastTimeMs,
      bytes.length,
      encoding,
      packed,
      hash,
    );
  }

  #last(): { lastSeq: number; lastHash: Uint8Array | null } {
    const row = this.#statements.last.get();
    return row === undefined
      ? { lastSeq: 0, lastHash: null }
      : { lastSeq: Number(row['last_seq']), lastHash: hashOf(row) };
  }

  #joinedSeq(): number {
    const row = this.#database.prepare(`select value from meta where key = 'audit_joined_seq'`).get();
    return Number(row?.['value'] ?? 0);
  }
}

function isChained(row: Row): boolean {
  return row['hash'] !== null;
}

function hashOf(row: Row): Uint8Array | null {
  return row['hash'] as Uint8Array | null;
}

function compress(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, { params: { [zlib.ZSTD_c_compressionLevel]: 1 } });
}

function storedBlock(row: Row): StoredAuditBlock {
  const bytes = row['bytes'] as Uint8Array;
  return {
    firstSeq: Number(row['first_seq']),
    lastSeq: Number(row['last_seq']),
    bytes: row['encoding'] === 'zstd' ? zstdDecompressSync(bytes) : bytes,
  };
}
