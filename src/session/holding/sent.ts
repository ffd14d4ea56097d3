import { createHash, type Hash } from 'node:crypto';
import type { Decision } from '../../policy/decision.ts';
import type { Analysis, StatementEffects, TextFacts } from '../../sql/effects.ts';
import type { Bind } from '../../wire/bind.ts';
import { legibleText } from '../../wire/byte-text.ts';
import type { BoundValues } from '../hidden/asking.ts';
import { type PreparedStatement, UNSETTLED } from '../known/names.ts';
import { executedBy, executes } from '../known/understanding.ts';
import type { SessionState } from '../state.ts';
import { type PreparedForCode, readsBySettings } from './code-prepared.ts';
import { boundValues } from './preview-desk.ts';
import type { SentCall } from './sent-call.ts';

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
  /** Of a prepared statement: when its literals were read. */
  readonly literalsEpoch?: number;
  /** Why no other request may rely on an approval of it, and what to do about that. */
  readonly alone?: { readonly why: string; readonly hint: string };
  /** Of a FunctionCall, which has no text; `text` is then no more than what tells it from others. */
  readonly call?: SentCall;
}

/** A character that is none in UTF-8 is read as this one. */
export const UNREADABLE = '\ufffd';

/** A text as it was sent, with the bytes that are no UTF-8 in hexadecimal, so that no two texts are one. */
export function exactText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.utf8Slice(start, end);
  return text.includes(UNREADABLE) ? legibleText(bytes.subarray(start, end)) : text;
}

/** Of a text that was read as UTF-8, what `exactText` makes of it; undefined where that is the same. */
export function exactUnlessRead(text: string, bytes: Buffer, start: number, end: number): string | undefined {
  return text.includes(UNREADABLE) ? legibleText(bytes.subarray(start, end)) : undefined;
}

/**
 * What a portal runs that may do something else by its Execute than was decided at its Bind. Names were looked up at its
 * Bind, or will be now; what an approval of now is bound to says nothing of the former. A Bind of now is decided as what
 * it is now, and can be had by a ticket.
 */
export function sentBefore(statement: PreparedStatement, hasMoved: boolean): Sent {
  const { facts, types } = statement;
  const why = hasMoved
    ? 'something else has run between its Bind and its Execute, or too much time has passed'
    : 'what it names has come to mean something else since its Bind';
  const hint = hasMoved
    ? 'Send its Bind again, and its Execute right behind it.'
    : 'Send its Bind again, which is then decided as what it is by now.';
  return { text: textOf(statement), facts, types, bound: null, alone: { why, hint } };
}

/** Of a Parse or PREPARE, as exactly as it is known. */
function textOf({ exact, text, source }: PreparedStatement): string | null {
  return exact ?? text ?? source ?? null;
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
  return { text: textOf(statement), facts, types, bound, literalsEpoch: statement.literalsEpoch };
}

/** All that the statement may take a name from: its text, those of what its EXECUTEs run, and its parameters as text. */
export function textsSent(state: SessionState, read: Analysis, sent: Sent | null): TextsSent {
  const executed = executedBy(state, read).map((statement) =>
    statement === null || statement === UNSETTLED ? '' : (textOf(statement) ?? ''),
  );
  const values = [...(sent?.bound?.bind.parameters ?? []), ...(sent?.call?.arguments ?? [])];
  return {
    text: sent?.call === undefined ? (sent?.text ?? '') : '',
    executed,
    values: values.flatMap((value) => (value === null ? [] : [value.toString('latin1')])),
  };
}

export interface TextsSent {
  readonly text: string;
  /** Of what its EXECUTEs run. */
  readonly executed: readonly string[];
  readonly values: readonly string[];
}

export type RequestKey =
  | { readonly kind: 'key'; readonly key: string }
  /** Another request might look the same and do something else. */
  | { readonly kind: 'none'; readonly why: string; readonly hint: string }
  /** Approvers would be shown something else than what runs. */
  | { readonly kind: 'unseen'; readonly why: string; readonly hint: string };

export const WAIT = 'A rule with `hold: { mode: live }` lets it wait instead.';

