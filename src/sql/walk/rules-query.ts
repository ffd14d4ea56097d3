import { isAggregate } from '../facts/functions.ts';
import { assignmentFacts } from '../facts/settings.ts';
import {
  aliasOf,
  as,
  constantText,
  type Fields,
  isObject,
  list,
  type NodeName,
  nameParts,
  relationOf,
  stringOf,
  text,
} from '../parsing/tree.ts';
import { classifyPredicate, type PredicateTarget } from './predicate.ts';
import { Scope } from './scope.ts';
import { columnOf, PG_SETTINGS, settingRowOf } from './setting-row.ts';
import type { Walk } from './walk.ts';

/** SELECT, INSERT, UPDATE, DELETE, MERGE and the expressions in them. */

export function select(walk: Walk, fields: Fields, name: NodeName): void {
  if (isObject(fields['intoClause'])) walk.operation('select into', 'low', 'creates a table');
  else walk.operation('select', 'safe');
  inScope(walk, fields, () => {
    addSources(walk, fields['fromClause']);
    walk.scope.setting = settingRowOf(walk, fields);
    walk.descend(name, fields, ['withClause']);
  });
}

export function intoClause(walk: Walk, fields: Fields, name: NodeName): void {
  walk.write(relationOf(fields['rel']));
  walk.schemaChange();
  walk.descend(name, fields, ['rel']);
}

export function lockingClause(walk: Walk, fields: Fields): void {
  // It changes no data, but it writes row locks, which a read-only transaction may not.
  walk.raise('low', 'locks rows');
  void fields;
}

/** Common table expressions are seen by those after them, and by all of them where they are recursive. */
export function withClause(walk: Walk, fields: Fields): void {
  const ctes = list(fields['ctes'])
    .map((cte) => as(cte, 'CommonTableExpr'))
    .filter((cte) => cte !== null);
  if (fields['recursive'] === true) for (const cte of ctes) walk.scope.addCte(String(cte['ctename']));
  for (const cte of ctes) {
    walk.descend('CommonTableExpr', cte);
    walk.scope.addCte(String(cte['ctename']));
  }
}

export function insert(walk: Walk, fields: Fields, name: NodeName): void {
  const target = relationOf(fields['relation']);
  walk.operation('insert', 'low', 'inserts rows');
  walk.write(target);
  inScope(walk, fields, () => {
    const columns = list(fields['cols']).flatMap((column) => text(as(column, 'ResTarget')?.['name']) ?? []);
    for (const column of columns.length === 0 ? ['*'] : columns) walk.column(target, column);
    addTarget(walk, fields['relation']);
    walk.scope.addSource('excluded', target);
    if (isObject(fields['onConflictClause'])) onConflict(walk, fields['onConflictClause']);
    walk.descend(name, fields, ['relation', 'withClause', 'onConflictClause']);
  });
}

function onConflict(walk: Walk, clause: Fields): void {
  if (clause['action'] === 'ONCONFLICT_UPDATE') {
    walk.operation('update', 'high', 'overwrites rows on conflict');
    // The rows are those that conflict, so they are always told by a key.
    walk.predicate('scoped');
    targetColumns(walk, clause['targetList']);
  } else if (clause['action'] !== 'ONCONFLICT_NOTHING') walk.unknown('an action on conflict');
  walk.descend('OnConflictClause', clause);
}

export function update(walk: Walk, fields: Fields, name: NodeName): void {
  writeRows(walk, fields, name, 'update', fields['fromClause']);
}

export function remove(walk: Walk, fields: Fields, name: NodeName): void {
  writeRows(walk, fields, name, 'delete', fields['usingClause']);
}

function writeRows(
  walk: Walk,
  fields: Fields,
  name: NodeName,
  verb: 'update' | 'delete',
  from: unknown,
): void {
  const target = relationOf(fields['relation']);
  // Named before what is in WITH, because the first operation is the statement's own.
  walk.operation(verb, 'safe');
  walk.write(target);
  inScope(walk, fields, () => {
    addTarget(walk, fields['relation']);
    addSources(walk, from);
    if (verb === 'update') targetColumns(walk, fields['targetList']);
    else walk.column(target, '*');
    scopedWrite(walk, verb, fields['whereClause'], predicateTarget(fields['relation'], from));
    walk.descend(name, fields, ['relation', 'withClause']);
  });
}

function scopedWrite(walk: Walk, verb: string, where: unknown, target: PredicateTarget): void {
  const predicate = classifyPredicate(where, target, walk.notes);
  walk.predicate(predicate);
  if (predicate === 'none') walk.operation(verb, 'critical', `${verb} without WHERE`);
  else if (predicate === 'tautology') walk.operation(verb, 'critical', `${verb} whose WHERE is always true`);
  else walk.operation(verb, 'high', verb === 'delete' ? 'deletes rows' : 'updates rows');
}

