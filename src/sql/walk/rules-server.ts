import { mayTakeRow } from '../facts/functions.ts';
import { assignmentFacts } from '../facts/settings.ts';
import {
  as,
  constantText,
  type Fields,
  isObject,
  list,
  type NodeName,
  nameParts,
  options,
  relationOf,
  text,
} from '../parsing/tree.ts';
import { isCatalogFunction, OVERLOADS } from './rules-objects.ts';
import type { Walk } from './walk.ts';

/** Functions, event triggers, settings kept for roles and databases, and maintenance. */

/** Languages whose code the server confines; in any other a function may do what the server's own user may. */
export const TRUSTED_LANGUAGES: ReadonlySet<string> = new Set([
  'sql',
  'plpgsql',
  'plperl',
  'pltcl',
  'plv8',
  'plrust',
]);

export function createFunction(walk: Walk, fields: Fields): void {
  const words = fields['is_procedure'] === true ? 'create procedure' : 'create function';
  const replaces = fields['replace'] === true;
  walk.notes.literalsRead = true;
  walk.operation(words, replaces ? 'high' : 'low', replaces ? 'replaces a function' : 'creates a function');
  walk.schemaChange();
  const names = nameParts(fields['funcname']);
  walk.guard(names.at(-2) ?? null);
  if (isCatalogFunction(names)) walk.raise('high', OVERLOADS);
  if (mayReadAsColumn(list(fields['parameters'])))
    walk.raise('high', 'makes a function that reads can call as if it were a column');
  for (const { name, arg } of options(fields['options'])) functionOption(walk, name, arg);
  // A body that is written as SQL is stored, not run: what it names counts as read, as in a view.
  walk.plan(fields['sql_body']);
}

/** Of a row `t`, `t.f` is `f(t)` where it has no column `f`: no read tells which. */
function mayReadAsColumn(parameters: readonly unknown[]): boolean {
  const [first, ...rest] = parameters
    .map((each) => as(each, 'FunctionParameter') ?? {})
    .filter(({ mode }) => mode !== 'FUNC_PARAM_OUT' && mode !== 'FUNC_PARAM_TABLE');
  const type = first?.['argType'];
  if (!isObject(type) || !mayTakeRow(nameParts(type['names']).at(-1) ?? '')) return false;
  return rest.every(({ defexpr }) => defexpr !== undefined);
}

function functionOption(walk: Walk, name: string, arg: unknown): void {
  if (name === 'language') {
    const language = constantText(arg)?.toLowerCase() ?? '';
    if (!TRUSTED_LANGUAGES.has(language))
      walk.raise('forbidden', `makes a function in the language ${language}`);
  } else if (name === 'security' && constantText(arg) !== 'false') {
    walk.raise('high', 'makes a function that runs as its owner');
  } else if (name === 'set') keptSetting(walk, as(arg, 'VariableSetStmt'));
  else if (name === 'support') walk.raise('critical', 'binds code of the server to a name');
}

export function alterFunction(walk: Walk, fields: Fields): void {
  walk.notes.literalsRead = true;
  walk.operation('alter function', 'high', 'changes a function');
  walk.schemaChange();
  const func = isObject(fields['func']) ? fields['func'] : {};
  walk.guard(nameParts(func['objname']).at(-2) ?? null);
  for (const { name, arg } of options(fields['actions'])) functionOption(walk, name, arg);
}

export function alterEventTrigger(walk: Walk, fields: Fields): void {
  const disables = fields['tgenabled'] === 'D' || fields['tgenabled'] === 'R';
  walk.operation('alter event trigger', disables ? 'critical' : 'high', 'changes an event trigger');
}

/** Roles and attributes that lift what the server itself protects. */
const POWERFUL_ROLES: ReadonlySet<string> = new Set([
  'pg_execute_server_program',
  'pg_read_server_files',
  'pg_write_server_files',
  'pg_write_all_data',
  'pg_signal_backend',
  'pg_create_subscription',
  'pg_maintain',
]);
const POWERFUL_OPTIONS: ReadonlySet<string> = new Set([
  'superuser',
  'isreplication',
  'bypassrls',
  'createrole',
]);

export function grantRole(walk: Walk, fields: Fields): void {
  const verb = fields['is_grant'] === true ? 'grant role' : 'revoke role';
  walk.operation(verb, 'high', 'changes who belongs to a role');
  const names = list(fields['granted_roles']).map(
    (role) => text(as(role, 'AccessPriv')?.['priv_name']) ?? '',
  );
  if (verb === 'grant role' && names.some((name) => POWERFUL_ROLES.has(name))) {
    walk.raise('critical', 'grants a role that lifts protections of the server');
  }
}

export function role(walk: Walk, fields: Fields, name: NodeName): void {
  const creates = name === 'CreateRoleStmt';
  walk.operation(
    creates ? 'create role' : 'alter role',
    'high',
    creates ? 'creates a role' : 'changes a role',
  );
  for (const option of options(fields['options'])) {
    const joined = list(as(option.arg, 'List')?.['items']).map(
      (item) => text(as(item, 'RoleSpec')?.['rolename']) ?? '',
    );
    if (option.name === 'addroleto' && joined.some((each) => POWERFUL_ROLES.has(each))) {
      walk.raise('critical', 'grants a role that lifts protections of the server');
    }
    if (!POWERFUL_OPTIONS.has(option.name) || constantText(option.arg) === 'false') continue;
    walk.raise('critical', `makes a role powerful (${option.name})`);
  }
}

export function roleSetting(walk: Walk, fields: Fields): void {
  walk.operation('alter role', 'high', 'changes what a role starts with');
  keptSetting(walk, isObject(fields['setstmt']) ? fields['setstmt'] : null);
}

export function databaseSetting(walk: Walk, fields: Fields): void {
  walk.operation('alter database', 'high', 'changes what sessions of a database start with');
  walk.guard(text(fields['dbname']));
  keptSetting(walk, isObject(fields['setstmt']) ? fields['setstmt'] : null);
}

/** A setting that is kept for later sessions or calls; it does nothing to this one. */
function keptSetting(walk: Walk, statement: Fields | null): void {
  walk.notes.literalsRead = true;
  if (statement === null) return;
  const values = list(statement['args']).map(constantText);
  const name = text(statement['name']);
  if (name === null || statement['kind'] !== 'VAR_SET_VALUE') return;
  const facts = assignmentFacts(name, values.length === 1 ? (values[0] ?? null) : null);
  walk.raise(facts.risk, `${facts.reason} (${name})`);
  walk.guardAll(values);
}

export function vacuum(walk: Walk, fields: Fields): void {
  const names = options(fields['options']);
  const full = names.some(
    ({ name, arg }) => name === 'full' && !['false', 'off', '0'].includes(constantText(arg) ?? ''),
  );
  const verb = fields['is_vacuumcmd'] === true ? 'vacuum' : 'analyze';
  if (full) walk.operation('vacuum', 'high', 'locks tables while it rewrites them');
  else walk.operation(verb, 'low', `${verb}s tables`);
  for (const item of list(fields['rels'])) walk.read(relationOf(as(item, 'VacuumRelation')?.['relation']));
}

export function createEventTrigger(walk: Walk, fields: Fields): void {
  walk.operation('create event trigger', 'critical', 'makes code run on every schema change');
  walk.schemaChange();
  walk.guard(nameParts(fields['funcname']).at(-2) ?? null);
}
