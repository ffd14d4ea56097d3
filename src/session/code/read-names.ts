import {
  type Analysis,
  isFollowed,
  type RelationName,
  RISKS,
  type StatementEffects,
  worseRisk,
} from '../../sql/effects.ts';
import { isCatalogRelation } from '../../sql/facts/catalog-relations.ts';

/** What changes the schema, and nothing that runs as others are read. */
const LEAVES_CODE: ReadonlySet<string> = new Set([
  ...['create table', 'create table as', 'select into', 'create index', 'create sequence', 'alter sequence'],
  ...['drop table', 'drop index', 'drop sequence', 'select', 'comment', 'truncate', 'grant', 'revoke'],
]);

export function leavesCode(operations: readonly string[]): boolean {
  return operations.every((each) => LEAVES_CODE.has(each));
}

/** Functions that are told by a value, a name or a number of which type a text is to be read. */
const MAKES_VALUES: ReadonlySet<string> = new Set([
  ...['json_populate_record', 'json_populate_recordset', 'jsonb_populate_record', 'jsonb_populate_recordset'],
  ...['jsonb_populate_record_valid', 'pg_input_is_valid', 'pg_input_error_info'],
  ...['array_in', 'domain_in', 'multirange_in', 'range_in', 'record_in'],
]);

export function makesValues(functions: readonly string[]): boolean {
  return functions.some((name) => MAKES_VALUES.has(name.replace(/^pg_catalog\./, '')));
}

/** Names in a statement behind which code may stand that its text does not show. */
export interface ReadNames {
  readonly relations: readonly RelationName[];
  readonly ofRows: readonly string[];
  readonly ofValues: readonly string[];
  /** Of functions that PostgreSQL has. */
  readonly functions: readonly string[];
  /** Some of them make values of types that the text does not name. */
  readonly makesValues: boolean;
  readonly operators: readonly string[];
  readonly types: readonly string[];
  /** Whether what it names runs now. A view that it makes has it run later. */
  readonly runs: boolean;
  readonly makes: readonly RelationName[];
  /** Relations that it may give another name or schema, by which those behind it in the same text may mean them. */
  readonly moves: readonly RelationName[];
  readonly movesSchemas: boolean;
  /** It may make functions, which stand behind what comes next in the same text. */
  readonly mayMakeCode: boolean;
}

/** Why a name counts, in words that stand among a statement's reasons. */
export interface Revealed {
  readonly reason: string;
  /** As rules on functions name it; null where the statement names it so already. */
  readonly name: string | null;
  /** An attribute that may be a call. */
  readonly attribute: string | null;
}

/** What runs, or plans, at once what it reads. All else that reads keeps it for later, or is no read to begin with. */
const RUNS: ReadonlySet<string> = new Set([
  ...['select', 'insert', 'copy to', 'copy from', 'explain', 'explain analyze', 'execute', 'select into'],
  ...['create table as', 'create materialized view', 'declare cursor', 'update', 'delete', 'merge'],
]);

const MAKES_VIEWS: ReadonlySet<string> = new Set(['create view', 'create schema']);

const SYSTEM_SCHEMAS: ReadonlySet<string | null> = new Set(['pg_catalog', 'information_schema', 'pg_toast']);

/** Of each statement; null for one that is more than a read by its text, or runs nothing. Null where there is none else. */
export function readNamesOf({ status, statements }: Analysis): readonly (ReadNames | null)[] | null {
  if (status !== 'parsed') return null;
  const all = statements.map(namesOf);
  return all.some((each) => each?.runs === true) ? all : null;
}

function namesOf(effects: StatementEffects): ReadNames | null {
  const { operations, risk, called, reads, writes, functions, ambiguous, session } = effects;
  const makesViews = operations.some((each) => MAKES_VIEWS.has(each));
  const mayMakeCode = session.some(({ kind }) => kind === 'schema-change') && !leavesCode(operations);
  const runs =
    !makesViews &&
    operations.some((each) => RUNS.has(each)) &&
    worseRisk(called?.risk ?? risk, 'low') === 'low';
  if (!runs && !mayMakeCode) return null;
  const names: ReadNames = {
    runs,
    makes: makesViews ? writes : [],
    moves: operations.some((each) => each.startsWith('alter ')) ? writes : [],
    movesSchemas: operations.includes('alter schema'),
    mayMakeCode,
    relations: reads.filter(({ schema }) => !SYSTEM_SCHEMAS.has(schema)),
    ofRows: ambiguous?.ofRows ?? [],
    ofValues: ambiguous?.ofValues ?? [],
    functions: functions.filter((name) => /^[^.(]+$/.test(name)),
    makesValues: makesValues(functions),
    operators: ambiguous?.operators ?? [],
    types: functions.flatMap((name) => /^type\((?:.*\.)?([^.]*)\)$/.exec(name)?.[1] ?? []),
  };
  const lists = [
    names.relations,
    names.ofRows,
    names.ofValues,
    names.functions,
    names.operators,
    names.types,
  ];
  return mayMakeCode || names.makesValues || lists.some((each) => each.length > 0) ? names : null;
}

/** Whether it reads nothing of which the user can have made anything, as far as its text tells. */
export function readsNothingMade(names: ReadNames): boolean {
  const { relations, ofRows, ofValues, types, runs } = names;
  if (!runs) return true;
  if (names.makesValues) return false;
  if (ofRows.length > 0 && relations.length < 1) return false;
  if (ofValues.length > 0 || types.length > 0) return false;
  return relations.every(({ schema, name }) => schema === null && isCatalogRelation(name));
}

/** The analysis with what stands behind the names of its statements taken for calls of unknown code. */
export function withRevealed(analysis: Analysis, revealed: readonly (readonly Revealed[])[]): Analysis {
  const statements = analysis.statements.map((each, i) => calling(each, revealed[i] ?? []));
  const worst = statements.reduce((a, b) => (RISKS.indexOf(b.risk) > RISKS.indexOf(a.risk) ? b : a));
  return Object.freeze({
    ...analysis,
    statements: Object.freeze(statements),
    risk: worst.risk,
    operation: worst.operation,
    touchesSession: statements.some(({ session }) => session.some(isFollowed)),
  });
}

function calling(effects: StatementEffects, revealed: readonly Revealed[]): StatementEffects {
  if (revealed.length === 0) return effects;
  const { risk, reasons, highReasons = 0, functions, session, called } = effects;
  const isOpaque = session.some(({ kind }) => kind === 'opaque-code');
  return Object.freeze({
    ...effects,
    risk: worseRisk(risk, 'high'),
    reasons: Object.freeze([...revealed.map(({ reason }) => reason), ...reasons]),
    highReasons: highReasons + revealed.length,
    functions: Object.freeze([...functions, ...revealed.flatMap(({ name }) => name ?? [])]),
    session: isOpaque ? session : Object.freeze([...session, Object.freeze({ kind: 'opaque-code' })]),
    called: Object.freeze({
      functions: [],
      operators: [],
      ...called,
      risk: called?.risk ?? risk,
      attributes: [...(called?.attributes ?? []), ...revealed.flatMap(({ attribute }) => attribute ?? [])],
    }),
  });
}
