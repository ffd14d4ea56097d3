import type { Predicate, RelationName } from '../effects.ts';
import { as, constantText, type Fields, isObject, list, nameParts, stringOf } from '../parsing/tree.ts';
import {
  cancelsOut,
  complementary,
  sameColumns,
  sameExpression,
  soleValue,
  unqualified,
} from './predicate-compare.ts';
import { alwaysTruePattern, emptyContainer } from './predicate-values.ts';

/** Whose rows the predicate chooses among. */
export interface PredicateTarget {
  readonly relation: RelationName | null;
  /** The name that qualifies its columns. */
  readonly alias: string;
  /** Whether other relations are in scope, whose columns say nothing about the target's rows. */
  readonly joined: boolean;
  readonly isAggregate: (name: string) => boolean;
}

/** Which rows an expression lets through: all of them as far as can be told, only some, or surely none. */
type Reach = 'all' | 'some' | 'none';

interface Reader {
  readonly target: PredicateTarget;
  readonly notes: { literalsRead: boolean };
}

/** How a write's WHERE bounds it. In doubt it does not. */
export function classifyPredicate(
  where: unknown,
  target: PredicateTarget,
  notes: { literalsRead: boolean },
): Predicate {
  if (where === undefined || where === null) return 'none';
  if (as(where, 'CurrentOfExpr') !== null) return 'cursor';
  return reach({ target, notes }, where, false) === 'all' ? 'tautology' : 'scoped';
}

/** `negated` asks for the reach of NOT of the expression. */
function reach(reader: Reader, node: unknown, negated: boolean): Reach {
  const literal = literalReach(node, negated);
  if (literal !== null) return literal;
  if (!dependsOnRow(reader, node)) return 'all';
  const bool = as(node, 'BoolExpr');
  if (bool !== null) return boolReach(reader, bool, negated);
  const operator = as(node, 'A_Expr');
  if (operator !== null) return operatorReach(reader, operator, negated);
  const nullTest = as(node, 'NullTest');
  if (nullTest !== null) return nullTestReach(reader, nullTest, negated);
  const boolTest = as(node, 'BooleanTest');
  if (boolTest !== null) return boolTestReach(reader, boolTest, negated);
  const sublink = as(node, 'SubLink');
  if (sublink !== null) return sublinkReach(reader, sublink, negated);
  const coalesce = as(node, 'CoalesceExpr');
  if (coalesce !== null) return anyOf(list(coalesce['args']).map((arg) => reach(reader, arg, negated)));
  const choice = as(node, 'CaseExpr');
  if (choice !== null) return caseReach(reader, choice, negated);
  const cast = as(node, 'TypeCast');
  if (cast !== null) return reach(reader, cast['arg'], negated);
  return 'some';
}

/** Only the keywords: `'false'` or a parameter is a value that nobody proved. */
function literalReach(node: unknown, negated: boolean): Reach | null {
  const constant = as(node, 'A_Const');
  if (constant === null) return null;
  if (constant['isnull'] === true) return 'none';
  if (!isObject(constant['boolval'])) return 'all';
  return (constant['boolval']['boolval'] === true) === negated ? 'none' : 'all';
}

function anyOf(parts: readonly Reach[]): Reach {
  if (parts.includes('all')) return 'all';
  return parts.includes('some') ? 'some' : 'none';
}

function allOf(parts: readonly Reach[]): Reach {
  if (parts.includes('none')) return 'none';
  return parts.includes('some') ? 'some' : 'all';
}

function boolReach(reader: Reader, bool: Fields, negated: boolean): Reach {
  const args = list(bool['args']);
  if (bool['boolop'] === 'NOT_EXPR') return reach(reader, args[0], !negated);
  const isOr = (bool['boolop'] === 'OR_EXPR') !== negated;
  const parts = args.map((arg) => reach(reader, arg, negated));
  if (!isOr) return allOf(parts);
  const flat = flatten(args, String(bool['boolop']));
  if (complementary(flat, negated, reader.notes)) return 'all';
  return anyOf(parts);
}

function flatten(args: readonly unknown[], boolop: string): readonly unknown[] {
  return args.flatMap((arg) => {
    const inner = as(arg, 'BoolExpr');
    return inner !== null && inner['boolop'] === boolop ? flatten(list(inner['args']), boolop) : [arg];
  });
}

const REFLEXIVE: ReadonlySet<string> = new Set([
  '=',
  '>=',
  '<=',
  '~~',
  '~~*',
  '~',
  '~*',
  '@>',
  '<@',
  '&&',
  '~=',
  '^@',
]);
const IRREFLEXIVE: ReadonlySet<string> = new Set(['<>', '!=', '<', '>', '!~~', '!~~*', '!~', '!~*']);

