import type { Analysis, StatementEffects } from '../../sql/effects.ts';

/**
 * What is `high` and takes nothing away that an undo would have to put back: it adds, locks, rewrites what is there into
 * the same, or changes what the session may do. All other operations of that risk are captured, or held for want of a plan.
 */
export const TAKES_NOTHING: ReadonlySet<string> = new Set([
  ...['grant', 'grant role', 'create role', 'create policy', 'create publication'],
  ...['create server', 'create user mapping', 'import foreign schema'],
  ...['lock', 'vacuum', 'cluster', 'reindex', 'refresh materialized view'],
]);

/** Those that do, or bring code into being that runs unasked later; with a reason to be `high` they have a plan or are held. */
export const MAY_TAKE: ReadonlySet<string> = new Set([
  ...['select', 'insert', 'update', 'delete', 'merge', 'do', 'call', 'rollback prepared', 'set', 'reset'],
  ...['revoke', 'revoke role', 'security label', 'reassign owned', 'alter default privileges'],
  ...['create view', 'create function', 'create procedure'],
  ...['create aggregate', 'create operator', 'create cast'],
  ...['create conversion', 'create transform', 'create trigger', 'create domain'],
  ...['alter table', 'alter view', 'alter materialized view'],
  ...['alter index', 'alter sequence', 'alter foreign table'],
  ...['alter function', 'alter procedure', 'alter routine'],
  ...['alter aggregate', 'alter operator', 'alter domain'],
  ...['alter type', 'alter policy', 'alter rule', 'alter trigger'],
  ...['alter event trigger', 'alter role', 'alter database'],
  ...['alter schema', 'alter collation', 'alter conversion'],
  ...['alter tablespace', 'alter server', 'alter user mapping'],
  ...['alter publication', 'alter statistics', 'alter extension', 'alter language', 'alter large object'],
  ...['alter text search configuration', 'alter text search dictionary', 'alter text search parser'],
  ...['alter text search template', 'alter foreign data wrapper'],
  ...['alter operator class', 'alter operator family'],
  ...['alter constraint', 'alter column', 'alter attribute'],
  ...['alter subscription', 'alter access method', 'alter cast'],
]);

/** As they begin; only these of the settings are `high`, and an undo has nothing to do with either. */
const OF_SETTINGS = ['acts as another role (', 'changes a setting of an extension ('];
const SETS: ReadonlySet<string> = new Set(['select', 'set', 'reset']);

/** As they begin: what has another name or schema is what it was, and is given the old one by the like of it. */
const OF_NAMES = ['renames a ', 'moves a '];
/** Of these a name is not what code is found by in place of PostgreSQL's own. */
const NAMED: ReadonlySet<string> = new Set([
  ...['alter table', 'alter view', 'alter materialized view', 'alter index', 'alter sequence'],
  ...['alter foreign table', 'alter type', 'alter domain', 'alter schema'],
  ...['alter trigger', 'alter policy', 'alter rule', 'alter statistics'],
]);

export const NOTHING_TAKEN = 'it takes nothing away';

/**
 * Whether a statement that is `high` takes nothing away, as its text tells. Where policy goes by names, other names take
 * something away from it.
 */
export function takesNothing({ status, risk, statements }: Analysis, goesByNames: boolean): boolean {
  return (
    status === 'parsed' &&
    risk === 'high' &&
    statements.every((each) => each.risk !== 'high' || isNeedless(each, goesByNames))
  );
}

/** Of those that take nothing away event triggers are not told; nor of SET. */
const UNTOLD: ReadonlySet<string> = new Set([
  'grant role',
  'create role',
  'lock',
  'vacuum',
  'cluster',
  ...SETS,
]);

const TAGS = new WeakMap<Analysis, readonly string[]>();

/** By which tags event triggers are told of a text: the server has the same words for a command. */
export function tagsTold(analysis: Analysis): readonly string[] {
  let tags = TAGS.get(analysis);
  if (tags === undefined) {
    const told = analysis.statements.flatMap(({ risk, operations }) =>
      risk === 'safe' || risk === 'low' ? [] : operations.filter((each) => !UNTOLD.has(each)),
    );
    tags = [...new Set(told.map((each) => each.toUpperCase()))];
    TAGS.set(analysis, tags);
  }
  return tags;
}

function isNeedless(
  { operations, session, reasons, highReasons }: StatementEffects,
  goesByNames: boolean,
): boolean {
  if (session.some(({ kind }) => kind === 'opaque-code')) return false;
  // A policy computes it for each row that anybody reads.
  if (reasons.slice(0, highReasons).some((reason) => reason.startsWith('calls '))) return false;
  if (operations.every((each) => TAKES_NOTHING.has(each))) return true;
  if (highReasons === undefined) return false;
  const begin = (starts: readonly string[]) =>
    reasons.slice(0, highReasons).every((reason) => starts.some((start) => reason.startsWith(start)));
  if (operations.every((each) => SETS.has(each))) return begin(OF_SETTINGS);
  return !goesByNames && operations.every((each) => NAMED.has(each)) && begin(OF_NAMES);
}
