import { lengthAt } from './frame.ts';
import { bindParameterCount, stringEnd } from './frontend.ts';
import { Frontend, HEADER_BYTES } from './message-type.ts';

const PORTAL = 0x50;
const SYNC_BYTES = 5;
/** Of the unnamed portal. */
const DESCRIBE_BYTES = 7;
const EXECUTE_BYTES = 10;

/**
 * The messages with which most drivers run a statement once, found in what a client has sent: Bind of the unnamed portal,
 * Describe of it, Execute of all its rows and Sync; and a Parse of the unnamed statement in front of them, if it is not
 * prepared. Without Describe where the driver knows what comes.
 */
export interface Execution {
  /** The text of the Parse without its NUL, of which no types are declared; -1 where there is none. */
  textStart: number;
  textEnd: number;
  /** The name of the statement that is bound. */
  nameStart: number;
  nameEnd: number;
  parameters: number;
  describes: boolean;
  /** Behind the Sync. */
  end: number;
}

export function noExecution(): Execution {
  return { textStart: -1, textEnd: -1, nameStart: 0, nameEnd: 0, parameters: 0, describes: false, end: 0 };
}

/** Whether one begins at `at` and is there whole in front of `end`; `found` is then filled in. */
export function findExecution(bytes: Buffer, at: number, end: number, found: Execution): boolean {
  let next = at;
  found.textStart = -1;
  if (bytes[at] === Frontend.Parse) {
    next = behind(bytes, at, end);
    const textEnd = next - 3;
    if (next < 0 || bytes[at + HEADER_BYTES] !== 0 || textEnd <= at + HEADER_BYTES) return false;
    if ((bytes[textEnd]! | bytes[next - 2]! | bytes[next - 1]!) !== 0) return false;
    found.textStart = at + HEADER_BYTES + 1;
    found.textEnd = textEnd;
  }
  const bind = next;
  if (bytes[bind] !== Frontend.Bind) return false;
  next = behind(bytes, bind, end);
  if (next < 0 || bytes[bind + HEADER_BYTES] !== 0) return false;
  found.nameStart = bind + HEADER_BYTES + 1;
  found.nameEnd = stringEnd(bytes, found.nameStart, next);
  if (found.nameEnd < 0) return false;
  // What was parsed here is what runs.
  if (found.textStart >= 0 && found.nameEnd !== found.nameStart) return false;
  found.parameters = bindParameterCount(bytes, found.nameEnd + 1, next);
  if (found.parameters < 0) return false;
  found.describes = bytes[next] === Frontend.Describe;
  if (found.describes) {
    if (next + DESCRIBE_BYTES > end || lengthAt(bytes, next) !== DESCRIBE_BYTES - 1) return false;
    if (bytes[next + 5] !== PORTAL || bytes[next + 6] !== 0) return false;
    next += DESCRIBE_BYTES;
  }
  if (next + EXECUTE_BYTES + SYNC_BYTES > end || bytes[next] !== Frontend.Execute) return false;
  if (lengthAt(bytes, next) !== EXECUTE_BYTES - 1) return false;
  // The empty name, and no limit of rows.
  if ((bytes[next + 5]! | bytes[next + 6]! | bytes[next + 7]! | bytes[next + 8]! | bytes[next + 9]!) !== 0)
    return false;
  next += EXECUTE_BYTES;
  if (bytes[next] !== Frontend.Sync || lengthAt(bytes, next) !== SYNC_BYTES - 1) return false;
  found.end = next + SYNC_BYTES;
  return true;
}

/** Where the next message begins; -1 where the one at `at` is not there whole. */
function behind(bytes: Buffer, at: number, end: number): number {
  if (end - at < HEADER_BYTES) return -1;
  const next = at + 1 + lengthAt(bytes, at);
  return next > end || next < at + HEADER_BYTES ? -1 : next;
}
