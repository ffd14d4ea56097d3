/** Arrays as parameters in PostgreSQL's binary format. */

export const TEXT_ARRAY_OID = 1009;
export const OID_ARRAY_OID = 1028;
export const TID_ARRAY_OID = 1010;
const TEXT_OID = 25;
export const OID_OID = 26;
const TID_OID = 27;
export const TID_BYTES = 6;

/** Texts, or their bytes in whatever encoding the session has. */
export function textArray(values: readonly (string | Buffer | null)[]): Buffer {
  return arrayOf(
    TEXT_OID,
    values.map((value) => (typeof value === 'string' ? Buffer.from(value, 'utf8') : value)),
  );
}

export function oidArray(values: readonly number[]): Buffer {
  return arrayOf(
    OID_OID,
    values.map((value) => oidValue(value)),
  );
}

export function oidValue(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** `tids` is a run of tids in binary, six bytes each. */
export function tidArray(tids: Buffer): Buffer {
  const count = tids.length / TID_BYTES;
  const out = Buffer.allocUnsafe(20 + count * (4 + TID_BYTES));
  header(TID_OID, count, false).copy(out);
  for (let i = 0, at = 20; i < count; i++) {
    at = out.writeInt32BE(TID_BYTES, at);
    at += tids.copy(out, at, i * TID_BYTES, (i + 1) * TID_BYTES);
  }
  return out;
}

function arrayOf(elementOid: number, values: readonly (Buffer | null)[]): Buffer {
  const parts: Buffer[] = [header(elementOid, values.length, values.includes(null))];
  for (const value of values) {
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(value?.length ?? -1);
    parts.push(length);
    if (value !== null) parts.push(value);
  }
  return Buffer.concat(parts);
}

/** Dimensions, whether there are NULLs, the element's type, and the one dimension from 1. */
function header(elementOid: number, count: number, nulls: boolean): Buffer {
  const out = Buffer.alloc(count === 0 ? 12 : 20);
  out.writeInt32BE(count === 0 ? 0 : 1, 0);
  out.writeInt32BE(nulls ? 1 : 0, 4);
  out.writeUInt32BE(elementOid, 8);
  if (count > 0) {
    out.writeInt32BE(count, 12);
    out.writeInt32BE(1, 16);
  }
  return out;
}
