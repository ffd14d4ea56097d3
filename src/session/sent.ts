import { createHash, type Hash } from 'node:crypto';
import type { Decision } from '../policy/decision.ts';
import type { Analysis } from '../sql/effects.ts';
import type { Bind } from '../wire/bind.ts';
import { type PreparedStatement, UNSETTLED } from './names.ts';
import { type BoundValues, boundValues } from './preview-desk.ts';
import type { SessionState } from './state.ts';
import { executedBy } from './understanding.ts';

/** What a client has sent to be run, for what may be held. */
export interface Sent {
  /** With its passwords; null where the gateway does not have it. */
  readonly text: string | null;
  /** The types that its Parse has declared, as they are on the wire. */
  readonly types: string;
  /** Of the extended protocol: the Bind, and the name of its statement as it is on the wire. */
  readonly bound: BoundValues | null;
}

/** Whether what was sent has to be known, should it come to a hold. */
export function mayBeHeld(decision: Decision): boolean {
  if (decision.action === 'hold') return true;
  return decision.action === 'snapshot' && decision.withoutPlan?.kind === 'hold';
}

/** A Bind that is malformed runs nothing. */
export function sentBind(
  statement: PreparedStatement | null,
  bytes: Buffer,
  start: number,
  end: number,
  nameStart: number,
  nameEnd: number,
): Sent | null {
  const bound = statement === null ? null : boundValues(bytes, start, end, nameStart, nameEnd);
  if (statement === null || bound === null) return null;
  return { text: statement.text ?? statement.source ?? null, types: statement.types, bound };
}

export type RequestKey =
  | { readonly kind: 'key'; readonly key: string }
  /** Another request might look the same and do something else. */
  | { readonly kind: 'none'; readonly why: string };

/** What a character is read as that is none in UTF-8. */
const UNREADABLE = '\ufffd';

/** What the same request of the same role has again, on whatever connection: all that decides what it runs. */
export function requestKey(state: SessionState, read: Analysis, sent: Sent | null): RequestKey {
  const none = (why: string): RequestKey => ({ kind: 'none', why });
  if (sent === null || sent.text === null) return none('the gateway does not have all of its text');
  if (read.statements.some(({ predicate }) => predicate === 'cursor'))
    return none('it changes the row that a cursor stands at');
  const texts = [sent.text];
  for (const statement of executedBy(state, read)) {
    const text = statement === null || statement === UNSETTLED ? null : (statement.text ?? statement.source);
    if (typeof text !== 'string') return none('it runs a prepared statement whose text is not known');
    texts.push(text);
  }
  if (texts.some((text) => text.includes(UNREADABLE))) return none('its text is not in UTF-8');
  const { role, database } = state.facts;
  const { encoding, standardConformingStrings } = state.textFacts;
  const client = state.parameters.get('client_encoding') ?? null;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([role, database, client, encoding, standardConformingStrings, texts]));
  if (sent.bound !== null) addParameters(hash, sent.types, sent.bound.bind);
  return { kind: 'key', key: hash.digest('hex') };
}

/** A statement without parameters is the same however it comes. */
function addParameters(hash: Hash, types: string, { parameterFormats: formats, parameters }: Bind): void {
  if (parameters.length === 0) return;
  hash.update(types, 'latin1');
  for (const [i, value] of parameters.entries()) {
    const format = formats[formats.length === 1 ? 0 : i] ?? 0;
    hash.update(`\n${format} ${value === null ? 'null' : value.length} `);
    if (value !== null) hash.update(value);
  }
}
