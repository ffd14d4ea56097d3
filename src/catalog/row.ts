import { assert } from '../base/assert.ts';

/** The columns of a DataRow's body in text; NULL is null. */
export function textColumns(row: Buffer): (string | null)[] {
  const out: (string | null)[] = [];
  let at = 2;
  for (let i = row.readUInt16BE(0); i > 0; i--) {
    const length = row.readInt32BE(at);
    at += 4;
    out.push(length < 0 ? null : row.utf8Slice(at, at + length));
    at += Math.max(0, length);
  }
  assert(at === row.length, 'a DataRow ends with its last column');
  return out;
}
