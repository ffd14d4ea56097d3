import { as, constantText, type Fields, isObject, list, nameParts, stringOf } from '../parsing/tree.ts';
import { rangesCover } from './predicate-values.ts';

/** Whether two trees say the same; where they stand in the text does not matter. */
export function sameExpression(a: unknown, b: unknown): boolean {
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) && a.length === b.length && a.every((item, index) => sameExpression(item, b[index]))
    );
  }
  if (!isObject(a) || !isObject(b)) return a === b;
  if (as(a, 'ColumnRef') !== null) return sameColumn(a, b);
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) if (!isPosition(key) && !sameExpression(a[key], b[key])) return false;
  return true;
}

function isPosition(key: string): boolean {
  return key === 'location' || key === 'rexpr_list_start' || key === 'rexpr_list_end';
}

/** `id`, `t.id` and `s.t.id` are the same column unless their qualifiers differ. */
function sameColumn(a: unknown, b: unknown): boolean {
  const [left, right] = [columnParts(a), columnParts(b)];
  if (left === null || right === null || left.at(-1) !== right.at(-1)) return false;
  const [one, other] = [left.at(-2), right.at(-2)];
  return one === undefined || other === undefined || one === other;
}

function columnParts(node: unknown): readonly string[] | null {
  const column = as(node, 'ColumnRef');
  return column === null ? null : list(column['fields']).map((part) => stringOf(part) ?? '*');
}

/**
 * Whether both sides are the same column but for what hardly changes it: casts, arithmetic with constants,
 * COALESCE. `id = id + 0` bounds nothing, and nobody needs `a = a + 1`.
 */
export function sameColumns(a: unknown, b: unknown, ignoreQualifier = false): boolean {
  const [left, right] = [bareColumn(a), bareColumn(b)];
  if (left === null || right === null) return sameExpression(a, b) && !isConstant(a);
  if (ignoreQualifier) return columnParts(left)?.at(-1) === columnParts(right)?.at(-1);
  return sameColumn(left, right);
}

function bareColumn(node: unknown): unknown {
  if (as(node, 'ColumnRef') !== null) return node;
  const cast = as(node, 'TypeCast');
  if (cast !== null) return bareColumn(cast['arg']);
  const coalesce = as(node, 'CoalesceExpr');
  if (coalesce !== null) return onlyColumn(list(coalesce['args']));
  const extreme = as(node, 'MinMaxExpr');
  if (extreme !== null) {
    const [first, ...others] = list(extreme['args']);
    return others.every((other) => sameExpression(first, other)) ? bareColumn(first) : null;
  }
  const sublink = as(node, 'SubLink');
  if (sublink !== null) {
    const query = sublink['subLinkType'] === 'EXPR_SUBLINK' ? as(sublink['subselect'], 'SelectStmt') : null;
    return query === null ? null : bareColumn(soleValue(query));
  }
  const operator = as(node, 'A_Expr');
  if (operator === null || operator['kind'] !== 'AEXPR_OP') return null;
  if (!['+', '-', '*', '/', '||', '%', '&', '|', '#'].includes(nameParts(operator['name']).at(-1) ?? ''))
    return null;
  return onlyColumn([operator['lexpr'], operator['rexpr']].filter((side) => side !== undefined));
}

/** The one value of a query without FROM and WHERE: `SELECT x` and `VALUES (x)`. */
export function soleValue(query: Fields): unknown {
  if (query['fromClause'] !== undefined || query['whereClause'] !== undefined) return null;
  const rows = list(query['valuesLists']);
  if (rows.length === 1) return list(as(rows[0], 'List')?.['items'])[0] ?? null;
  const targets = list(query['targetList']);
  return targets.length === 1 ? (as(targets[0], 'ResTarget')?.['val'] ?? null) : null;
}

/** The tree with its columns named by their last part only. */
export function unqualified(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(unqualified);
  if (!isObject(node)) return node;
  const column = as(node, 'ColumnRef');
  if (column !== null) return { ColumnRef: { ...column, fields: list(column['fields']).slice(-1) } };
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, unqualified(value)]));
}

/** `id - id`, `id * 0` and the like: a column is there, and the row is not. */
export function cancelsOut(operator: Fields, notes: { literalsRead: boolean }): boolean {
  if (operator['kind'] !== 'AEXPR_OP') return false;
  const name = nameParts(operator['name']).at(-1) ?? '';
  const sides = [operator['lexpr'], operator['rexpr']];
  if (['-', '/', '%', '#'].includes(name)) return sameExpression(sides[0], sides[1]);
  if (name !== '*' && name !== '&') return false;
  const constants = sides.map(constantText).filter((value) => value !== null);
  if (constants.length > 0) notes.literalsRead = true;
  return constants.some((value) => Number(value) === 0);
}

