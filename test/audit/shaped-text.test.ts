import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENTRY, SHAPED_TEXT_BYTES_MAX } from '../../src/audit/block-format.ts';
import { BlockReader } from '../../src/audit/block-reader.ts';
import { BlockWriter } from '../../src/audit/block-writer.ts';
import { chainBlock, checksOf } from '../../src/audit/chain.ts';
import { Dictionary } from '../../src/audit/dictionary.ts';
import type { AuditEntry } from '../../src/audit/event.ts';
import { keepLiterals } from '../../src/audit/kept-literals.ts';
import { type RecordedEvent, recordedEvent } from '../../src/audit/recorded-event.ts';
import { shapedText, writeLiterals } from '../../src/audit/shaped-text.ts';
import { AnalysisCache } from '../../src/sql/cache.ts';
import { DEFAULT_TEXT_FACTS } from '../../src/sql/effects.ts';
import { hasShape, type ShapePieces, takeApart } from '../../src/sql/recent/shape-pieces.ts';
import { readShape, shape } from '../../src/sql/recent/template.ts';
import { seed } from '../sql/seed.ts';
import { analysis, entry } from './statements.ts';

function shapeOf(text: string): ShapePieces | null {
  const scratch = Buffer.alloc(text.length + 1);
  const bytes = Buffer.from(text);
  readShape(bytes, 0, bytes.length, scratch);
  if (!shape.known || shape.highBytes || shape.length === 0) return null;
  return takeApart(Uint8Array.from(scratch.subarray(0, shape.length)));
}

function written(entries: readonly AuditEntry[]): { reader: BlockReader; events: RecordedEvent[] } {
  const writer = new BlockWriter(new Dictionary());
  for (const one of entries) expect(writer.append(one)).toBe(true);
  const reader = new BlockReader(writer.seal(1).bytes);
  return { reader, events: entries.map((_, i) => recordedEvent(reader, i)) };
}

const literal = fc.oneof(
  fc.nat().map(String),
  fc.bigInt(0n, 10n ** 20n).map(String),
  fc.tuple(fc.nat(999), fc.nat(999)).map((parts) => parts.join('.')),
  fc.string({ maxLength: 12 }).map((text) => `'${text.replaceAll("'", "''")}'`),
);
const text = fc
  .array(
    fc.tuple(
      fc.constantFrom('select ', ' + ', ' + -', ', ', ' = ', '(', ' -- ', ' "a1" ', '/', '-', '::', '<', ';'),
      literal,
    ),
  )
  .map((parts) => parts.flat().join(''));