export function merge(walk: Walk, fields: Fields, name: NodeName): void {
  const target = relationOf(fields['relation']);
  walk.operation('merge', 'low', 'merges rows');
  walk.write(target);
  inScope(walk, fields, () => {
    addTarget(walk, fields['relation']);
    addSources(walk, [fields['sourceRelation']]);
    const on = predicateTarget(fields['relation'], [fields['sourceRelation']]);
    for (const item of list(fields['mergeWhenClauses'])) {
      const clause = as(item, 'MergeWhenClause');
      if (clause !== null) mergeAction(walk, clause, fields['joinCondition'], on);
    }
    walk.descend(name, fields, ['relation', 'withClause']);
  });
}

function mergeAction(walk: Walk, clause: Fields, on: unknown, target: PredicateTarget): void {
  const action = clause['commandType'];
  if (action === 'CMD_NOTHING') return;
  if (action === 'CMD_INSERT') {
    walk.operation('insert', 'low', 'inserts rows');
    return;
  }
  if (action !== 'CMD_UPDATE' && action !== 'CMD_DELETE') {
    walk.unknown('an action of MERGE');
    return;
  }
  const verb = action === 'CMD_UPDATE' ? 'update' : 'delete';
  if (verb === 'update') targetColumns(walk, clause['targetList']);
  // Rows that the source does not match are all the others: only the clause's own condition bounds them.
  const bound = clause['matchKind'] === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE' ? clause['condition'] : on;
  scopedWrite(walk, verb, bound, target);
}

function targetColumns(walk: Walk, targets: unknown): void {
  for (const item of list(targets)) {
    const name = text(as(item, 'ResTarget')?.['name']);
    if (name !== null)
      for (const column of walk.scope.resolve(walk.scope.target ?? [], name)) walk.column(column.table, name);
  }
}

function inScope(walk: Walk, fields: Fields, inside: () => void): void {
  const outer = walk.scope;
  walk.scope = new Scope(outer);
  if (isObject(fields['withClause'])) withClause(walk, fields['withClause']);
  inside();
  walk.scope = outer;
}

function addTarget(walk: Walk, rangeVar: unknown): void {
  if (!isObject(rangeVar)) return;
  const relation = relationOf(rangeVar);
  const alias = aliasOf(rangeVar) ?? relation?.name ?? '';
  walk.scope.addSource(alias, relation);
  walk.scope.target = [alias];
}

/** Which names mean the rows that a write chooses among, and whether FROM brings others. */
function predicateTarget(rangeVar: unknown, from: unknown): PredicateTarget {
  const relation = relationOf(rangeVar);
  const alias = isObject(rangeVar) ? aliasOf(rangeVar) : null;
  return { relation, alias: alias ?? relation?.name ?? '', joined: list(from).length > 0, isAggregate };
}

function addSources(walk: Walk, from: unknown): void {
  for (const item of list(from)) {
    const relation = as(item, 'RangeVar');
    const join = as(item, 'JoinExpr');
    if (relation !== null) {
      const name = relationOf(relation);
      const isCte = name !== null && name.schema === null && walk.scope.hasCte(name.name);
      walk.scope.addSource(aliasOf(relation) ?? name?.name ?? '', isCte ? null : name);
    } else if (join !== null) {
      addSources(walk, [join['larg'], join['rarg']]);
      const alias = aliasOf(join);
      if (alias !== null) walk.scope.addSource(alias, null);
    } else if (isObject(item)) {
      const sampled = as(item, 'RangeTableSample');
      if (sampled !== null) addSources(walk, [sampled['relation']]);
      else
        for (const [node, fields] of Object.entries(item))
          if (isObject(fields)) walk.scope.addSource(aliasOf(fields) ?? '', null, node !== 'RangeFunction');
    }
  }
}

// --- expressions ---

export function rangeVar(walk: Walk, fields: Fields): void {
  const relation = relationOf(fields);
  if (relation === null || (relation.schema === null && walk.scope.hasCte(relation.name))) return;
  walk.read(relation);
}

export function columnRef(walk: Walk, fields: Fields): void {
  const parts = list(fields['fields']);
  const names = parts.map((part) => (as(part, 'A_Star') === null ? (stringOf(part) ?? '') : '*'));
  const name = names.pop() ?? '';
  const columns = walk.scope.resolve(names, name);
  for (const column of columns) walk.column(column.table, column.name);
  if (names.length > 0) walk.qualified(name, columns.length > 0, walk.scope.isRow(names));
}

export function joinExpr(walk: Walk, fields: Fields, name: NodeName): void {
  if (fields['isNatural'] === true) walk.column(null, '*');
  for (const column of list(fields['usingClause'])) walk.column(null, stringOf(column) ?? '*');
  if (fields['isNatural'] === true || fields['usingClause'] !== undefined) walk.operator(['=']);
  walk.descend(name, fields, ['usingClause']);
}

