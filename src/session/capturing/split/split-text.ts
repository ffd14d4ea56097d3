import { nowMs } from '../../../base/clock.ts';
import { LIMITS } from '../../../base/limits.ts';
import type { Decision } from '../../../policy/decision.ts';
import {
  type Analysis,
  isFollowed,
  type SessionEffect,
  type StatementEffects,
  type TransactionVerb,
} from '../../../sql/effects.ts';
import { mayBeTold, unlessHarmless } from '../../code/called-code-run.ts';
import { problemOfNames } from '../../known/text-encoding.ts';
import { type Capturing, wantsSnapshot } from '../../ruling/noted.ts';
import type { SessionState } from '../../state.ts';
import { isDrop, problemOfOne, SEVERAL } from '../capturable.ts';
import type { Lossless } from '../lossless.ts';
import { onTemporary } from '../temporary-only.ts';

/**
 * Which texts of several statements may be sent as a Query for each, inside BEGIN … COMMIT, because nothing in them is
 * done otherwise then. What a text of several is by itself is an implicit block, which differs from an explicit one in
 * what begins, ends and divides transactions.
 */

/** What does the same in both. Only names that are here are believed to. */
const OPERATIONS =
  /^(?:select|select into|insert|upsert|update|delete|merge|truncate|lock|listen|unlisten|notify|copy to|call|do|explain|explain analyze|set|show|set constraints|declare cursor|fetch|move|close|analyze|comment|grant|revoke|begin|commit|rollback|savepoint|release|rollback to|create table as|refresh materialized view|(?:create|alter|drop) (?:aggregate|cast|collation|column|constraint|default privileges|domain|domain constraint|function|index|materialized view|operator|policy|procedure|routine|rule|schema|sequence|statistics|table|trigger|type|view|attribute|default))$/;

/** Settings that neither change how the rest is read, nor are told to the client, nor belong to the transaction. */
const SETTINGS: ReadonlySet<string> = new Set([
  'statement_timeout',
  'lock_timeout',
  'transaction_timeout',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'default_tablespace',
  'default_table_access_method',
  'work_mem',
  'maintenance_work_mem',
  'client_min_messages',
  'check_function_bodies',
]);

/** How the transaction stands that the text comes in; null where only the text's own shape is asked for. */
export type BlockKind = 'own' | 'client' | 'text';

/** Why no capture of a text is tried at all, in words that read well behind "because"; null where it is tried. */
export function problemOf(state: SessionState, analysis: Analysis): string | null {
  const several = analysis.status === 'parsed' && analysis.statements.length > 1;
  return several ? problemOfSeveral(state, analysis) : problemOfOne(state, analysis);
}

/** Why a text of several statements is not captured one by one; null where that is tried. */
function problemOfSeveral(state: SessionState, analysis: Analysis): string | null {
  const { statements } = analysis;
  if (statements.length > LIMITS.splitStatementsMax) return SEVERAL;
  for (const [index, statement] of statements.entries()) {
    if (!mayBeSplit(statement, index, statements)) return besides(statement);
  }
  for (const single of singles(analysis)) {
    const decision = decideAlone(state, single);
    if (!wantsSnapshot(decision)) continue;
    const problem = isDrop(single) ? problemOfNames(state) : problemOfOne(state, single);
    if (problem !== null) return problem;
  }
  return null;
}

/** What is decided of a statement of several; one that is known to change nothing wants no snapshot. */
export function decideAlone(state: SessionState, single: Analysis): Decision {
  const decision = state.decide(single);
  if (decision.action !== 'snapshot' || !wantsSnapshot(decision)) return decision;
  return unlessHarmless(state, decision, single, nowMs());
}

/**
 * Those of several statements of which a snapshot is wanted unless what they call changes nothing; none where others of
 * them may make or replace what they call.
 */
export function callingOnes(state: SessionState, analysis: Analysis): readonly Analysis[] {
  if (analysis.statements.some(({ session }) => session.some(({ kind }) => kind === 'schema-change')))
    return [];
  return singles(analysis).filter(
    (single) => state.called.isToAsk(single) && wantsSnapshot(decideAlone(state, single)),
  );
}

/** Those of several that take nothing away unless event triggers do. */
export function toldOnes(state: SessionState, analysis: Analysis): readonly Analysis[] {
  return singles(analysis).filter((single) => mayBeTold(state, single, state.decide(single)));
}

const besides = ({ operation }: StatementEffects) => `${SEVERAL}, one of which is ${operation}`;

function mayBeSplit(
  { operations, session }: StatementEffects,
  index: number,
  all: readonly StatementEffects[],
): boolean {
  if (!operations.every((operation) => OPERATIONS.test(operation))) return false;
  return session.every((effect) => isAlike(effect, index, all));
}

function isAlike(effect: SessionEffect, index: number, all: readonly StatementEffects[]): boolean {
  switch (effect.kind) {
    case 'set':
      // Those of applications have a dot, and are PostgreSQL's only to keep.
      return SETTINGS.has(effect.name.toLowerCase()) || effect.name.includes('.');
    case 'transaction':
      return isInPlace(effect.verb, all[index - 1], all[index + 1]);
    case 'schema-change':
    case 'opaque-code':
    case 'declare-cursor':
    case 'close-cursor':
      return true;
    case 'prepare':
    case 'execute':
    case 'deallocate':
    case 'discard':
    case 'reset':
      return false;
    default:
      return effect satisfies never;
  }
}

