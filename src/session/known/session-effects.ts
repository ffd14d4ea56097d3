import { LIMITS } from '../../base/limits.ts';
import {
  type AmbiguousNames,
  type Analysis,
  type CalledCode,
  isFollowed,
  type Risk,
  type SessionEffect,
  type StatementEffects,
  type TransactionVerb,
  worseRisk,
} from '../../sql/effects.ts';
import { isCatalogFirst, losesCatalog } from '../../sql/facts/search-path.ts';
import { EXECUTES_UNKNOWN } from '../../sql/walk/rules-session.ts';
import type { KnownCode } from '../code/called-code.ts';
import { type Reply, ReplyKind } from '../replies.ts';
import type { SessionState } from '../state.ts';
import type { KnownSettings } from './known-settings.ts';
import { type PreparedStatement, type SqlNameChange, UNSETTLED } from './names.ts';

/** What takes nothing of a transaction back. */
const OPENS: ReadonlySet<TransactionVerb> = new Set(['begin', 'savepoint', 'release']);

/** What runs code of statements that were sent before. */
const RUNS_LATER: ReadonlySet<string> = new Set(['set constraints', 'fetch', 'move']);

/** Settings that change whose rights count, and which schema is the user's own. RESET ALL leaves them alone. */
const ROLES = new Set(['role', 'session_authorization']);

/** Settings that change how the server reads text. */
const READING = new Set(['client_encoding', 'names', 'standard_conforming_strings', 'backslash_quote']);

/**
 * An analysis in which each SQL EXECUTE stands for the statement that it runs. A name that the gateway has not
 * seen prepared makes it critical.
 */
export function resolveExecute(state: SessionState, analysis: Analysis): Analysis {
  if (
    !analysis.statements.some((statement) => statement.session.some((effect) => effect.kind === 'execute'))
  ) {
    return analysis;
  }
  const here = new Map<string, StatementEffects>();
  let { catalogFirst } = state.textFacts;
  let hidesPath = false;
  const statements = analysis.statements.map((statement) => {
    const isBehind = hidesPath;
    let merged = statement;
    for (const effect of statement.session) {
      if (losesCatalog(effect)) catalogFirst = false;
      const key = effect.kind === 'prepare' ? state.sqlNameKey(effect.name) : null;
      if (effect.kind === 'prepare' && key !== null) here.set(key, effect.effects);
      if (effect.kind !== 'execute') continue;
      const inner = executed(state, here, effect.name, catalogFirst);
      if (inner === null) continue;
      if (inner.some(({ session }) => session.some(losesCatalog))) hidesPath = true;
      merged = merge(stripped(merged, effect.ownRisk), inner);
    }
    return isBehind ? behindHiddenPath(merged) : merged;
  });
  const worst = statements.reduce((a, b) => (worseRisk(a.risk, b.risk) === a.risk ? a : b));
  const tables = worst.writes.length > 0 ? worst.writes : worst.reads;
  return {
    ...analysis,
    statements,
    risk: worst.risk,
    operation: worst.operation,
    tables: tables.slice(0, 16).map(({ schema, name }) => (schema === null ? name : `${schema}.${name}`)),
  };
}

/** A statement behind an EXECUTE that sets the search_path, which its analysis could not know. */
function behindHiddenPath(statement: StatementEffects): StatementEffects {
  const reasons = [...statement.reasons, 'follows an EXECUTE that sets search_path'];
  return { ...withoutCalled(statement), risk: worseRisk(statement.risk, 'critical'), reasons };
}

function executed(
  state: SessionState,
  here: ReadonlyMap<string, StatementEffects>,
  name: string,
  catalogFirst: boolean,
): readonly StatementEffects[] | null {
  const key = state.sqlNameKey(name);
  if (key === null) return null;
  const prepared = here.get(key);
  // What was read while a search_path was trusted may call other functions in one that is not.
  if (prepared !== undefined) return catalogFirst === state.textFacts.catalogFirst ? [prepared] : null;
  const known = state.statements.lookup(key);
  if (known === null || known === UNSETTLED) return null;
  if (known.facts.catalogFirst && !catalogFirst) return null;
  return known.analysis.statements;
}

