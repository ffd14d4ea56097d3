import { describe, expect, it } from 'vitest';
import type { HiddenConnection } from '../../src/catalog/connection.ts';
import type { Key, Relation } from '../../src/catalog/relation.ts';
import { gatherRows, identityOf, RowHashes } from '../../src/snapshot/row-identity.ts';

const relation = (columns: Record<string, '' | 's'>, keys: readonly Partial<Key>[]): Relation =>
  ({
    columns: Object.entries(columns).map(([name, generated]) => ({ name, generated })),
    keys: keys.map((key) => ({ primary: false, notNull: true, deferrable: false, ...key })),
  }) as unknown as Relation;

describe('what tells the rows of a table from each other', () => {
  it.each([
    [
      'its primary key, in its own order',
      [{ primary: true, columns: ['c', 'a'] }, { columns: ['b'] }],
      ['c', 'a'],
    ],
    ['another key without NULL', [{ columns: ['a'], notNull: false }, { columns: ['b', 'c'] }], ['b', 'c']],
    ['no key that may be broken for a while', [{ columns: ['a'], deferrable: true }], ['a', 'b', 'c']],
    ['no key that the server computes', [{ primary: true, columns: ['g'] }, { columns: ['b'] }], ['b']],
    ['all that is stored where it has no key', [], ['a', 'b', 'c']],
  ])('is %s', (_, keys, identity) => {
    expect(identityOf(relation({ a: '', b: '', g: 's', c: '' }, keys))).toEqual(identity);
  });
});

describe('rows', () => {
  const column = (value: string | null) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(value === null ? -1 : Buffer.byteLength(value));
    return Buffer.concat([length, Buffer.from(value ?? '')]);
  };
  const setOf = (
    rows: readonly (readonly [table: number, ...values: (string | null)[]])[],
    parts: boolean,
  ) => {
    const hashes = new RowHashes(Buffer.from('salt'), 100);
    for (const [table, ...values] of rows) {
      const columns = values.map(column);
      const bytes = Buffer.concat(columns);
      let at = 0;
      const places = columns.flatMap(({ length }) => {
        at += length;
        return [at - length, at];
      });
      hashes.add(table, bytes, parts ? places : [0, bytes.length]);
    }
    return hashes.set();
  };

  it('are the same wherever their columns stand, however long they are', () => {
    for (const value of ['', 'x', 'x'.repeat(4070), 'x'.repeat(100_000)]) {
      const rows = [[1, value, null, 'y']] as const;
      expect(setOf(rows, true)).toEqual(setOf(rows, false));
    }
  });

  it('are others in another table, with other values, and where these are parted otherwise', () => {
    const all = [
      [1, 'ab', 'c'],
      [2, 'ab', 'c'],
      [1, 'a', 'bc'],
      [1, 'ab', 'c', null],
      [1, 'ab', null],
      [1, 'ab', ''],
    ] as const;
    expect(new Set(setOf(all, true).hashes).size).toBe(all.length);
  });

  it('that take too much are counted, and not told from each other', () => {
    const hashes = new RowHashes(Buffer.from('salt'), 100, 1000);
    for (let i = 0; i < 3; i++) hashes.add(1, Buffer.alloc(400, i), [0, 400]);
    expect([hashes.count, hashes.isFull]).toEqual([3, true]);
  });
});

describe('rows that the server gives', () => {
  /** Messages of rows, each with its place and a column of its number. */
  const messages = (count: number) =>
    Buffer.concat(
      Array.from({ length: count }, (_, i) => {
        const message = Buffer.alloc(33);
        message.write('D');
        message.writeInt32BE(32, 1);
        message.writeInt16BE(3, 5);
        message.writeInt32BE(4, 7);
        message.writeInt32BE(16_384, 11);
        message.writeInt32BE(6, 15);
        message.writeInt32BE(4, 25);
        message.writeInt32BE(i, 29);
        return message;
      }),
    );
  /** As a session reads them: as many as are taken at once, and one by itself where no more are. */
  const giving = (bytes: Buffer): HiddenConnection => ({
    async run(_, onRow) {
      for (let at = 0; at < bytes.length; at += 33) {
        at = onRow.many?.(bytes, at, bytes.length) ?? at;
        if (at < bytes.length) await onRow(Buffer.from(bytes.subarray(at + 5, at + 33)));
      }
      return { tag: '' };
    },
  });
  const query = { sql: '', parameterTypes: [], parameters: [], parameterFormats: [], resultFormats: [] };
  const gather = (count: number, rowsMax: number) =>
    gatherRows(giving(messages(count)), [query], new RowHashes(Buffer.from('salt'), 10_000), rowsMax);

  it('are all taken, and others have their turn meanwhile', async () => {
    let turns = 0;
    let isOver = false;
    const turn = () => {
      turns++;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    const sets = await Promise.all([gather(5_000, 5_000), gather(5_000, 5_000)]);
    isOver = true;
    expect(sets.map((set) => [set?.count, new Set(set?.hashes).size])).toEqual([
      [5_000, 5_000],
      [5_000, 5_000],
    ]);
    expect(turns).toBeGreaterThanOrEqual(18);
  });

  it('are no set where they are too many', async () => {
    expect(await gather(11, 10)).toBeNull();
    expect((await gather(10, 10))?.count).toBe(10);
    expect((await gather(0, 10))?.count).toBe(0);
  });
});
