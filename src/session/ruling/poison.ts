import { randomBytes } from 'node:crypto';
import type { AuditEntry } from '../../audit/event.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { encodeDescribe, encodeExecute, encodeQuery, encodeSync } from '../../wire/frontend.ts';
import { Frontend } from '../../wire/message-type.ts';
import { ReplyKind } from '../replies.ts';
import type { SessionState } from '../state.ts';
import type { Verdict } from '../verdict.ts';
import { unknownStatementError } from './refusal.ts';

type Replacement = Extract<Verdict, { kind: 'replace' }>;

/** A portal that nobody can have made, because nobody can guess its name: an Execute of it fails with 34000. */
const POISON_PORTAL = `__holdfast_refused_${randomBytes(12).toString('hex')}`;
export const NOTHING = Buffer.alloc(0);
const SYNC = encodeSync();
export const POISON_EXECUTE = encodeExecute(POISON_PORTAL, 0);
/** A text that no server parses, so that it fails and runs nothing; one Query for one Query. */
const POISON_QUERY = encodeQuery('holdfast refused a statement');

/**
 * Replaces a message by one that fails at the server, in its place among the others, and has that failure read as
 * `error`. So the transaction is left as any error leaves it.
 */
export function poison(
  state: SessionState,
  type: number,
  error: ErrorFields,
  entry: AuditEntry | null,
): Replacement {
  if (type === Frontend.Sync) return beforeSync(state, error, entry);
  const whole = type === Frontend.Query || type === Frontend.FunctionCall;
  // Where the server discards anyway, there is nothing to refuse and no error to come.
  if (state.discarding) return { kind: 'replace', bytes: NOTHING };
  if (whole) state.closeSegment();
  else state.discarding = true;
  const reply = state.replies.push(whole ? ReplyKind.Query : ReplyKind.Execute);
  reply.poison = error;
  reply.audit = entry;
  return { kind: 'replace', bytes: whole ? POISON_QUERY : POISON_EXECUTE };
}

/** A Sync goes on behind the failure, because it is owed a ReadyForQuery and ends what the server discards. */
function beforeSync(state: SessionState, error: ErrorFields, entry: AuditEntry | null): Replacement {
  const { bytes } = poison(state, Frontend.Execute, error, entry);
  state.syncs();
  return { kind: 'replace', bytes: Buffer.concat([bytes, SYNC]) };
}

/** As `poison`, for what is refused before it is known what it runs. */
export function refuse(state: SessionState, type: number, error: ErrorFields): Replacement {
  return poison(state, type, error, null);
}

/**
 * A Bind of a statement that the gateway does not know. Describe tells whether the server knows it and runs
 * nothing: if not, its error is the one that the client is owed; if so, the poison behind it refuses the Bind.
 */
export function probeUnknown(state: SessionState, name: string): Verdict {
  const probe = state.replies.push(ReplyKind.Describe);
  probe.hidden = true;
  const refused = poison(state, Frontend.Bind, unknownStatementError(), null);
  const describe = encodeDescribe('S', '');
  const bytes = Buffer.from(name, 'latin1');
  const body = Buffer.concat([describe.subarray(0, 6), bytes, Buffer.from([0])]);
  body.writeUInt32BE(body.length - 1, 1);
  return { kind: 'replace', bytes: Buffer.concat([body, refused.bytes]) };
}