export function functionCall(walk: Walk, fields: Fields, name: NodeName): void {
  const parts = nameParts(fields['funcname']);
  if (parts.at(-1) === 'set_config') setConfig(walk, list(fields['args']));
  walk.call(parts);
  walk.descend(name, fields, ['funcname']);
}

function setConfig(walk: Walk, args: readonly unknown[]): void {
  walk.notes.literalsRead = true;
  const row = walk.scope.setting;
  const isOfRow = row?.columns.includes(columnOf(args[0]) ?? '') ?? false;
  const name = isOfRow ? row!.setting : constantText(args[0]);
  const value = constantText(args[1]);
  if (isOfRow && !row!.isQualified) walk.restsOn(PG_SETTINGS);
  if (name === null) {
    walk.opaque('high', 'changes a setting whose name is computed');
    walk.settingsUnread();
    return;
  }
  setting(walk, name, value, constantText(args[2]) === 'true');
}

/** SET and set_config alike. */
export function setting(walk: Walk, name: string, value: string | null, local: boolean): void {
  const facts = assignmentFacts(name, value);
  walk.raise(facts.risk, `${facts.reason} (${name})`);
  if (name.toLowerCase() === 'search_path' && (value === null || /holdfast_trash/i.test(value))) {
    walk.raise(value === null ? 'low' : 'critical', 'may put the guarded schema on search_path');
  }
  walk.effect({ kind: 'set', name: name.toLowerCase(), value, local });
}

export function expression(walk: Walk, fields: Fields, name: NodeName): void {
  const parts = nameParts(fields['name']);
  // BETWEEN is its own name in the tree; it compares with these two, looked up like any other.
  if (String(fields['kind']).includes('BETWEEN')) for (const name of ['>=', '<=']) walk.operator([name]);
  else walk.operator(parts);
  walk.descend(name, fields, ['name']);
}

export function subLink(walk: Walk, fields: Fields, name: NodeName): void {
  const operator = nameParts(fields['operName']);
  if (operator.length > 0) walk.operator(operator);
  else if (fields['testexpr'] !== undefined) walk.operator(['=']);
  walk.descend(name, fields, ['operName']);
}

export function sortBy(walk: Walk, fields: Fields, name: NodeName): void {
  const operator = nameParts(fields['useOp']);
  if (operator.length > 0) walk.operator(operator);
  walk.descend(name, fields, ['useOp']);
}

export function rangeTableSample(walk: Walk, fields: Fields, name: NodeName): void {
  const method = nameParts(fields['method']);
  if (!['bernoulli', 'system'].includes(method.at(-1) ?? '') || method.length > 1) walk.call(method);
  walk.descend(name, fields, ['method']);
}

export function rangeFunction(walk: Walk, fields: Fields, name: NodeName): void {
  // Each function comes as a list of the call and its column definitions.
  for (const item of list(fields['functions'])) {
    const [call, ...definitions] = list(as(item, 'List')?.['items']).filter(hasContent);
    walk.visit(call);
    definedColumns(walk, definitions);
  }
  definedColumns(walk, list(fields['coldeflist']));
  walk.descend(name, fields, ['functions', 'coldeflist']);
}

function definedColumns(walk: Walk, definitions: readonly unknown[]): void {
  for (const item of definitions.flatMap((each) => as(each, 'List')?.['items'] ?? each))
    valueType(walk, as(item, 'ColumnDef'));
  walk.visit(definitions);
}

function hasContent(item: unknown): boolean {
  return isObject(item) && Object.keys(item).length > 0;
}

export function caseExpr(walk: Walk, fields: Fields, name: NodeName): void {
  if (fields['arg'] !== undefined) walk.operator(['=']);
  walk.descend(name, fields);
}

/**
 * A cast, and a column made of JSON, XML or a function's rows, run code of the type's: one that is not pg_catalog's is
 * named, so that the catalog can be asked.
 */
export function typedValue(walk: Walk, fields: Fields, name: NodeName): void {
  valueType(walk, fields);
  walk.descend(name, fields);
}

function valueType(walk: Walk, fields: Fields | null): void {
  const type = fields?.['typeName'];
  if (isObject(type)) walk.castTo(nameParts(type['names']));
}

/** `(e).f` is `f(e)` where the value of `e` has no attribute `f`. */
export function indirection(walk: Walk, fields: Fields, name: NodeName): void {
  for (const part of list(fields['indirection'])) {
    const attribute = stringOf(part);
    if (attribute !== null) walk.attribute(attribute);
  }
  walk.descend(name, fields);
}

export function typeName(walk: Walk, fields: Fields): void {
  walk.guard(nameParts(fields['names']).at(-2) ?? null);
  walk.visit(fields['typmods']);
}