describe('a text by its shape', () => {
  it('is put together as it was sent, whatever its literals are', () => {
    let shaped = 0;
    fc.assert(
      fc.property(text, (sql) => {
        const of = shapeOf(sql);
        fc.pre(of !== null);
        const into = Buffer.alloc(sql.length + 10);
        const end = writeLiterals(into, 3, sql, of!);
        expect(end).toBeLessThanOrEqual(3 + sql.length);
        expect(shapedText(of!.bytes, into.subarray(3, end))?.toString()).toBe(sql);
        shaped++;
      }),
      { seed, numRuns: 2_000 },
    );
    expect(shaped).toBe(2_000);
  });

  it('is written by literals that were kept as it is by its text', () => {
    let shaped = 0;
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 9 }), (texts) => {
        const kept = texts.flatMap((sql) => {
          const bytes = Buffer.from(`1'${sql}'1`);
          const of = shapeOf(sql);
          if (of === null || !hasShape(of, bytes, 2, bytes.length - 2)) return [];
          const literals = keepLiterals(bytes, of);
          bytes.fill(0);
          return [{ sql, one: entry({ text: null, literals, shape: of }) }];
        });
        fc.pre(kept.length > 0);
        const { reader, events } = written(kept.map(({ one }) => one));
        expect(events.map(({ sql }) => sql)).toEqual(kept.map(({ sql }) => sql));
        expect(reader.refsOf(ENTRY.shapedText)).toHaveLength(kept.length);
        shaped += kept.length;
      }),
      { seed, numRuns: 1_000 },
    );
    expect(shaped).toBeGreaterThan(1_000);
  });

  it('is masked where its analysis says so, whatever literals were kept', () => {
    const bytes = Buffer.from("set password = 'secret'");
    const of = shapeOf('select 1')!;
    hasShape(of, Buffer.from('select 7'), 0, 8);
    const literals = keepLiterals(bytes, of);
    const masked = analysis({ redacted: "set password = '***'" });
    const { events } = written([entry({ analysis: masked, text: null, literals, shape: of })]);
    expect(events.map(({ sql }) => sql)).toEqual(["set password = '***'"]);
  });

  it('is in a block once for all texts that are like it', () => {
    const of = analysis();
    const texts = Array.from(
      { length: 500 },
      (_, i) => `select * from a_table where id = ${i} and name = 'it''s ${i}'`,
    );
    const entries = texts.map((sql) => entry({ analysis: of, text: sql, shape: shapeOf(sql) }));
    const alike = entries.map((one) => ({ ...one, shape: entries[0]!.shape }));
    const { reader, events } = written(alike);
    expect(events.map(({ sql }) => sql)).toEqual(texts);
    expect(reader.refsOf(ENTRY.shape)).toHaveLength(1);
    expect(reader.refsOf(ENTRY.shapedText)).toHaveLength(500);
    expect(events[7]!.sql_sha256).toBe(written([entry({ text: texts[7]! })]).events[0]!.sql_sha256);
  });

  it('has the shape of its own, where others that are understood alike have others', () => {
    const of = analysis();
    const texts = [
      'select 1 + 5',
      'select 1 + -5',
      "select 'a' + 7",
      'select 2 + 5',
      'select 1.5',
      'select 1',
    ];
    const { events } = written(texts.map((sql) => entry({ analysis: of, text: sql, shape: shapeOf(sql) })));
    expect(events.map(({ sql }) => sql)).toEqual(texts);
  });

  it('is kept as it is where it is long, has no literals, is masked, or ends otherwise than its shape', () => {
    const long = `select ${'1, '.repeat(SHAPED_TEXT_BYTES_MAX)} 2`;
    const of = shapeOf("set password = 'x'");
    const masked = analysis({ redacted: "set password = '***'" });
    const { reader, events } = written([
      entry({ text: long, shape: shapeOf(long) }),
      entry({ text: 'commit', shape: takeApart(Buffer.from('commit')) }),
      entry({ analysis: masked, text: "set password = 'secret'", shape: of }),
      entry({ text: 'select 1, more', shape: shapeOf('select 1') }),
    ]);
    expect(events.map(({ sql }) => sql)).toEqual([long, 'commit', "set password = '***'", 'select 1, more']);
    expect(reader.refsOf(ENTRY.shapedText)).toEqual([]);
  });

  it('is refused by a reader where it does not fit its shape', () => {
    const at = Uint8Array.of(65, 1, 66, 4);
    const put = (shapeBytes: Uint8Array, literals: string) => shapedText(shapeBytes, Buffer.from(literals));
    expect(put(at, '1\u00002')?.toString()).toBe('A1B2');
    expect(put(at, '\u0000')?.toString()).toBe('AB');
    for (const literals of ['', '1', '1\u00002\u00003', '1\u00002\u0000'])
      expect(put(at, literals)).toBeNull();
    expect(put(Buffer.from('AB'), '')).toBeNull();
    expect(
      put(Buffer.alloc(SHAPED_TEXT_BYTES_MAX + 1, 1), '\u0000'.repeat(SHAPED_TEXT_BYTES_MAX)),
    ).toBeNull();
  });

  it('is refused where what it refers to is no shape, and changes the check where its shape is changed', () => {
    const sql = 'select 17';
    const writer = new BlockWriter(new Dictionary());
    writer.append(entry({ text: sql, shape: shapeOf(sql) }));
    const { bytes } = writer.seal(1);
    chainBlock(bytes, new Uint8Array(32));
    const block = Buffer.from(bytes.buffer);
    const check = () => checksOf(new DataView(bytes.buffer)).next();
    const before = check();
    const shapeAt = block.indexOf('select ');
    block[shapeAt] = 83;
    expect(check()).not.toBe(before);
    expect(recordedEvent(new BlockReader(bytes), 0).sql).toBe('Select 17');
    const refAt = block.lastIndexOf('17') - 2;
    for (const ref of [0, 1, 3, 5, 60_000]) {
      block.writeUInt16LE(ref, refAt);
      check();
      const reader = new BlockReader(bytes);
      expect(() => recordedEvent(reader, 0)).toThrow('a text that is not of its shape');
    }
  });

  it('has the shape that the text was found by, and no other', async () => {
    const cache = new AnalysisCache();
    await cache.ready();
    const ask = (sql: string) => {
      const bytes = Buffer.from(sql);
      void cache.analyze(bytes, 0, bytes.length, DEFAULT_TEXT_FACTS);
      return cache.atHand;
    };
    for (let i = 0; i < 3; i++) ask(`select * from t where a = ${i}`);
    expect(Buffer.from(ask('select * from t where a = 99')!.bytes).toString()).toBe(
      'select * from t where a = \u0001',
    );
    expect(ask('select * from t where a = 99 for update')).toBeNull();
    expect(ask(`select ${'1,'.repeat(100_000)} 1`)).toBeNull();
    await cache.close();
  });
});