function operatorReach(reader: Reader, fields: Fields, negated: boolean): Reach {
  const { lexpr, rexpr } = fields;
  const kind = String(fields['kind']);
  const name = nameParts(fields['name']).at(-1) ?? '';
  const reflexive = kind === 'AEXPR_NOT_DISTINCT' || (kind !== 'AEXPR_DISTINCT' && REFLEXIVE.has(name));
  const irreflexive = kind === 'AEXPR_DISTINCT' || IRREFLEXIVE.has(name);
  switch (kind) {
    case 'AEXPR_OP':
    case 'AEXPR_DISTINCT':
    case 'AEXPR_NOT_DISTINCT':
    case 'AEXPR_LIKE':
    case 'AEXPR_ILIKE':
    case 'AEXPR_SIMILAR': {
      if (sameExpression(lexpr, rexpr))
        return reflexive === negated && (reflexive || irreflexive) ? 'none' : 'all';
      if (sameColumns(lexpr, rexpr)) return 'all';
      if (alwaysTruePattern(name, rexpr, reader.notes) && !negated) return 'all';
      return comparedWithTruth(reader, fields, name, negated);
    }
    case 'AEXPR_OP_ANY': {
      const array = as(as(rexpr, 'SubLink')?.['subselect'], 'SelectStmt');
      if (array !== null && name === '=' && !negated && selectsItself(reader, lexpr, array)) return 'all';
      return listReach(lexpr, rexpr, name, negated, reader);
    }
    case 'AEXPR_IN':
      return listReach(lexpr, rexpr, name, negated, reader);
    case 'AEXPR_OP_ALL':
      return !negated && emptyContainer(rexpr, reader.notes)
        ? 'all'
        : listReach(lexpr, rexpr, name, negated, reader);
    case 'AEXPR_BETWEEN':
    case 'AEXPR_BETWEEN_SYM':
      return list(as(rexpr, 'List')?.['items']).every((bound) => sameColumns(lexpr, bound)) ? 'all' : 'some';
    case 'AEXPR_NOT_BETWEEN':
    case 'AEXPR_NOT_BETWEEN_SYM':
      return 'some';
    default:
      // NULLIF and whatever else gives a value: nothing is known of it, so nothing bounds the write.
      return 'all';
  }
}

/** `p = true` and the like reach what p reaches. */
function comparedWithTruth(reader: Reader, fields: Fields, name: string, negated: boolean): Reach {
  for (const [one, other] of [
    [fields['lexpr'], fields['rexpr']],
    [fields['rexpr'], fields['lexpr']],
  ]) {
    const truth = constantText(one);
    if (truth !== 'true' && truth !== 'false') continue;
    if (as(other, 'ColumnRef') !== null) return 'some';
    const flips = (truth === 'false') !== (name === '<>' || name === '!=');
    return reach(reader, other, flips !== negated);
  }
  return 'some';
}

function listReach(left: unknown, right: unknown, name: string, negated: boolean, reader: Reader): Reach {
  const array = as(right, 'A_ArrayExpr') ?? as(as(right, 'TypeCast')?.['arg'], 'A_ArrayExpr');
  const items = array === null ? list(as(right, 'List')?.['items']) : list(array['elements']);
  const excludes = name === '<>' || name === '!=';
  if (items.some((item) => sameColumns(left, item))) return excludes === negated ? 'all' : 'none';
  const truths = new Set(items.map(constantText));
  if (truths.has('true') && truths.has('false')) return 'all';
  if (excludes && !negated && emptyContainer(right, reader.notes)) return 'all';
  return items.length === 1 && array === null && as(left, 'ColumnRef') === null
    ? comparedWithTruth(reader, { lexpr: left, rexpr: items[0] }, name, negated)
    : 'some';
}

const NEVER_NULL: ReadonlySet<string> = new Set(['ctid', 'tableoid', 'xmin', 'xmax', 'cmin', 'cmax']);

function nullTestReach(reader: Reader, fields: Fields, negated: boolean): Reach {
  const asksNotNull = (fields['nulltesttype'] === 'IS_NOT_NULL') !== negated;
  if (!asksNotNull) return 'some';
  const column = as(fields['arg'], 'ColumnRef');
  if (column === null) return 'all';
  const name = stringOf(list(column['fields']).at(-1));
  if (name === null || NEVER_NULL.has(name) || name === reader.target.alias) return 'all';
  return 'some';
}

function boolTestReach(reader: Reader, fields: Fields, negated: boolean): Reach {
  switch (fields['booltesttype']) {
    case 'IS_TRUE':
    case 'IS_NOT_FALSE':
      return reach(reader, fields['arg'], negated);
    case 'IS_FALSE':
    case 'IS_NOT_TRUE':
      return reach(reader, fields['arg'], !negated);
    case 'IS_UNKNOWN':
      return negated ? 'all' : 'some';
    default:
      return negated ? 'some' : 'all';
  }
}

function caseReach(reader: Reader, fields: Fields, negated: boolean): Reach {
  const results: Reach[] = [];
  for (const item of list(fields['args'])) {
    const when = as(item, 'CaseWhen');
    const condition = fields['arg'] === undefined ? reach(reader, when?.['expr'], false) : 'some';
    if (condition === 'none') continue;
    const result = reach(reader, when?.['result'], negated);
    if (condition === 'all') return results.includes('some') || results.includes('none') ? 'some' : result;
    results.push(result);
  }
  results.push(fields['defresult'] === undefined ? 'none' : reach(reader, fields['defresult'], negated));
  if (results.every((result) => result === 'all')) return 'all';
  return results.every((result) => result === 'none') ? 'none' : 'some';
}