/** An EXECUTE without what it counts for because its text does not show what runs, which is known now. */
function stripped(outer: StatementEffects, ownRisk: Risk | undefined): StatementEffects {
  const reasons = outer.reasons.filter((reason) => reason !== EXECUTES_UNKNOWN);
  return { ...withoutCalled(outer), risk: ownRisk ?? outer.risk, reasons };
}

/** Its risk is then no longer told from that of the code. */
function withoutCalled({ called: _, ...effects }: StatementEffects): StatementEffects {
  return effects;
}

/** What they all call; null where none does. */
function mergedCode(all: readonly StatementEffects[]): CalledCode | null {
  const codes = all.flatMap(({ called }) => called ?? []);
  if (codes.length === 0) return null;
  return {
    risk: all.map(({ called, risk }) => called?.risk ?? risk).reduce(worseRisk),
    functions: codes.flatMap(({ functions }) => functions),
    attributes: codes.flatMap(({ attributes }) => attributes),
    operators: codes.flatMap(({ operators }) => operators),
    catalogRelations: codes.flatMap(({ catalogRelations }) => catalogRelations ?? []),
  };
}

function mergedNames(all: readonly StatementEffects[]): { readonly ambiguous?: AmbiguousNames } {
  const names = all.flatMap(({ ambiguous }) => ambiguous ?? []);
  if (names.length === 0) return {};
  const ambiguous = {
    ofRows: names.flatMap(({ ofRows }) => ofRows),
    ofValues: names.flatMap(({ ofValues }) => ofValues),
    operators: names.flatMap(({ operators }) => operators),
  };
  return { ambiguous };
}

/** One statement with the effects of those that it runs. */
function merge(outer: StatementEffects, inner: readonly StatementEffects[]): StatementEffects {
  const all = [outer, ...inner];
  const worst = all.reduce((a, b) => (worseRisk(a.risk, b.risk) === a.risk ? a : b));
  const called = mergedCode(all);
  return {
    ...withoutCalled(outer),
    ...(called === null ? {} : { called }),
    ...mergedNames(all),
    operation: worst.operation,
    operations: [...new Set(all.flatMap((effects) => effects.operations))],
    risk: worst.risk,
    reasons: [...new Set([...worst.reasons, ...all.flatMap((effects) => effects.reasons)])],
    reads: all.flatMap((effects) => effects.reads),
    writes: all.flatMap((effects) => effects.writes),
    columns: all.flatMap((effects) => effects.columns),
    functions: all.flatMap((effects) => effects.functions),
    session: all.flatMap((effects) => effects.session),
    predicate: worst.predicate,
  };
}

/** Whether a statement has effects on the session or its transaction, or runs code of what was sent before. */
export function followsOther({ session, operations }: StatementEffects): boolean {
  return session.length > 0 || operations.some((each) => RUNS_LATER.has(each));
}

/** Statements are sent: follows what they do to the session, and what runs with them may do. */
export function statementsSent(
  state: SessionState,
  analysis: Analysis,
  reply: Reply,
  source: string | null,
  now: number,
): void {
  followTransaction(state, analysis);
  if (hasSessionEffects(state, analysis)) applySessionEffects(state, analysis, reply, source, now);
  tableCodeRuns(state, analysis, now);
}

/** Whether statements do anything to the session now but that their transactions are followed. */
export function hasSessionEffects({ settings, literalsTouched }: SessionState, analysis: Analysis): boolean {
  return analysis.touchesSession || settings.mayBePutBack || literalsTouched;
}

