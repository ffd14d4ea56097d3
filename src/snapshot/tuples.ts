import { assert } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';

/**
 * Rows of which nothing is wanted but their bytes, by the ten million: DataRow messages without their headers are tuples
 * of PGCOPY. A function of WASM moves them together in memory of its own, with some 40 instructions a row, where Node's
 * `Buffer.copy` takes a thousand for each.
 *
 *     strip(at, end):                        -- gives how many rows there were
 *       out = at
 *       while end - at >= 7 and byte[at] = 'D' and 6 <= length(at + 1) < end - at:
 *         copy length - 4 bytes from at + 5 to out, and add that to out
 *         at += length + 1; rows += 1
 *       word[0] = at; word[4] = out
 */
const CODE = `
  00 61 73 6d 01 00 00 00                                 -- "\\0asm", version 1
  01 07 01 60 02 7f 7f 01 7f                              -- types: (i32, i32) → i32
  03 02 01 00                                             -- functions: one of that type
  05 03 01 00 02                                          -- memory: 2 pages of 64 KiB
  07 12 02 06 6d 65 6d 6f 72 79 02 00                     -- exports: "memory"
           05 73 74 72 69 70 00 00                        --          "strip"
  0a 93 01 01 90 01 01 04 7f                              -- code; locals 2 out, 3 length, 4 rows, 5 left
    20 00 21 02                                           -- out = at
    02 40 03 40                                           -- block, loop
      20 01 20 00 6b 22 05 41 07 48 0d 01                 -- left = end - at; leave if left < 7
      20 00 2d 00 00 41 c4 00 47 0d 01                    -- leave if byte[at] ≠ 0x44
      20 00 2d 00 01 41 18 74                             -- length, of four bytes
      20 00 2d 00 02 41 10 74 72
      20 00 2d 00 03 41 08 74 72
      20 00 2d 00 04 72 22 03
      41 06 48 0d 01                                      -- leave if length < 6
      20 03 20 05 4e 0d 01                                -- leave if length >= left
      20 02 20 00 41 05 6a 20 03 41 04 6b fc 0a 00 00     -- memory.copy(out, at + 5, length - 4)
      20 02 20 03 41 04 6b 6a 21 02                       -- out += length - 4
      20 00 20 03 41 01 6a 6a 21 00                       -- at += length + 1
      20 04 41 01 6a 21 04                                -- rows += 1
      0c 00 0b 0b                                         -- again
    41 00 20 00 36 02 00                                  -- word[0] = at
    41 00 20 02 36 02 04                                  -- word[4] = out
    20 04 0b                                              -- rows
`;

const INPUT_AT = 8;
const INPUT_BYTES = LIMITS.readBufferBytes;

interface Strip {
  readonly memory: WebAssembly.Memory;
  strip(at: number, end: number): number;
}

let loaded: { readonly strip: Strip['strip']; readonly bytes: Buffer } | null = null;

function load(): { readonly strip: Strip['strip']; readonly bytes: Buffer } {
  if (loaded !== null) return loaded;
  const code = Buffer.from(CODE.replace(/--.*/g, '').replace(/\s/g, ''), 'hex');
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code));
  const { memory, strip } = exports as unknown as Strip;
  assert(memory.buffer.byteLength >= INPUT_AT + INPUT_BYTES, 'what is read at once fits');
  loaded = { strip, bytes: Buffer.from(memory.buffer) };
  return loaded;
}

export interface Tuples {
  /** One after another, valid until the next call. */
  readonly bytes: Buffer;
  readonly rows: number;
  /** Where the first stands that was left: what is no DataRow, or is not all there. */
  readonly stopped: number;
}

/** The rows of the whole DataRows at the beginning of `bytes[at, end)`. */
export function tuplesOf(bytes: Buffer, at: number, end: number): Tuples {
  const { strip, bytes: own } = load();
  const length = Math.min(end - at, INPUT_BYTES);
  bytes.copy(own, INPUT_AT, at, at + length);
  const rows = strip(INPUT_AT, INPUT_AT + length);
  const stopped = at + own.readUInt32LE(0) - INPUT_AT;
  return { bytes: own.subarray(INPUT_AT, own.readUInt32LE(4)), rows, stopped };
}
