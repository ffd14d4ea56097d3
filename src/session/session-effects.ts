import {
  type Analysis,
  type Risk,
  type SessionEffect,
  type StatementEffects,
  worseRisk,
} from '../sql/effects.ts';
import { EXECUTES_UNKNOWN } from '../sql/rules-session.ts';
import { type PreparedStatement, type SqlNameChange, sqlNameKey, UNSETTLED } from './names.ts';
import { type Reply, ReplyKind } from './replies.ts';
import { isCatalogFirst, type SessionState } from './state.ts';

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
  const statements = analysis.statements.map((statement) => {
    let merged = statement;
    for (const effect of statement.session) {
      if (effect.kind === 'prepare') here.set(sqlNameKey(effect.name), effect.effects);
      if (effect.kind !== 'execute') continue;
      const inner = executed(state, here, effect.name);
      if (inner !== null) merged = merge(stripped(merged, effect.ownRisk), inner);
    }
    return merged;
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

function executed(
  state: SessionState,
  here: ReadonlyMap<string, StatementEffects>,
  name: string,
): readonly StatementEffects[] | null {
  const key = sqlNameKey(name);
  const prepared = here.get(key);
  if (prepared !== undefined) return [prepared];
  const known = state.statements.lookup(key);
  return known === null || known === UNSETTLED ? null : known.analysis.statements;
}

/** An EXECUTE without what it counts for because its text does not show what runs, which is known now. */
function stripped(outer: StatementEffects, ownRisk: Risk | undefined): StatementEffects {
  const reasons = outer.reasons.filter((reason) => reason !== EXECUTES_UNKNOWN);
  return { ...outer, risk: ownRisk ?? outer.risk, reasons };
}

/** One statement with the effects of those that it runs. */
function merge(outer: StatementEffects, inner: readonly StatementEffects[]): StatementEffects {
  const all = [outer, ...inner];
  const worst = all.reduce((a, b) => (worseRisk(a.risk, b.risk) === a.risk ? a : b));
  return {
    ...outer,
    operation: worst.operation,
    operations: [...new Set(all.flatMap((effects) => effects.operations))],
    risk: worst.risk,
    reasons: [...new Set([...worst.reasons, ...all.flatMap((effects) => effects.reasons)])],
    reads: all.flatMap((effects) => effects.reads),
    writes: all.flatMap((effects) => effects.writes),
    columns: all.flatMap((effects) => effects.columns),
    functions: all.flatMap((effects) => effects.functions),
    predicate: worst.predicate,
  };
}

/** Applies what the statements do to the session as they are sent; `reply` keeps what counts once it is answered. */
export function applySessionEffects(state: SessionState, analysis: Analysis, reply: Reply): void {
  const changes: SqlNameChange[] = [];
  analysis.statements.forEach((statement, statementIndex) => {
    for (const effect of statement.session) {
      const change = apply(state, analysis, effect);
      if (change !== null) changes.push({ ...change, statementIndex });
    }
  });
  if (changes.length > 0) {
    reply.sqlNames = changes;
    reply.segment = state.segment;
    state.statements.askSql(changes, reply.kind === ReplyKind.Execute);
  }
  // Trust in a search_path comes back only with a plain SET that surely took effect: see BackendStream.
  reply.trustsPath = analysis.statements.length === 1 && setsTrustedPath(analysis.statements[0]!);
}

function setsTrustedPath(statement: StatementEffects): boolean {
  const last = statement.session.at(-1);
  if (last?.kind === 'reset') return last.name === null || last.name === 'search_path';
  if (last?.kind === 'discard') return last.target === 'all';
  if (last?.kind !== 'set' || last.name !== 'search_path' || last.local) return false;
  return last.value !== null && isCatalogFirst(last.value);
}

function apply(
  state: SessionState,
  analysis: Analysis,
  effect: SessionEffect,
): Omit<SqlNameChange, 'statementIndex'> | null {
  switch (effect.kind) {
    case 'prepare':
      return { name: sqlNameKey(effect.name), value: prepared(state, analysis, effect.effects) };
    case 'deallocate':
      return { name: effect.name === null ? null : sqlNameKey(effect.name), value: null };
    case 'discard':
      state.epoch++;
      return effect.target === 'all' ? { name: null, value: null } : null;
    case 'set':
      settingChanges(state, effect.name.toLowerCase(), effect.value);
      return null;
    case 'reset':
      state.epoch++;
      if (effect.name === null || READING.has(effect.name.toLowerCase())) state.textBecomesUncertain();
      return null;
    case 'schema-change':
    case 'opaque-code':
      state.epoch++;
      return null;
    case 'execute':
    case 'declare-cursor':
    case 'close-cursor':
    case 'transaction':
      return null;
    default:
      return effect satisfies never;
  }
}

function settingChanges(state: SessionState, name: string, value: string | null): void {
  if (READING.has(name)) state.textBecomesUncertain();
  if (name === 'search_path' && (value === null || !isCatalogFirst(value))) state.searchPathChanged(false);
  if (name === 'role' || name === 'session_authorization' || name === 'row_security') state.epoch++;
}

/** The statement that SQL PREPARE makes, as a Parse would have made it. */
function prepared(state: SessionState, outer: Analysis, effects: StatementEffects): PreparedStatement {
  const tables = effects.writes.length > 0 ? effects.writes : effects.reads;
  return {
    text: null,
    analysis: Object.freeze({
      ...outer,
      statements: Object.freeze([effects]),
      risk: effects.risk,
      operation: effects.operation,
      tables: tables.slice(0, 16).map(({ schema, name }) => (schema === null ? name : `${schema}.${name}`)),
      touchesSession: effects.session.length > 0,
    }),
    facts: state.textFacts,
    epoch: state.epoch,
  };
}