/** As `statementsSent`, of statements without such effects. */
export function plainStatementsSent(state: SessionState, analysis: Analysis, now: number): void {
  followTransaction(state, analysis);
  tableCodeRuns(state, analysis, now);
}

function tableCodeRuns(state: SessionState, analysis: Analysis, now: number): void {
  const code = state.written.codeOf(analysis, now);
  if (code !== 'none') state.codeRuns(code);
}

/** Statements have been done otherwise than by being sent, and of what they do to the session only the schema is left. */
export function doneOtherwise(state: SessionState, { statements }: Analysis): void {
  state.epoch++;
  for (const { session, operations } of statements)
    if (session.some(({ kind }) => kind === 'schema-change')) schemaChanges(state, operations);
}

function schemaChanges(state: SessionState, operations: readonly string[]): void {
  state.written.changed();
  state.called.changed(operations);
}

/** Forgets what is known of functions and of tables where a transaction may give them back, or bring others. */
function followTransaction(state: SessionState, { statements }: Analysis): void {
  const { called, written } = state;
  for (let i = 0; i < statements.length; i++) {
    const { session, operations } = statements[i]!;
    if (called.mayBeTakenBack && operations.some((each) => RUNS_LATER.has(each))) called.codeRuns();
    for (let j = 0; j < session.length; j++) {
      const effect = session[j]!;
      if (effect.kind !== 'transaction' || OPENS.has(effect.verb)) continue;
      called.transactionEnds();
      written.transactionEnds();
      if (effect.verb !== 'commit-prepared') continue;
      called.codeRuns();
      written.changed();
    }
  }
}

/**
 * Applies what the statements do to the session as they are sent; `reply` keeps what counts once it is answered, and
 * `source` is the text that they are part of.
 */
function applySessionEffects(
  state: SessionState,
  analysis: Analysis,
  reply: Reply,
  source: string | null,
  now: number,
): void {
  const changes: SqlNameChange[] = [];
  const known = state.called.knownOf(analysis, now);
  analysis.statements.forEach((statement, statementIndex) => {
    for (const effect of statement.session) {
      const isFull = state.statements.size + changes.length >= LIMITS.namesMax;
      const change = apply(state, analysis, effect, statement.operations, known, isFull, source);
      if (change !== null) changes.push({ ...change, statementIndex });
    }
  });
  if (changes.length > 0) {
    reply.sqlNames = changes;
    reply.segment = state.segment;
    state.statements.askSql(changes, reply.kind === ReplyKind.Execute);
  }
  const { settings } = state;
  const trusts = analysis.statements.length === 1 && setsTrustedPath(settings, analysis.statements[0]!);
  reply.trustsPath = trusts ? settings.pathToken : -1;
}

/** Trust in a search_path comes back only with a plain SET or RESET, which surely took effect if it succeeded. */
function setsTrustedPath(settings: KnownSettings, { operation, session }: StatementEffects): boolean {
  const effect = session[0];
  if (session.length !== 1 || effect === undefined) return false;
  switch (operation) {
    case 'set':
    case 'reset':
      if (effect.kind === 'reset') return settings.resetsToTrusted && resetsPath(effect.name);
      if (effect.kind !== 'set' || effect.name !== 'search_path' || effect.local) return false;
      return effect.value !== null && isCatalogFirst(effect.value);
    case 'discard':
      return settings.resetsToTrusted && effect.kind === 'discard' && effect.target === 'all';
    default:
      return false;
  }
}

/** The name is null for RESET ALL. */
function resetsPath(name: string | null): boolean {
  return name === null || name === 'search_path';
}