function sublinkReach(reader: Reader, fields: Fields, negated: boolean): Reach {
  const query = as(fields['subselect'], 'SelectStmt');
  if (query === null) return 'all';
  if (fields['subLinkType'] === 'EXISTS_SUBLINK') return existsReach(reader, query, negated);
  const value = soleValue(query);
  if (fields['subLinkType'] === 'EXPR_SUBLINK' && value !== null) return reach(reader, value, negated);
  if (fields['subLinkType'] === 'ANY_SUBLINK' && value !== null && sameColumns(fields['testexpr'], value)) {
    return negated ? 'none' : 'all';
  }
  if (fields['subLinkType'] === 'ANY_SUBLINK' && !negated && selectsItself(reader, fields['testexpr'], query))
    return 'all';
  return 'some';
}

function existsReach(reader: Reader, query: Fields, negated: boolean): Reach {
  const targets = list(query['targetList']).map((target) => as(as(target, 'ResTarget')?.['val'], 'FuncCall'));
  const counts = targets.some((call) =>
    reader.target.isAggregate(nameParts(call?.['funcname']).at(-1) ?? ''),
  );
  if (counts && query['groupClause'] === undefined && query['havingClause'] === undefined)
    return negated ? 'none' : 'all';
  if (!negated && readsOwnRow(reader, query)) return 'all';
  if (list(query['fromClause']).length > 0 || query['op'] !== 'SETOP_NONE') return 'some';
  return query['whereClause'] === undefined
    ? negated
      ? 'none'
      : 'all'
    : reach(reader, query['whereClause'], negated);
}

/** `EXISTS (SELECT 1 FROM t x WHERE x.id = t.id)`: every row finds itself. */
function readsOwnRow(reader: Reader, query: Fields): boolean {
  const from = list(query['fromClause']);
  const relation = as(from[0], 'RangeVar');
  if (from.length !== 1 || relation === null || relation['relname'] !== reader.target.relation?.name)
    return false;
  if (query['havingClause'] !== undefined || query['whereClause'] === undefined) return false;
  const target: PredicateTarget = { ...reader.target, alias: '', joined: false };
  return reach({ ...reader, target }, unqualified(query['whereClause']), false) === 'all';
}

/** `id IN (SELECT id FROM t)` where t is what is written, and nothing bounds the inner query either. */
function selectsItself(reader: Reader, test: unknown, query: Fields): boolean {
  const from = list(query['fromClause']);
  const relation = as(from[0], 'RangeVar');
  if (from.length !== 1 || relation === null || relation['relname'] !== reader.target.relation?.name)
    return false;
  if (query['limitCount'] !== undefined || query['havingClause'] !== undefined) return false;
  const target = as(list(query['targetList'])[0], 'ResTarget')?.['val'];
  if (!sameColumns(test, target, true)) return false;
  if (query['whereClause'] === undefined) return true;
  const inner: PredicateTarget = { ...reader.target, alias: '', joined: false };
  return reach({ ...reader, target: inner }, query['whereClause'], false) === 'all';
}

/** Whether the expression can differ from row to row of the target. */
function dependsOnRow(reader: Reader, node: unknown): boolean {
  if (Array.isArray(node)) return node.some((item) => dependsOnRow(reader, item));
  if (!isObject(node)) return false;
  const column = as(node, 'ColumnRef');
  if (column !== null) return isTargetColumn(reader, column);
  const operator = as(node, 'A_Expr');
  if (operator !== null && cancelsOut(operator, reader.notes)) return false;
  const sublink = as(node, 'SubLink');
  if (sublink !== null)
    return dependsOnRow(reader, sublink['testexpr']) || isCorrelated(reader, sublink['subselect']);
  return Object.values(node).some((value) => dependsOnRow(reader, value));
}

function isTargetColumn(reader: Reader, column: Fields): boolean {
  const parts = list(column['fields']).map((part) => stringOf(part) ?? '*');
  if (parts.length === 1 || !reader.target.joined) return true;
  return parts.at(-2) === reader.target.alias;
}

/** A subquery speaks of the outer row only where it names it, or has no FROM whose columns it could mean. */
function isCorrelated(reader: Reader, node: unknown): boolean {
  const select = as(node, 'SelectStmt');
  const alone = select !== null && select['fromClause'] === undefined;
  const find = (value: unknown): boolean => {
    if (Array.isArray(value)) return value.some(find);
    if (!isObject(value)) return false;
    const column = as(value, 'ColumnRef');
    if (column === null) return Object.values(value).some(find);
    const parts = list(column['fields']).map((part) => stringOf(part) ?? '*');
    return parts.length === 1 ? alone : parts.at(-2) === reader.target.alias;
  };
  return find(node);
}
