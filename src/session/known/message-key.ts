import type { SessionState } from '../state.ts';
import { nameKey } from './names.ts';
import { UNKNOWN_STATEMENT } from './opaque.ts';

/** The key of a name; null where the server may take it for another, so that its message has to be refused. */
export function messageKey(state: SessionState, bytes: Buffer, start: number, end: number): string | null {
  const key = state.nameKey(bytes, start, end);
  // Where what is unknown may run, there is nothing to be wrong about but the audit.
  if (key !== null || state.decide(UNKNOWN_STATEMENT).action !== 'allow') return key;
  return nameKey(bytes, start, end);
}
