import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { BlockReader } from '../../src/audit/block-reader.ts';
import { BlockWriter } from '../../src/audit/block-writer.ts';
import { Dictionary } from '../../src/audit/dictionary.ts';
import { recordedEvent } from '../../src/audit/recorded-event.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { analysis, entry, SESSION } from './statements.ts';

it('a text of any length is hashed and written once in a block, however many statements are of it', () => {
  const dictionary = new Dictionary();
  const writer = new BlockWriter(dictionary);
  const of = analysis();
  const text = `select '${'x'.repeat(LIMITS.auditBlockBytes * 2)}'`;
  for (let i = 0; i < 1_000; i++) expect(writer.append(entry({ analysis: of, text }))).toBe(true);
  const { bytes } = writer.seal(1);
  expect(bytes.length).toBeLessThan(LIMITS.auditBlockBytes / 2);
  const reader = new BlockReader(bytes);
  const sha256 = createHash('sha256').update(text).digest('hex');
  for (const at of [0, 999]) expect(recordedEvent(reader, at)).toMatchObject({ sql_sha256: sha256 });
  // And is kept alive by nothing behind it.
  expect(dictionary.analysis(of, null).text).toBeNull();
});

it('a copy of a session that was written before is written as what it says itself', () => {
  const writer = new BlockWriter(new Dictionary());
  const session = { ...SESSION };
  writer.append(entry({ session }));
  writer.append(entry({ session: { ...session, application: 'another' } }));
  const reader = new BlockReader(writer.seal(1).bytes);
  expect([0, 1].map((i) => recordedEvent(reader, i).application)).toEqual(['psql', 'another']);
});