/** What stands between a COMMIT and the next BEGIN would be in a block of its own, which nobody has begun. */
function isInPlace(
  verb: TransactionVerb,
  before: StatementEffects | undefined,
  after: StatementEffects | undefined,
): boolean {
  switch (verb) {
    case 'begin':
      return before === undefined || ENDS.has(verbOf(before));
    case 'commit':
    case 'rollback':
      return after === undefined || verbOf(after) === 'begin';
    case 'savepoint':
    case 'release':
    case 'rollback-to':
      return true;
    default:
      return false;
  }
}

const ENDS: ReadonlySet<TransactionVerb | null> = new Set(['commit', 'rollback']);

export function verbOf({ session }: StatementEffects): TransactionVerb | null {
  const effect = session.find(({ kind }) => kind === 'transaction');
  return effect?.kind === 'transaction' ? effect.verb : null;
}

/** Whether a text may do anything in a transaction that has failed. */
export function mayRollBack({ statements }: Analysis): boolean {
  const verb = statements[0] === undefined ? null : verbOf(statements[0]);
  return verb === 'rollback' || verb === 'rollback-to' || verb === 'commit' || verb === 'prepare';
}

/** Which block the text runs in, given how the transaction stands; null where it does not fit. */
export function blockOf({ statements }: Analysis, status: 'I' | 'T' | 'E'): BlockKind | null {
  const begins = verbOf(statements[0]!) === 'begin';
  if (status === 'T') return begins ? null : 'client';
  if (status !== 'I') return null;
  if (begins) return 'text';
  return statements.some((statement) => verbOf(statement) !== null) ? null : 'own';
}

const NONE_TEMPORARY: ReadonlyMap<number, Analysis> = new Map();

/** A run of statements that is sent as one Query: one that is captured, or as many as need not be. */
export interface Part {
  /** The indexes of its first statement, and of the one behind its last. */
  readonly first: number;
  readonly end: number;
  readonly text: Buffer;
  /** How many characters stand in front of it in the client's text. */
  readonly offset: number;
  /** Its statements alone. */
  readonly analysis: Analysis;
  /** Null where no snapshot is wanted. */
  readonly decision: Capturing | null;
  /** It may run only where it is proved that it loses nothing. */
  readonly lossless: Lossless | null;
}

/**
 * The parts of a text, of which `bytes` is what was sent; null where sending them takes too much. Places in errors are
 * counted in characters by the server, which counts bytes where it knows of none (`byBytes`).
 */
export function partsOf(
  analysis: Analysis,
  bytes: Buffer,
  byBytes: boolean,
  decide: (single: Analysis) => Decision,
  temporary: ReadonlyMap<number, Analysis> = NONE_TEMPORARY,
): readonly Part[] | null {
  const parts: Part[] = [];
  const { statements } = analysis;
  const alone = singles(analysis);
  let counted = 0;
  let offset = 0;
  let total = 0;
  for (let first = 0; first < statements.length; ) {
    const known = temporary.get(first) ?? null;
    const decision = known === null ? decide(alone[first]!) : null;
    const captures = decision !== null && wantsSnapshot(decision) ? decision : null;
    let end = first + 1;
    const standsAlone = (index: number) => {
      if (temporary.has(index)) return true;
      const verb = verbOf(statements[index]!);
      return verb === 'begin' || verb === 'commit' || verb === 'rollback';
    };
    if (captures === null && !standsAlone(first)) {
      while (end < statements.length && !standsAlone(end) && !wantsSnapshot(decide(alone[end]!))) end++;
    }
    const last = statements[end - 1]!;
    const from = statements[first]!.startByte;
    const text = bytes.subarray(from, last.startByte + last.lengthBytes);
    offset += charactersOf(bytes.subarray(counted, from), byBytes);
    counted = from;
    total += offset + text.length;
    if (total > LIMITS.splitBytes) return null;
    const own = end === first + 1 ? alone[first]! : { ...analysis, statements: statements.slice(first, end) };
    const padded = `${' '.repeat(known === null ? 0 : offset)}${text.toString('utf8')}`;
    const lossless = known === null ? null : onTemporary(known, padded, null);
    if (known !== null && lossless === null) return null;
    parts.push({
      first,
      end,
      text,
      offset,
      analysis: lossless?.analysis ?? own,
      decision: captures,
      lossless,
    });
    first = end;
  }
  return parts;
}

function charactersOf(bytes: Buffer, byBytes: boolean): number {
  if (byBytes) return bytes.length;
  let count = 0;
  // Bytes that go on with a character of UTF-8 are none of their own.
  for (const byte of bytes) if ((byte & 0xc0) !== 0x80) count++;
  return count;
}

const SINGLES = new WeakMap<Analysis, readonly Analysis[]>();

/** Each statement as if it had come by itself. */
export function singles(analysis: Analysis): readonly Analysis[] {
  let known = SINGLES.get(analysis);
  if (known === undefined) {
    known = analysis.statements.map((statement) => aloneOf(analysis, statement));
    SINGLES.set(analysis, known);
  }
  return known;
}

function aloneOf(analysis: Analysis, statement: StatementEffects): Analysis {
  const named = statement.writes.length > 0 ? statement.writes : statement.reads;
  return Object.freeze({
    ...analysis,
    statements: Object.freeze([statement]),
    risk: statement.risk,
    operation: statement.operation,
    tables: named.slice(0, 16).map(({ schema, name }) => (schema === null ? name : `${schema}.${name}`)),
    touchesSession: statement.session.some(isFollowed),
  });
}
