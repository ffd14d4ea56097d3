import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockReader, readBlocks } from '../../src/audit/block-reader.ts';
import { chainBlock } from '../../src/audit/chain.ts';
import { readPublicKey } from '../../src/audit/key-file.ts';
import { recordedEvent } from '../../src/audit/recorded-event.ts';
import { ANCHOR_FOLDER } from '../../src/audit/signed-head.ts';
import type { Verdict } from '../../src/audit/verify.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { takeApart } from '../../src/sql/recent/shape-pieces.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { mendChecks, setRows, withEvents } from './block-parts.ts';
import { ChainedStore } from './chained-store.ts';
import { analysis, entry, graveEntry } from './statements.ts';

let audit: ChainedStore;

const SUM = takeApart(Buffer.from('select \u0001 + \u0001'));

beforeEach(async () => {
  audit = await ChainedStore.create();
});
afterEach(async () => {
  await audit.stop();
  await audit.remove();
});

/** Rows of ten events each, numbered from 1. */
async function writeRows(rows: number): Promise<void> {
  await audit.start();
  for (let row = 0; row < rows; row++) await writeRow(row);
  await audit.stop();
}

async function writeRow(row: number): Promise<void> {
  const of = analysis();
  for (let i = 0; i < 10; i++) {
    const startedAtMs = 1e12 + row * 1000 + i;
    audit.log.finish(entry({ analysis: of, text: `select ${row}`, startedAtMs, durationMs: i }));
  }
  await audit.log.flush();
}

function told(verdict: Verdict): string[] {
  return verdict.faults.map(({ kind, first, last, what }) => `${kind} ${first}-${last}: ${what}`);
}

interface Row {
  readonly first_seq: number;
  readonly bytes: Uint8Array;
  readonly encoding: string;
}

function rawBytes({ bytes, encoding }: Row): Buffer {
  return Buffer.from(encoding === 'zstd' ? zstdDecompressSync(bytes) : bytes);
}

function rowOf(database: DatabaseSync, firstSeq: number): Row {
  return database.prepare('select * from audit_blocks where first_seq = ?').get(firstSeq) as unknown as Row;
}

/** Changes a row's block, as a person would who knows the format and not the chain. */
function rewrite(firstSeq: number, change: (block: Buffer) => void): void {
  audit.tamper((database) => {
    const block = rawBytes(rowOf(database, firstSeq));
    change(block);
    database
      .prepare(`update audit_blocks set encoding = 'raw', bytes = ?, raw_bytes = ? where first_seq = ?`)
      .run(block, block.length, firstSeq);
  });
}

