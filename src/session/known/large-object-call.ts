import { ownCopy } from '../../base/own-copy.ts';
import type { Analysis, Risk } from '../../sql/effects.ts';
import { decodeFrontendMessage } from '../../wire/frontend-message.ts';
import { Frontend } from '../../wire/message-type.ts';
import { FUNCTION_CALL, withoutText } from './opaque.ts';

/** The calls without SQL text by which drivers, `pg_dump` and `pg_restore` read and write large objects. */

/** What a FunctionCall does, as far as its message tells. */
export interface Called {
  readonly analysis: Analysis;
  /** Where it takes nothing away if it writes behind the end of what is there. */
  readonly writes: LargeObjectWrite | null;
}

export interface LargeObjectWrite {
  /** By which the session has the large object open. */
  readonly descriptor: number;
  /** How long it is to be from now on; null where what is written begins where the descriptor stands. */
  readonly length: bigint | null;
}

const call = (risk: Risk, reason: string) => withoutText('function call', risk, reason, []);

const READS = call('safe', 'reads a large object');
const MAKES = call('low', 'makes a large object');
const OVERWRITES = call('high', 'may overwrite a large object');
const REMOVES = call('critical', 'removes a large object');
/** What is written behind the end takes nothing away. */
export const APPENDS = call('low', 'writes behind the end of a large object');

/** By their OIDs, which PostgreSQL has given them once and for all. */
const LARGE_OBJECT_CALLS: ReadonlyMap<number, Analysis> = new Map([
  [715, MAKES], // lo_create
  [952, READS], // lo_open
  [953, READS], // lo_close
  [954, READS], // loread
  [955, OVERWRITES], // lowrite
  [956, READS], // lo_lseek
  [957, MAKES], // lo_creat
  [958, READS], // lo_tell
  [964, REMOVES], // lo_unlink
  [1004, OVERWRITES], // lo_truncate
  [3170, READS], // lo_lseek64
  [3171, READS], // lo_tell64
  [3172, OVERWRITES], // lo_truncate64
]);

const LOWRITE = 955;

/** Of the body `bytes[start, end)`. */
export function calledBy(bytes: Buffer, start: number, end: number): Called {
  const analysis = end - start < 4 ? undefined : LARGE_OBJECT_CALLS.get(bytes.readUInt32BE(start));
  if (analysis === undefined) return { analysis: FUNCTION_CALL, writes: null };
  return { analysis, writes: analysis === OVERWRITES ? writeOf(ownCopy(bytes.subarray(start, end))) : null };
}

function writeOf(body: Buffer): LargeObjectWrite | null {
  const message = decodeFrontendMessage(Frontend.FunctionCall, body, 'latin1');
  if (message.kind !== 'function-call') return null;
  const { functionOid, argumentFormats, arguments: values } = message;
  const [descriptor, length] = values.map((value, i) =>
    integer(value, argumentFormats[argumentFormats.length === 1 ? 0 : i] ?? 0),
  );
  if (descriptor === undefined || descriptor === null) return null;
  if (functionOid === LOWRITE) return { descriptor: Number(descriptor), length: null };
  return length === undefined || length === null ? null : { descriptor: Number(descriptor), length };
}

function integer(value: Buffer | null, format: number): bigint | null {
  if (value === null) return null;
  if (format === 0) return /^\d{1,18}$/.test(value.latin1Slice()) ? BigInt(value.latin1Slice()) : null;
  if (value.length === 4) return BigInt(value.readInt32BE(0));
  return value.length === 8 ? value.readBigInt64BE(0) : null;
}