function apply(
  state: SessionState,
  analysis: Analysis,
  effect: SessionEffect,
  operations: readonly string[],
  known: KnownCode,
  isFull: boolean,
  source: string | null,
): Omit<SqlNameChange, 'statementIndex'> | null {
  switch (effect.kind) {
    case 'prepare':
      // What is too much to remember is not known, and so refused where it is executed.
      return named(state, effect.name, isFull ? null : prepared(state, analysis, effect.effects, source));
    case 'deallocate':
      return effect.name === null ? { name: null, value: null } : named(state, effect.name, null);
    case 'discard':
      state.epoch++;
      if (effect.target !== 'all' && effect.target !== 'temp') return null;
      roleChanges(state);
      if (effect.target !== 'all') return null;
      state.written.discards();
      state.called.discards();
      settingResets(state, null);
      return { name: null, value: null };
    case 'set':
      settingChanges(state, effect.name.toLowerCase(), effect.value);
      return null;
    case 'reset':
      state.epoch++;
      if (effect.name !== null && ROLES.has(effect.name.toLowerCase())) roleChanges(state);
      settingResets(state, effect.name?.toLowerCase() ?? null);
      return null;
    case 'schema-change':
      state.epoch++;
      schemaChanges(state, operations);
      return null;
    case 'opaque-code':
      if (known === 'leaves settings') return null;
      state.codeRuns('names', known === null);
      return null;
    case 'execute':
    case 'declare-cursor':
    case 'close-cursor':
      return null;
    case 'transaction':
      if (!OPENS.has(effect.verb)) {
        state.settings.transactionEnds();
        state.literalsMayBePutBack();
      }
      return null;
    default:
      return effect satisfies never;
  }
}

/** Names are looked up with other rights, and those of temporary tables may mean something else. */
function roleChanges(state: SessionState): void {
  state.written.changed();
  state.called.apart();
}

/** A DISCARD ALL has succeeded, so that the session is as a new one, unless something else was sent since. */
export function discardedAll(state: SessionState): void {
  state.written.discarded();
  state.called.discarded();
}

/** A name that has no key is that of no statement that the gateway could know. */
function named(state: SessionState, name: string, value: PreparedStatement | null) {
  const key = state.sqlNameKey(name);
  return key === null ? null : { name: key, value };
}

/** They decide what an untyped literal is read as, which happens as its statement is prepared. */
const LITERALS: ReadonlySet<string> = new Set([
  ...['datestyle', 'timezone', 'time zone', 'intervalstyle', 'timezone_abbreviations', 'array_nulls'],
  ...[
    'xmloption',
    'transform_null_equals',
    'lc_monetary',
    'default_text_search_config',
    'client_encoding',
    'names',
  ],
]);

function settingChanges(state: SessionState, name: string, value: string | null): void {
  if (LITERALS.has(name)) state.literalsChange();
  if (READING.has(name)) state.settings.textTouched();
  if (name === 'search_path') state.searchPathSet(value);
  if (name === 'transaction_snapshot') state.reads.snapshotLent();
  if (ROLES.has(name) || name === 'row_security') state.epoch++;
  if (ROLES.has(name)) roleChanges(state);
}

/** The name is null for all of them. */
function settingResets(state: SessionState, name: string | null): void {
  if (name === null || LITERALS.has(name)) state.literalsChange();
  if (name === null || READING.has(name)) state.settings.textTouched();
  if (resetsPath(name)) state.settings.pathReset();
}

/** The statement that SQL PREPARE makes, as a Parse would have made it. */
function prepared(
  state: SessionState,
  outer: Analysis,
  effects: StatementEffects,
  source: string | null,
): PreparedStatement {
  const tables = effects.writes.length > 0 ? effects.writes : effects.reads;
  return {
    text: null,
    types: '',
    source,
    analysis: Object.freeze({
      ...outer,
      statements: Object.freeze([effects]),
      risk: effects.risk,
      operation: effects.operation,
      tables: tables.slice(0, 16).map(({ schema, name }) => (schema === null ? name : `${schema}.${name}`)),
      touchesSession: effects.session.some(isFollowed),
    }),
    facts: state.textFacts,
    epoch: state.epoch,
    literalsEpoch: state.literalsEpoch,
  };
}