describe('an audit that nobody touched', () => {
  it('is intact, over restarts, joins, lost statements and full blocks', async () => {
    await audit.start();
    for (let i = 0; i < LIMITS.storeJoinRows * 2 + 10; i++) {
      audit.log.finish(entry({ text: `select ${i}` }));
      await audit.log.flush();
    }
    audit.log.begin(graveEntry());
    await audit.stop();
    await audit.start();
    for (let i = 0; i < 20_000; i++) {
      const text = i % 3 === 0 ? `select '${'y'.repeat(i % 9_000)}'` : `select ${i}`;
      audit.log.finish(entry({ analysis: analysis(), text, approvalId: i % 5 === 0 ? `apr_${i}` : null }));
      if (i % 1000 === 0) await audit.log.flush();
    }
    await audit.stop();
    const verdict = await audit.verify();
    expect(verdict).toMatchObject({ faults: [], chainedFrom: 1, heads: 3, anchors: 3, anchorsOfOthers: 0 });
    expect(verdict.lastSeq).toBe(LIMITS.storeJoinRows * 2 + 10 + 1 + 20_000);
    expect([verdict.records, verdict.signedTo, verdict.anchoredTo]).toEqual(Array(3).fill(verdict.lastSeq));
    audit.tamper((database) => {
      const rows = Number(database.prepare('select count(*) as n from audit_blocks').get()?.['n']);
      expect(rows).toBeLessThan(LIMITS.storeJoinRows);
    });
  });

  it('is verified while it is written, without holding that up', async () => {
    await audit.start(20);
    let writing = true;
    const writer = (async () => {
      for (let row = 0; writing; row++) await writeRow(row);
    })();
    for (let i = 0; i < 15; i++) expect(told(await audit.verify())).toEqual([]);
    writing = false;
    await writer;
  });

  it('is intact when it is empty, and has a head from the start', async () => {
    await audit.start();
    await audit.stop();
    expect(await audit.verify()).toMatchObject({ faults: [], records: 0, heads: 1, anchors: 1, signedTo: 0 });
  });

  it('may be joined by anybody, as long as the order stays', async () => {
    await writeRows(4);
    const join = (database: DatabaseSync, one: number, other: number, order: readonly number[]) => {
      const bytes = Buffer.concat(order.map((first) => rawBytes(rowOf(database, first))));
      database.exec(`update audit_blocks set (last_seq, last_time_ms, hash) =
        (select last_seq, last_time_ms, hash from audit_blocks where first_seq = ${other}) where first_seq = ${one}`);
      database.exec(`delete from audit_blocks where first_seq = ${other}`);
      database
        .prepare(`update audit_blocks set encoding = 'raw', bytes = ?, raw_bytes = ? where first_seq = ?`)
        .run(bytes, bytes.length, one);
    };
    audit.tamper((database) => join(database, 1, 11, [1, 11]));
    expect(told(await audit.verify())).toEqual([]);
    audit.tamper((database) => join(database, 21, 31, [31, 21]));
    expect(told(await audit.verify())).toEqual([
      'changed 21-40: not to be read as they are stored: records from 31 on are in the place of 21',
    ]);
  });

  it('that began before there was a chain is chained from then on', async () => {
    const store = await SqliteControlStore.open(audit.path);
    const blocks = [{ firstSeq: 1, lastSeq: 7, firstTimeMs: 1, lastTimeMs: 2, bytes: Buffer.alloc(40) }];
    await store.appendAudit({ blocks, opened: [], closed: [] });
    await store.close();
    expect(await audit.verify()).toMatchObject({ faults: [], records: 7, chainedFrom: null, heads: 0 });
    await writeRows(3);
    expect(await audit.verify()).toMatchObject({ faults: [], records: 37, chainedFrom: 8, signedTo: 37 });
    audit.tamper((database) => database.exec('update audit_blocks set hash = null where first_seq < 20'));
    expect(told(await audit.verify())[0]).toMatch(
      /^changed 28-28: not what this block or the one before it was/,
    );
  });
});

