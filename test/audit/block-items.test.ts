import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkBlock } from '../../src/audit/block-check.ts';
import { ENTRY, HEADER } from '../../src/audit/block-format.ts';
import { BlockReader } from '../../src/audit/block-reader.ts';
import { BlockWriter } from '../../src/audit/block-writer.ts';
import { chainBlock, checksOf } from '../../src/audit/chain.ts';
import { Dictionary } from '../../src/audit/dictionary.ts';
import type { AuditEntry } from '../../src/audit/event.ts';
import { recordedEvent } from '../../src/audit/recorded-event.ts';
import { takeApart } from '../../src/sql/recent/shape-pieces.ts';
import { seed } from '../sql/seed.ts';
import { partsOf } from './block-parts.ts';
import { ChainedStore } from './chained-store.ts';
import { analysis, decision, entry } from './statements.ts';

function blockOf(entries: readonly AuditEntry[]): Buffer {
  const writer = new BlockWriter(new Dictionary());
  for (const one of entries) expect(writer.append(one)).toBe(true);
  return Buffer.from(writer.seal(7).bytes);
}

describe('what an event says', () => {
  const now = Date.UTC(2026, 4, 17);
  const time = fc.oneof(
    fc.integer({ min: -600_000_000, max: 600_000_000 }).map((ticks) => now + ticks / 4096),
    fc.double({ min: now - 1000, max: now + 1000, noNaN: true }),
    fc.double(),
  );
  const duration = fc.oneof(
    fc.nat(2 ** 31 - 1).map((ticks) => ticks / 4096),
    fc.constantFrom(-1, 0, 262_143.9, 262_144, 3e9),
    fc.double(),
  );
  const rows = fc.oneof(fc.constantFrom(-1, 0, 126, 2 ** 30 - 3, 2 ** 30, 2 ** 40, 1.5), fc.nat());

  it('is read as it was written, whatever the numbers are', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(time, duration, rows), { minLength: 1, maxLength: 40 }), (all) => {
        const reader = new BlockReader(
          blockOf(all.map(([startedAtMs, durationMs, n]) => entry({ startedAtMs, durationMs, rows: n }))),
        );
        all.forEach(([startedAtMs, durationMs, n], i) => {
          const record = reader.record(i);
          expect(record).toMatchObject({ seq: 7 + i, rows: n });
          expect(record.startedAtMs + 0).toBe(startedAtMs + 0);
          expect(record.durationMs + 0).toBe(Math.fround(durationMs) + 0);
        });
      }),
      { seed, numRuns: 500 },
    );
  });

  it('is its own, whatever those of the same statement before it have said', () => {
    const of = analysis();
    const other = { ...of, statements: [of.statements[0]!, { ...of.statements[0]!, operation: 'insert' }] };
    const decisions = [decision(), decision('block', 'critical'), decision('allow', 'low')];
    const one = fc.record({
      analysis: fc.constantFrom(of, other),
      decision: fc.constantFrom(...decisions),
      protocol: fc.constantFrom('simple' as const, 'extended' as const, 'function' as const),
      statementIndex: fc.nat(1),
      parameters: fc.nat(2),
      approvalId: fc.constantFrom(null, null, null, 'apr_1'),
      holdMs: fc.constantFrom(0, 0, 0, 2.5),
      end: fc.constantFrom('completed' as const, 'failed' as const),
      sqlstate: fc.constantFrom(null, '22012'),
      transactionStatus: fc.constantFrom('I' as const, 'T' as const, '?' as const),
      text: fc.constantFrom('select 1', 'select 2', null),
    });
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 60 }), (all) => {
        const reader = new BlockReader(blockOf(all.map((changes) => entry(changes))));
        all.forEach((wanted, i) => {
          const found = recordedEvent(reader, i);
          const { protocol, parameters, end, sqlstate } = wanted;
          expect(found).toMatchObject({ protocol, parameters, end, sqlstate, sql: wanted.text });
          expect(found).toMatchObject({ approval_id: wanted.approvalId, hold_ms: wanted.holdMs });
          expect(found).toMatchObject({ action: wanted.decision.action, risk: wanted.decision.risk });
          expect(found.statement_index).toBe(wanted.statementIndex);
          expect(found.transaction_status).toBe(
            wanted.transactionStatus === '?' ? null : wanted.transactionStatus,
          );
          expect(found.operation).toBe(
            wanted.analysis === other && wanted.statementIndex === 1 ? 'insert' : 'select',
          );
        });
      }),
      { seed, numRuns: 300 },
    );
  });

  it('takes a few bytes where its like was there before', () => {
    const of = analysis();
    const block = blockOf(
      Array.from({ length: 100 }, (_, i) => entry({ analysis: of, startedAtMs: 1e12 + i })),
    );
    expect(new BlockReader(block).refsOf(ENTRY.pattern)).toHaveLength(1);
    for (const { start, end } of partsOf(block).slice(1)) expect(end - start).toBeLessThan(16);
  });
});

