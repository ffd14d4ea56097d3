import { LIMITS } from '../base/limits.ts';
import { Backend, Frontend } from './message-type.ts';

/** The longest length word, its own four bytes included, that PostgreSQL accepts for each frontend message. */
const FRONTEND_LENGTH_MAX = new Float64Array(256);
for (const type of [
  Frontend.Query,
  Frontend.Parse,
  Frontend.Bind,
  Frontend.FunctionCall,
  Frontend.CopyData,
]) {
  FRONTEND_LENGTH_MAX[type] = LIMITS.largeMessageBytes;
}
for (const type of [
  Frontend.Close,
  Frontend.CopyDone,
  Frontend.CopyFail,
  Frontend.Describe,
  Frontend.Execute,
  Frontend.Flush,
  Frontend.Sync,
  Frontend.Terminate,
]) {
  FRONTEND_LENGTH_MAX[type] = LIMITS.smallMessageBytes;
}

const KNOWN_BACKEND = new Uint8Array(256);
for (const type of Object.values(Backend)) KNOWN_BACKEND[type] = 1;

/**
 * Whether PostgreSQL would read on after this header once the session is open. `length` is the length word read
 * as unsigned, so that a negative one is too long. The rules are those of SocketBackend in postgres.c.
 */
export function isFrontendHeaderValid(type: number, length: number): boolean {
  return length >= 4 && length <= FRONTEND_LENGTH_MAX[type]!;
}

/** Whether a server of protocol 3 may send this header. */
export function isBackendHeaderValid(type: number, length: number): boolean {
  return KNOWN_BACKEND[type] === 1 && length >= 4 && length <= 0x7fffffff;
}

/** The length word at `offset + 1`, unsigned. */
export function lengthAt(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset + 1]! << 24) |
      (bytes[offset + 2]! << 16) |
      (bytes[offset + 3]! << 8) |
      bytes[offset + 4]!) >>>
    0
  );
}