describe('a record', () => {
  beforeEach(() => writeRows(5));

  it('that was changed is named with its time', async () => {
    rewrite(21, (block) => setRows(block, 3, 99));
    const verdict = await audit.verify();
    expect(verdict.faults).toEqual([
      {
        kind: 'changed',
        first: 24,
        last: 24,
        time: '2001-09-09T01:46:42.003000Z',
        what: 'not what was recorded; the 6 after it in its block cannot be verified',
      },
    ]);
    expect(verdict).toMatchObject({ records: 50, signedTo: 50, anchoredTo: 50 });
  });

  it('whose text was changed is named, with those that share it', async () => {
    rewrite(11, (block) => void block.write('SELECT', block.indexOf('select 1')));
    expect(told(await audit.verify())).toEqual([
      'changed 11-11: not what was recorded; the 9 after it in its block cannot be verified',
    ]);
  });

  it('that was changed by one who mends the checks is found by the hash of its block', async () => {
    const mended = (first: number) =>
      rewrite(first, (block) => {
        setRows(block, 3, 99);
        mendChecks(block);
      });
    mended(21);
    expect(told(await audit.verify())).toEqual(['changed 21-30: not what the hash beside them is of']);
  });

  it('that was changed by one who mends the hashes is found by the head', async () => {
    audit.tamper((database) => {
      let hash: Uint8Array = new Uint8Array(32);
      const set = database.prepare(
        `update audit_blocks set encoding = 'raw', bytes = ?, hash = ? where first_seq = ?`,
      );
      for (let first = 1; first <= 41; first += 10) {
        const block = rawBytes(rowOf(database, first));
        if (first === 11) setRows(block, 0, 99);
        hash = chainBlock(block, hash);
        set.run(block, hash, first);
      }
    });
    expect(told(await audit.verify())).toEqual([
      'head 50-50: not the record that was signed, or one before it is not',
      'anchor 50-50: not the record that was signed and anchored, or one before it is not',
    ]);
  });

  it('that was forged with all others, without a key, is found by what was signed', async () => {
    audit.tamper((database) => {
      const last = rowOf(database, 41);
      // One block of all numbers and one more, so that it ends where nothing was signed.
      const forged = withEvents(
        rawBytes(last),
        Array.from({ length: 51 }, (_, i) => (i === 0 ? 0 : 1 + (i % 9))),
      );
      forged.writeDoubleLE(1, 16);
      const hash = chainBlock(forged, new Uint8Array(32));
      const reader = new BlockReader(forged);
      const times = Array.from({ length: 51 }, (_, i) => reader.startedAtMs(i));
      database.exec('delete from audit_blocks');
      database
        .prepare(`insert into audit_blocks values (1, 51, ?, ?, ?, 'raw', ?, ?)`)
        .run(Math.min(...times), Math.max(...times), forged.length, forged, hash);
    });
    expect(told(await audit.verify())).toEqual([
      'head 50-50: not the record that was signed, or one before it is not',
      'anchor 50-50: not the record that was signed and anchored, or one before it is not',
    ]);
  });

  it('that is missing is named', async () => {
    audit.tamper((database) => database.exec('delete from audit_blocks where first_seq in (11, 21)'));
    expect(told(await audit.verify())).toEqual(['missing 11-30: not there']);
  });

  it('that was taken out of a block, with the numbers mended, is found', async () => {
    audit.tamper((database) => {
      const block = rawBytes(rowOf(database, 31));
      const less = withEvents(block, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
      database
        .prepare(
          `update audit_blocks set encoding='raw', bytes = ?, raw_bytes = ?, last_seq = 39 where first_seq = 31`,
        )
        .run(less, less.length);
    });
    expect(told(await audit.verify())).toEqual([
      'changed 35-35: not what was recorded; the 4 after it in its block cannot be verified',
      'missing 40-40: not there',
    ]);
  });

  it('that changed its place with another is found', async () => {
    rewrite(21, (block) => {
      withEvents(block, [0, 5, 2, 3, 4, 1, 6, 7, 8, 9]).copy(block);
    });
    expect(told(await audit.verify())[0]).toMatch(/^changed 22-22: /);
  });

  it('that stands in the row of another is found', async () => {
    audit.tamper((database) => {
      const [one, other] = [rowOf(database, 11), rowOf(database, 31)];
      const set = database.prepare('update audit_blocks set bytes = ?, encoding = ? where first_seq = ?');
      set.run(other.bytes, other.encoding, 11);
      set.run(one.bytes, one.encoding, 31);
    });
    expect(told(await audit.verify())).toEqual([
      'changed 11-20: not to be read as they are stored: records from 31 on are in the place of 11',
      'changed 31-40: not to be read as they are stored: records from 11 on are in the place of 31',
    ]);
  });

  it('that was put in is found', async () => {
    audit.tamper((database) => {
      database.exec(`insert into audit_blocks
        select 15, 24, first_time_ms, last_time_ms, raw_bytes, encoding, bytes, hash
        from audit_blocks where first_seq = 21`);
    });
    expect(told(await audit.verify())).toEqual(['misplaced 15-24: there, though record 20 comes before']);
    audit.tamper((database) => {
      database.exec('delete from audit_blocks where first_seq = 15');
      database.exec(`insert into audit_blocks
        select 51, 60, first_time_ms, last_time_ms, raw_bytes, encoding, bytes, hash
        from audit_blocks where first_seq = 41`);
    });
    expect(told(await audit.verify())).toEqual([
      'changed 51-60: not to be read as they are stored: records from 41 on are in the place of 51',
    ]);
  });

  it('is found again and again, up to a limit of what is listed', async () => {
    await writeRows(150);
    audit.tamper((database) =>
      database.exec('update audit_blocks set first_time_ms = 1 where first_seq > 100'),
    );
    const verdict = await audit.verify();
    expect(verdict.faults).toHaveLength(LIMITS.auditFaultsMax);
    expect(verdict.faultCount).toBeGreaterThan(LIMITS.auditFaultsMax);
  });
});

describe('what a row says of its records', () => {
  it.each([
    ['first_time_ms = 5', 'stored under times'],
    ['last_time_ms = 5', 'stored under times'],
    ['raw_bytes = 5', 'stored under times'],
    ['hash = zeroblob(32)', 'not what the hash beside them is of'],
    ['last_seq = 25', 'there are records beyond 25'],
    ['first_seq = 22', 'records from 21 on are in the place of 22'],
    ["encoding = case encoding when 'raw' then 'zstd' else 'raw' end", 'not to be read as they are stored'],
    ['hash = null', 'without hashes, though records before have them'],
  ])('%s', async (change, what) => {
    await writeRows(5);
    audit.tamper((database) => database.exec(`update audit_blocks set ${change} where first_seq = 21`));
    expect(told(await audit.verify()).join('\n')).toContain(what);
  });
});

describe('the end', () => {
  beforeEach(() => writeRows(5));

  it('that was cut off with its head is found by the anchor', async () => {
    audit.tamper((database) => {
      database.exec('delete from audit_blocks where first_seq > 40');
      database.exec('delete from signed_heads where sequence > 40');
    });
    expect(told(await audit.verify())).toEqual([
      'missing 41-50: cut off: a signed anchor says that there were records up to 50',
    ]);
    expect(told(await audit.verify({ anchors: false }))).toEqual([]);
  });

  it('that was cut off is found by the head where the anchors are gone', async () => {
    audit.tamper((database) => database.exec('delete from audit_blocks'));
    expect(told(await audit.verify({ anchors: false }))).toEqual([
      'missing 1-50: cut off: a signed head says that there were records up to 50',
    ]);
  });

  it('that was cut off with its head and its anchor is found by what a lock has kept of that', async () => {
    audit.tamper((database) => {
      database.exec('delete from audit_blocks where first_seq > 40');
      database.exec('delete from signed_heads where sequence > 40');
    });
    const last = readdirSync(join(audit.anchors, ANCHOR_FOLDER)).filter(
      (name) => Number(name.slice(0, 16)) > 40,
    );
    for (const name of last) rmSync(join(audit.anchors, ANCHOR_FOLDER, name));
    expect(told(await audit.verify())).toEqual([]);
    const removed = last.map((name) => `${ANCHOR_FOLDER}${name}`);
    expect(told(await audit.verify({ removed }))).toEqual([
      `anchor 50-50: of an anchor that was removed, and that a lock keeps: ${removed[0]}`,
    ]);
  });

  it('that was cut off and written anew is found by the anchor', async () => {
    audit.tamper((database) => {
      database.exec('delete from audit_blocks where first_seq > 30');
      database.exec('delete from signed_heads where sequence > 30');
    });
    await audit.start();
    for (let row = 10; row < 15; row++) await writeRow(row);
    await audit.stop();
    expect(told(await audit.verify())).toEqual([
      'anchor 50-50: not the record that was signed and anchored, or one before it is not',
    ]);
  });
});

describe('heads and anchors', () => {
  beforeEach(() => writeRows(2));

  const anchorFiles = (): string[] => readdirSync(join(audit.anchors, ANCHOR_FOLDER));

  it('of another key are found', async () => {
    const before = readPublicKey(audit.keyPath);
    writeFileSync(audit.keyPath, newKey());
    await writeRows(1);
    const after = readPublicKey(audit.keyPath);
    const faults = told(await audit.verify());
    expect(faults.filter((one) => one.startsWith('head'))).toHaveLength(2);
    expect(faults.join('\n')).toContain(`signed with another key, ${after.id}`);
    expect(faults.join('\n')).toContain(`anchored with another key, ${after.id}`);
    const both = new Map([before, after].map(({ id, publicKey }) => [id, publicKey]));
    expect(told(await audit.verify({ trusted: both }))).toEqual([]);
    const old = new Map([[before.id, before.publicKey]]);
    expect(told(await audit.verify({ trusted: old }))).toHaveLength(2);
  });

  it('of an audit that was written anew with a key of its own are found', async () => {
    const { id, publicKey } = readPublicKey(audit.keyPath);
    for (const suffix of ['', '-wal', '-shm']) rmSync(audit.path + suffix, { force: true });
    rmSync(audit.keyPath);
    await audit.start();
    for (const row of [7, 8]) await writeRow(row);
    await audit.stop();
    expect(told(await audit.verify())[0]).toContain(`anchored with another key, ${id}`);
    expect(told(await audit.verify({ trusted: new Map([[id, publicKey]]) })).join('\n')).toMatch(
      /signed with another key.*not the record that was signed and anchored/s,
    );
  });

  it('whose signature is forged are found', async () => {
    audit.tamper((database) => database.exec(`update signed_heads set time = '2020-01-01T00:00:00.000Z'`));
    expect(told(await audit.verify())).toEqual([
      'head 0-0: under a head whose signature is not that of its key',
      'head 20-20: under a head whose signature is not that of its key',
    ]);
  });

  it('that are gone are missed', async () => {
    audit.tamper((database) => database.exec('delete from signed_heads'));
    expect(told(await audit.verify({ anchors: false }))).toEqual([
      'head 20-20: not signed: there is no head in the store',
    ]);
    await writeRows(0);
    for (const file of anchorFiles()) rmSync(join(audit.anchors, ANCHOR_FOLDER, file));
    expect(told(await audit.verify())).toEqual([
      'anchor 20-20: without the anchor that was made of its head',
    ]);
  });

  it('that were changed are found', async () => {
    const file = anchorFiles().at(-1)!;
    writeFileSync(join(audit.anchors, ANCHOR_FOLDER, file), '{}');
    expect(told(await audit.verify())[0]).toContain(
      `under an anchor that is no signed head: audit/heads/${file}`,
    );
    writeFileSync(join(audit.anchors, ANCHOR_FOLDER, 'note'), 'hello');
    expect(told(await audit.verify())[0]).toContain('no anchor, and in their place: audit/heads/note');
  });
});

it('any bit that is flipped in any row is found, or changes no record', async () => {
  await audit.start();
  for (let row = 0; row < 12; row++) {
    for (let i = 0; i < 1 + row * 3; i++) {
      const text = row % 3 === 0 ? `select ${i} + ${row}` : `select ${row} /* ${'abc'.repeat(row * 7)} */`;
      const shape = row % 3 === 0 ? SUM : null;
      audit.log.finish(entry({ text, shape, startedAtMs: 1e12 + row * 1000 + i, durationMs: i / 7 }));
    }
    await audit.log.flush();
  }
  await audit.stop();
  const columns = ['first_seq', 'last_seq', 'first_time_ms', 'last_time_ms', 'raw_bytes'];
  const firsts: number[] = [];
  audit.tamper((database) => {
    for (const row of database.prepare('select first_seq from audit_blocks').all())
      firsts.push(Number(row['first_seq']));
  });
  expect(firsts).toHaveLength(12);
  const place = fc.record({
    first: fc.constantFrom(...firsts),
    column: fc.constantFrom(...columns, 'hash', ...Array<string>(20).fill('bytes')),
    at: fc.nat(),
    bit: fc.nat(7),
  });
  const database = new DatabaseSync(audit.path);
  await fc.assert(
    fc.asyncProperty(place, async ({ first, column, at, bit }) => {
      const row = database.prepare('select * from audit_blocks where first_seq = ?').get(first)!;
      const after = flipped(row[column], at, bit);
      fc.pre(column !== 'first_seq' || !firsts.includes(Number(after)));
      database.prepare(`update audit_blocks set ${column} = ? where first_seq = ?`).run(after, first);
      const { faultCount } = await audit.verify();
      database
        .prepare(`update audit_blocks set ${column} = ? where first_seq = ?`)
        .run(row[column]!, column === 'first_seq' ? after : first);
      const same = column === 'bytes' && sameEvents(row as unknown as Row, after as Uint8Array);
      expect(faultCount > 0 || same).toBe(true);
    }),
    { seed: 20261121, numRuns: 1000 },
  );
  database.close();
  expect(told(await audit.verify())).toEqual([]);
}, 120_000);

function flipped(value: unknown, at: number, bit: number): number | Uint8Array<ArrayBuffer> {
  if (!(value instanceof Uint8Array)) return Number(value) ^ (1 << (bit + (at % 3) * 4)) || 999_999;
  const copy = Uint8Array.from(value);
  copy[at % copy.length]! ^= 1 << bit;
  return copy;
}

/** There are bits of a compressed row that mean nothing. */
function sameEvents(row: Row, after: Uint8Array): boolean {
  const events = (one: Row): string => {
    try {
      return JSON.stringify(
        readBlocks(rawBytes(one)).map((block) =>
          Array.from({ length: block.events }, (_, i) => recordedEvent(block, i)),
        ),
      );
    } catch {
      return 'unreadable';
    }
  };
  return events(row) === events({ ...row, bytes: after });
}

function newKey(): string {
  return String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
}
