import { LIMITS } from '../base/limits.ts';
import type { Analysis, RelationName, StatementEffects } from '../sql/effects.ts';
import { anyOf, both, type Certainty, everyOf } from './certainty.ts';
import type { ClientAddress } from './client-pattern.ts';
import { matchClient } from './client-pattern.ts';
import type { SessionFacts } from './decision.ts';
import type { Glob } from './glob.ts';
import {
  type ColumnPattern,
  matchColumn,
  matchFunction,
  matchTable,
  type TablePattern,
} from './name-pattern.ts';
import { matchRows, type RowCount } from './row-limit.ts';
import type { RuleMatch } from './rule.ts';

/** One statement, with what matching needs to know about it worked out once. */
export interface Subject {
  readonly effects: StatementEffects;
  /** False where the text was not understood: then every key that reads the text might hold. */
  readonly understood: boolean;
  readonly operations: readonly string[];
  /** Those that a rule must name to loosen the statement: all but the reading inside of something else. */
  readonly acts: readonly string[];
  /** The statement runs code whose effects its text does not tell. */
  readonly opaque: boolean;
  /** It is nothing but such code. */
  readonly codeOnly: boolean;
  /** It may touch tables that it does not name. */
  readonly anyTable: boolean;
  readonly rows: RowCount;
  readonly context: Readonly<Record<string, string>>;
}

const CODE = new Set(['do', 'call', 'function call']);
const EXECUTE = 'execute';
/** What may stand around an EXECUTE and says nothing of what it runs. */
const AROUND_EXECUTE = new Set(['explain', 'explain analyze', 'create table as']);
/** What takes tables along without naming them: whatever is in a schema, belongs to a role, or uses a type. */
const SWEEPING = new Set([
  ...['drop schema', 'alter schema', 'drop database', 'drop tablespace', 'drop owned', 'reassign owned'],
  ...['drop extension', 'drop type', 'drop domain', 'drop server', 'alter table', 'grant', 'revoke'],
  ...['create publication', 'alter publication'],
]);
/** What calling a function takes, besides the function. */
const CALLING = new Set(['select', 'call']);
/** Writes that name the columns they write; all others touch whole rows. */
const COLUMNWISE = new Set(['update', 'insert', 'upsert']);
/** How the analysis names a row that is taken whole. */
const ALL_COLUMNS = '*';

export function subjectOf(
  analysis: Analysis,
  effects: StatementEffects,
  counted: RowCount | null = null,
): Subject {
  const written = operationsOf(effects);
  const codeOnly = written.some((operation) => CODE.has(operation) || operation === EXECUTE);
  const opaque = codeOnly || effects.session.some((effect) => effect.kind === 'opaque-code');
  // Calling unknown code from a query does what CALL does, whatever the query around it is called.
  const operations = opaque && !codeOnly ? [...written, 'call'] : written;
  const beyondReading = operations.filter((operation) => operation !== 'select');
  return {
    effects,
    understood: isUnderstood(analysis, effects),
    operations,
    acts: effects.operation === 'select' || beyondReading.length === 0 ? operations : beyondReading,
    opaque,
    codeOnly,
    anyTable: codeOnly || sweeps(effects, operations),
    rows: rowsOf(effects, opaque || sweeps(effects, operations), counted),
    context: analysis.context,
  };
}

/** Code that the statement runs may write as many as it likes. */
function rowsOf({ writes, rowsMax }: StatementEffects, more: boolean, counted: RowCount | null): RowCount {
  if (more) return { least: 0, most: null };
  if (writes.length === 0) return { least: 0, most: 0 };
  const text: RowCount = { least: 0, most: writes.length === 1 ? (rowsMax ?? null) : null };
  return counted === null || text.most !== null ? text : counted;
}

function sweeps({ reads, writes }: StatementEffects, operations: readonly string[]): boolean {
  return reads.length + writes.length === 0 && operations.some((operation) => SWEEPING.has(operation));
}

/** A statement with more names than are listed is not understood either: what is left out might be anything. */
function isUnderstood(analysis: Analysis, effects: StatementEffects): boolean {
  if (analysis.status !== 'parsed' && analysis.status !== 'empty') return false;
  if (effects.operation === 'unknown' || effects.operations.includes('unknown')) return false;
  const lists = [effects.reads, effects.writes, effects.columns, effects.functions];
  return lists.every((list) => list.length < LIMITS.effectNamesMax);
}

/** An EXECUTE is what it executes, where the session has put that in its place. */
function operationsOf(effects: StatementEffects): readonly string[] {
  const all = [...new Set([effects.operation, ...effects.operations])];
  const executed = all.filter((operation) => operation !== EXECUTE && !AROUND_EXECUTE.has(operation));
  return executed.length > 0 ? all.filter((operation) => operation !== EXECUTE) : all;
}