function onlyColumn(sides: readonly unknown[]): unknown {
  const columns = sides.filter((side) => !isConstant(side));
  return columns.length === 1 ? bareColumn(columns[0]) : null;
}

function isConstant(node: unknown): boolean {
  return as(node, 'A_Const') !== null || as(node, 'ParamRef') !== null || constantText(node) !== null;
}

/** An atom of a disjunction: what is tested, and how. */
interface Atom {
  readonly subject: unknown;
  readonly test: string;
  readonly against: unknown;
}

/** For each test those that, joined to it by OR on the same subject, leave no row out. */
const OPPOSITES: Readonly<Record<string, readonly string[]>> = {
  'is null': ['is not null'],
  'is not null': ['is null'],
  true: ['not true'],
  'not true': ['true'],
};

const NEGATION: Readonly<Record<string, string>> = {
  'is null': 'is not null',
  'is not null': 'is null',
  true: 'not true',
  'not true': 'true',
  '=': '<>',
  '<>': '=',
  '!=': '=',
  '<': '>=',
  '>=': '<',
  '>': '<=',
  '<=': '>',
  '~~': '!~~',
  '!~~': '~~',
  '~~*': '!~~*',
  '!~~*': '~~*',
};

/** Whether two of the parts of a disjunction cover every row between them. */
export function complementary(
  parts: readonly unknown[],
  negated: boolean,
  notes: { literalsRead: boolean },
): boolean {
  const atoms = parts.slice(0, 64).map((part) => atom(part, negated));
  return atoms.some((one, index) => atoms.slice(index + 1).some((other) => cover(one, other, notes)));
}

function atom(node: unknown, negated: boolean): Atom {
  const bool = as(node, 'BoolExpr');
  if (bool !== null && bool['boolop'] === 'NOT_EXPR') return atom(list(bool['args'])[0], !negated);
  const nullTest = as(node, 'NullTest');
  if (nullTest !== null) {
    const test = nullTest['nulltesttype'] === 'IS_NULL' ? 'is null' : 'is not null';
    return turned({ subject: nullTest['arg'], test, against: null }, negated);
  }
  const operator = as(node, 'A_Expr');
  return operator === null ? plain(node, negated) : compared(node, operator, negated);
}

function plain(node: unknown, negated: boolean): Atom {
  return { subject: node, test: negated ? 'not true' : 'true', against: null };
}

function compared(node: unknown, operator: Fields, negated: boolean): Atom {
  const kind = operator['kind'];
  const test = nameParts(operator['name']).at(-1) ?? '';
  if (kind === 'AEXPR_DISTINCT' || kind === 'AEXPR_NOT_DISTINCT') {
    const distinct = kind === 'AEXPR_DISTINCT' ? '<>' : '=';
    return turned({ subject: operator['lexpr'], test: distinct, against: operator['rexpr'] }, negated);
  }
  if (
    NEGATION[test] === undefined ||
    !['AEXPR_OP', 'AEXPR_IN', 'AEXPR_LIKE', 'AEXPR_ILIKE'].includes(String(kind))
  ) {
    return plain(node, negated);
  }
  return turned({ subject: operator['lexpr'], test, against: operator['rexpr'] }, negated);
}

function turned(atom: Atom, negated: boolean): Atom {
  return negated ? { ...atom, test: NEGATION[atom.test] ?? atom.test } : atom;
}

function cover(one: Atom, other: Atom, notes: { literalsRead: boolean }): boolean {
  if (!sameColumns(one.subject, other.subject) && !sameExpression(one.subject, other.subject)) return false;
  if (OPPOSITES[one.test]?.includes(other.test) === true) return true;
  // x <> 1 OR x <> 2, and x <> 1 OR x = 1: an inequality joined to anything else on the same column.
  const tests = [one.test, other.test];
  if (tests.includes('<>') || tests.includes('!='))
    return tests.every((test) => NEGATION[test] !== undefined);
  if (tests.includes('!~~') || tests.includes('!~~*')) return sameExpression(one.against, other.against);
  return rangesCover(one.test, one.against, other.test, other.against, notes);
}