/** What the same request of the same role has again, on whatever connection: all that decides what it runs. */
export function requestKey(state: SessionState, read: Analysis, sent: Sent | null): RequestKey {
  const none = (why: string, hint: string): RequestKey => ({ kind: 'none', why, hint: `${hint} ${WAIT}` });
  if (sent?.alone !== undefined) return none(sent.alone.why, sent.alone.hint);
  if (sent === null || sent.text === null)
    return none('the gateway does not have all of its text', 'Send its text itself, by a Query or a Parse.');
  const { literalsEpoch = state.literalsEpoch } = sent;
  if (literalsEpoch !== state.literalsEpoch && hasLiterals(sent.text)) return OTHER_LITERALS;
  if (read.statements.some(runsLater)) return CURSOR;
  if (read.statements.some(({ predicate }) => predicate === 'cursor'))
    return none('it changes the row that a cursor stands at', 'Name the row by its key.');
  const texts = [sent.text];
  const readings = [readingOf(sent.facts ?? state.textFacts)];
  for (const statement of executedBy(state, read)) {
    const known = statement === UNSETTLED ? null : statement;
    const text = known === null ? null : textOf(known);
    if (known === null || text === null)
      return none('it runs a prepared statement whose text is not known', 'Send the text of that.');
    if (executes(known.analysis))
      return none('it runs a prepared statement that runs another', 'Execute that other by itself.');
    if (known.literalsEpoch !== state.literalsEpoch && hasLiterals(text)) return OTHER_LITERALS;
    if (known.exact === undefined && text.includes(UNREADABLE))
      return none(
        'it runs what a PREPARE has made whose text is not in UTF-8',
        'Prepare it by the extended query protocol, or send the statement itself.',
      );
    texts.push(text);
    readings.push([...readingOf(known.facts), known.types]);
  }
  const { role, database } = state.facts;
  const client = state.parameters.get('client_encoding') ?? null;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([role, database, client, readings, texts]));
  if (sent.bound !== null) addParameters(hash, sent.types, sent.bound.bind);
  return { kind: 'key', key: hash.digest('hex') };
}

/** The key of a request whose code may run these as well. */
export function withPrepared(
  { literalsEpoch }: SessionState,
  known: RequestKey,
  prepared: PreparedForCode | null,
): RequestKey {
  if (known.kind === 'unseen' || prepared?.length === 0) return known;
  if (prepared === null) return OTHER_PREPARED;
  if (known.kind === 'none') return known;
  const said: unknown[] = [];
  for (const [name, statement] of prepared) {
    const text = textOf(statement) ?? '';
    if (statement.literalsEpoch !== literalsEpoch && readsBySettings(text)) return OLDER_LITERALS;
    said.push([name, text, statement.types, readingOf(statement.facts)]);
  }
  const hash = createHash('sha256').update(JSON.stringify([known.key, said]));
  return { kind: 'key', key: hash.digest('hex') };
}

/**
 * The query of a cursor runs as it is fetched, or at the COMMIT, with the names, rights and settings of then. One that seems
 * only to read may read a view, which calls what it will be by then.
 */
function runsLater({ session }: StatementEffects): boolean {
  return session.some(({ kind }) => kind === 'declare-cursor');
}

const CURSOR: RequestKey = {
  kind: 'unseen',
  why: 'it runs only when its cursor is fetched, by what its names mean then',
  hint: 'Send the query itself.',
};

const OTHER_LITERALS: RequestKey = {
  kind: 'unseen',
  why: 'settings that its literals were read by, such as DateStyle, may have changed since it was prepared',
  hint: 'Prepare it again, or give the values as parameters.',
};

const OLDER_LITERALS: RequestKey = {
  kind: 'none',
  why: 'its code may run prepared statements, and settings that their literals were read by, such as DateStyle, may have changed since they were prepared',
  hint: `Send it in a session that has just prepared what it needs. ${WAIT}`,
};

const OTHER_PREPARED: RequestKey = {
  kind: 'unseen',
  why: 'its code may run prepared statements of the session, and the gateway cannot tell which there are',
  hint: 'Send the statement itself, or send this in a new session.',
};

export function hasLiterals(text: string): boolean {
  return text.includes("'") || text.includes('$$') || /[$][^0-9]/.test(text);
}

/** The same text stands for something else where it is read in another way. */
function readingOf({ encoding, standardConformingStrings }: TextFacts): readonly unknown[] {
  return [encoding, standardConformingStrings];
}

/** A statement without parameters is the same however it comes. */
function addParameters(hash: Hash, types: string, { parameterFormats: formats, parameters }: Bind): void {
  if (parameters.length === 0) return;
  hash.update(`${types.length} ${types} ${parameters.length} `, 'latin1');
  for (const [i, value] of parameters.entries()) {
    const format = formats[formats.length === 1 ? 0 : i] ?? 0;
    hash.update(`\n${format} ${value === null ? 'null' : value.length} `);
    if (value !== null) hash.update(value);
  }
}
