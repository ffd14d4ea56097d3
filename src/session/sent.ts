import { createHash, type Hash } from 'node:crypto';
import type { Decision } from '../policy/decision.ts';
import type { Analysis, TextFacts } from '../sql/effects.ts';
import type { Bind } from '../wire/bind.ts';
import { type PreparedStatement, UNSETTLED } from './names.ts';
import { type BoundValues, boundValues } from './preview-desk.ts';
import type { SessionState } from './state.ts';
import { executedBy, executes } from './understanding.ts';

/** What a client has sent to be run, for what may be held. */
export interface Sent {
  /** With its passwords; null where the gateway does not have it. */
  readonly text: string | null;
  /** How the text is read. */
  readonly facts: TextFacts | null;
  /** The types that its Parse has declared, as they are on the wire. */
  readonly types: string;
  /** Of the extended protocol: the Bind, and the name of its statement as it is on the wire. */
  readonly bound: BoundValues | null;
  /** Why no other request may rely on an approval of it. */
  readonly alone?: string;
}

/** What a portal runs that was approved at its Bind, and that may do something else by now. */
export function sentBefore({ text, source, facts, types }: PreparedStatement): Sent {
  const alone = 'something else has run between its Bind and its Execute, or too much time has passed';
  return { text: text ?? source ?? null, facts, types, bound: null, alone };
}

/** Whether what was sent has to be known, should it come to a hold. Where no snapshots are taken, none is missed. */
export function mayBeHeld({ services }: SessionState, decision: Decision): boolean {
  if (decision.action === 'hold') return true;
  if (decision.action !== 'snapshot' || services.snapshots === null) return false;
  return decision.withoutPlan?.kind === 'hold';
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
  const { facts, types } = statement;
  return { text: statement.text ?? statement.source ?? null, facts, types, bound };
}

/** All that the statement may take a name from: its text, those of what its EXECUTEs run, and its parameters as text. */
export function textsSent(state: SessionState, read: Analysis, sent: Sent | null): readonly string[] {
  const texts = [sent?.text ?? ''];
  for (const statement of executedBy(state, read))
    if (statement !== null && statement !== UNSETTLED) texts.push(statement.text ?? statement.source ?? '');
  for (const value of sent?.bound?.bind.parameters ?? [])
    if (value !== null) texts.push(value.toString('latin1'));
  return texts;
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
  if (sent?.alone !== undefined) return none(sent.alone);
  if (sent === null || sent.text === null) return none('the gateway does not have all of its text');
  if (read.statements.some(({ predicate }) => predicate === 'cursor'))
    return none('it changes the row that a cursor stands at');
  const texts = [sent.text];
  const readings = [readingOf(sent.facts ?? state.textFacts)];
  for (const statement of executedBy(state, read)) {
    const known = statement === UNSETTLED ? null : statement;
    const text = known?.text ?? known?.source ?? null;
    if (known === null || text === null) return none('it runs a prepared statement whose text is not known');
    if (executes(known.analysis)) return none('it runs a prepared statement that runs another');
    texts.push(text);
    readings.push([...readingOf(known.facts), known.types]);
  }
  if (texts.some((text) => text.includes(UNREADABLE))) return none('its text is not in UTF-8');
  const { role, database } = state.facts;
  const client = state.parameters.get('client_encoding') ?? null;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([role, database, client, readings, texts]));
  if (sent.bound !== null) addParameters(hash, sent.types, sent.bound.bind);
  return { kind: 'key', key: hash.digest('hex') };
}

/** The same text stands for something else where it is read in another way. */
function readingOf({ encoding, standardConformingStrings }: TextFacts): readonly unknown[] {
  return [encoding, standardConformingStrings];
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