/** The keys of a rule that stay the same for a whole session. */
export function matchSession(match: RuleMatch, facts: SessionFacts, client: ClientAddress): Certainty {
  return [
    names(match.role, facts.role),
    names(match.database, facts.database),
    names(match.application, facts.application),
    match.client === null ? 'sure' : anyOf(match.client, (pattern) => matchClient(pattern, client)),
  ].reduce(both);
}

/** The keys of a rule that read the statement. */
export function matchStatement(match: RuleMatch, subject: Subject): Certainty {
  if (match.risk !== null && !match.risk.includes(subject.effects.risk)) return 'no';
  const text = matchText(match, subject);
  return text === 'sure' && !covers(match, subject) ? 'possible' : text;
}

function matchText(match: RuleMatch, subject: Subject): Certainty {
  if (!subject.understood) return readsText(match) ? 'possible' : 'sure';
  let certainty: Certainty = 'sure';
  if (match.operation !== null) certainty = both(certainty, operations(match.operation, subject));
  if (match.table !== null) certainty = both(certainty, tables(match.table, subject));
  if (match.column !== null) certainty = both(certainty, columns(match.column, subject));
  if (match.function !== null) certainty = both(certainty, functions(match.function, subject));
  if (match.rows !== null) certainty = both(certainty, matchRows(match.rows, subject.rows));
  if (match.context !== null) {
    for (const [key, globs] of match.context) certainty = both(certainty, contextPair(globs, key, subject));
  }
  return certainty;
}

function readsText(match: RuleMatch): boolean {
  return [match.operation, match.table, match.column, match.function, match.rows, match.context].some(
    (key) => key !== null,
  );
}

/**
 * Whether what the rule names is all that the statement does. A table or a column says nothing of code that
 * the statement runs beside it, nor of the server's files; a function says nothing of the delete around it.
 */
function covers(match: RuleMatch, subject: Subject): boolean {
  const namesData = match.table !== null || match.column !== null;
  if (namesData && subject.opaque && match.function === null) return false;
  const namesWhat = match.operation !== null || match.risk !== null;
  if ((namesData || match.function !== null) && subject.effects.risk === 'forbidden' && !namesWhat)
    return false;
  if (match.function !== null && match.operation === null && match.table === null) {
    if (!subject.acts.every((operation) => CALLING.has(operation))) return false;
  }
  return match.column === null || subject.acts.every((operation) => COLUMNWISE.has(operation));
}

function operations(globs: readonly Glob[], subject: Subject): Certainty {
  const one = (operation: string): Certainty => anyOf(globs, (glob) => glob.match(operation));
  const acts = everyOf(subject.acts, one);
  if (acts !== 'no') return acts;
  return anyOf(subject.operations, one) === 'no' ? 'no' : 'possible';
}

/** Sure by what is written, or read where nothing is; possible by anything that is read or written. */
function tables(patterns: readonly TablePattern[], subject: Subject): Certainty {
  const { reads, writes } = subject.effects;
  const one = (table: RelationName): Certainty => anyOf(patterns, (pattern) => matchTable(pattern, table));
  const main = everyOf(writes.length > 0 ? writes : reads, one);
  if (main !== 'no') return main;
  return subject.anyTable || anyOf(reads, one) !== 'no' ? 'possible' : 'no';
}

function columns(patterns: readonly ColumnPattern[], subject: Subject): Certainty {
  const named = everyOf(subject.effects.columns, (column) =>
    column.name === ALL_COLUMNS
      ? anyOf(patterns, (pattern) => (wholeRow(pattern, column.table) ? 'possible' : 'no'))
      : anyOf(patterns, (pattern) => matchColumn(pattern, column)),
  );
  if (named !== 'no') return named;
  if (subject.anyTable) return 'possible';
  const { writes, columns: all } = subject.effects;
  const columnwise = all.length > 0 && subject.acts.every((operation) => COLUMNWISE.has(operation));
  if (columnwise) return 'no';
  return anyOf(patterns, (pattern) => (writes.some((table) => wholeRow(pattern, table)) ? 'possible' : 'no'));
}

function wholeRow(pattern: ColumnPattern, table: RelationName | null): boolean {
  return table === null || matchTable(pattern.table, table) !== 'no';
}

function functions(patterns: readonly TablePattern[], subject: Subject): Certainty {
  const called = everyOf(subject.effects.functions, (name) =>
    anyOf(patterns, (pattern) => matchFunction(pattern, name)),
  );
  if (called !== 'no') return called;
  return subject.codeOnly && subject.effects.functions.length === 0 ? 'possible' : 'no';
}

function contextPair(globs: readonly Glob[], key: string, subject: Subject): Certainty {
  const value = Object.hasOwn(subject.context, key) ? subject.context[key] : undefined;
  return value === undefined ? 'no' : anyOf(globs, (glob) => glob.match(value));
}

function names(globs: readonly Glob[] | null, name: string): Certainty {
  return globs === null ? 'sure' : anyOf(globs, (glob) => glob.match(name));
}