describe('a block that is none', () => {
  const of = analysis();
  const shape = takeApart(Buffer.from('select \u0001'));
  const good = blockOf(
    Array.from({ length: 12 }, (_, i) =>
      entry({
        analysis: of,
        text: i % 3 === 0 ? `select ${i}` : `select '${'x'.repeat(i)}'`,
        shape: i % 3 === 0 ? shape : null,
        approvalId: i % 5 === 0 ? `apr_${i}` : null,
      }),
    ),
  );
  chainBlock(good, new Uint8Array(32));

  /** What is wrong with it, by whoever verifies it and whoever reads it. */
  function told(block: Uint8Array): { verified: string; read: string } {
    const checked = checkBlock(block);
    if (typeof checked !== 'string') {
      const checks = checksOf(checked.view);
      for (let i = 0; i < checked.events; i++) checks.next();
    }
    let read = 'read';
    try {
      const reader = new BlockReader(block);
      for (let i = 0; i < reader.events; i++) recordedEvent(reader, i);
    } catch (error) {
      read = (error as Error).message;
    }
    return { verified: typeof checked === 'string' ? checked : 'one', read };
  }

  it('breaks nobody who verifies or reads it, wherever it is changed', () => {
    expect(told(good)).toEqual({ verified: 'one', read: 'read' });
    const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(good.length), (changes, cut) => {
        const block = Buffer.from(good);
        for (const [at, value] of changes) block[at] = value;
        const start = performance.now();
        told(block);
        told(block.subarray(0, cut));
        expect(performance.now() - start).toBeLessThan(1000);
      }),
      { seed, numRuns: 3_000 },
    );
  });

  it.each([
    [HEADER.events, 4_000_000_000],
    [HEADER.events, 0],
    [HEADER.events, 11],
    [HEADER.dictionaryEntries, 4_000_000_000],
    [HEADER.totalBytes, 64],
    [HEADER.totalBytes, 0],
  ])('is told by its header, at %i', (at, value) => {
    const block = Buffer.from(good);
    block.writeUInt32LE(value, at);
    const { verified, read } = told(block);
    expect(verified).toMatch(/^it /);
    expect(read).toMatch(/^an audit block is /);
  });

  it('has no event that refers to what comes behind it, nor is one where nothing else is wrong with it', async () => {
    const audit = await ChainedStore.create();
    await audit.start();
    for (let i = 0; i < 3; i++) audit.log.finish(entry({ analysis: of }));
    await audit.stop();
    audit.tamper((database) => {
      const row = database.prepare('select * from audit_blocks').get()!;
      const stored = row['bytes'] as Uint8Array;
      const block = Buffer.from(row['encoding'] === 'zstd' ? zstdDecompressSync(stored) : stored);
      // The session of the last event, in front of its text, duration (of 1.5 ms), rows and check.
      block[partsOf(block)[2]!.end - 4 - 1 - 2 - 1 - 1] = 127;
      expect(told(block)).toEqual({ verified: 'one', read: 'an audit block is not one of items' });
      const hash = chainBlock(block, new Uint8Array(32));
      database.prepare("update audit_blocks set encoding = 'raw', bytes = ?, hash = ?").run(block, hash);
    });
    const { faults } = await audit.verify({ anchors: false });
    const [first] = faults.map(({ kind, first: from, last, what }) => `${kind} ${from}-${last}: ${what}`);
    expect(first).toBe(
      'changed 1-3: not to be read as they are stored: its events do not say what events do',
    );
    await audit.remove();
  });
});
