import { encodeMessage } from '../../wire/backend.ts';
import { Frontend } from '../../wire/message-type.ts';
import type { SessionState } from '../state.ts';
import type { Verdict } from '../verdict.ts';
import { heldBackSince } from './restrained.ts';

const COPY_FAIL = encodeMessage(Frontend.CopyFail, Buffer.from('holdfast refused a COPY\0'));

/** SQLSTATE with which that fails: query_canceled. */
export const COPY_FAILED = '57014';

/**
 * At the end of the data of a COPY that a pause or a quarantine has overtaken: it fails in place of it, and the failure is
 * read as the refusal. Null where it goes on.
 */
export function failRestrainedCopy(state: SessionState): Verdict {
  const { head } = state.replies;
  if (!state.copyingIn || head === null || head.audit === null) return null;
  const error = heldBackSince(state, head.audit);
  if (error === null) return null;
  head.poison = error;
  return { kind: 'replace', bytes: COPY_FAIL };
}
