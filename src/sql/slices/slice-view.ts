import { as, type Fields, isObject, list, stringOf, text } from '../parsing/tree.ts';
import { type InexactSlice, inexact, type SliceTarget, targetOf } from './slice.ts';
import { isSelectOf, type ParseSlice, parsedSelect, sameTree } from './slice-check.ts';
import { type FunctionName, type ImpliedNames, sliceFacts } from './slice-facts.ts';
import { notCut } from './slice-parts.ts';
import { SliceText } from './slice-text.ts';

/** A view of one table, through which the table's rows are written, as pieces of its definition. */
export interface ViewSlice {
  readonly kind: 'view';
  readonly base: SliceTarget;
  /** What stands between SELECT and FROM. */
  readonly outputs: string;
  readonly where: string | null;
  /** The column of the table behind each of the view's, where it is one. */
  readonly columns: ReadonlyMap<string, string>;
  readonly functions: readonly FunctionName[];
  readonly implied: ImpliedNames;
  readonly ownNames: boolean;
  readonly readsOthers: boolean;
}

/** How a statement uses the view: its parts, and what it calls the view in them. */
export interface ViewUse {
  readonly parse: ParseSlice;
  readonly trees: readonly unknown[];
  readonly reference: string;
}

/** `definition` is what pg_get_viewdef says in this session, whose search_path it was written for. */
export function sliceView(
  definition: string,
  { parse, trees, reference }: ViewUse,
): ViewSlice | InexactSlice {
  if (namesWhole(trees, reference)) return inexact('it names a view with its schema, or its rows as a whole');
  const utf8 = Buffer.from(definition.trim().replace(/;$/, ''));
  const select = parsedSelect(parse, utf8.toString());
  const from = select === null ? [] : list(select['fromClause']);
  const base = targetOf(as(from[0], 'RangeVar'), '');
  if (select === null || from.length !== 1 || base === null) {
    return inexact('its target is a view of more than one table');
  }
  const facts = sliceFacts([select]);
  if (facts.problem !== null) return inexact(facts.problem);
  const sliced = SliceText.of(utf8, 0, utf8.length);
  const fromAt = sliced.find(['from'], 0, 0);
  const whereAt = sliced.find(['where'], fromAt + 1, 0);
  if (fromAt < 0) return notCut();
  const outputs = sliced.between(sliced.find(['select'], 0, 0), fromAt);
  const fromText = sliced.between(fromAt, whereAt);
  const where = whereAt < 0 ? null : sliced.between(whereAt, -1);
  const rest = `SELECT FROM ${fromText}\n${where === null ? '' : `WHERE ${where}\n`}`;
  const same =
    isSelectOf(parse, rest, { from, where: select['whereClause'] }) &&
    sameTree(parsedSelect(parse, `SELECT ${outputs}\n`), plainSelect(select['targetList']));
  // What is neither output, table nor condition (DISTINCT, GROUP BY, LIMIT) makes a view that is not written through.
  const whole = `SELECT ${outputs}\n${rest.slice('SELECT '.length)}`;
  if (!same || !sameTree(parsedSelect(parse, whole), select)) {
    return inexact('its target is a view of more than plain rows of a table');
  }
  return {
    kind: 'view',
    base: { ...base, text: fromText },
    outputs,
    where,
    columns: columnsOf(list(select['targetList'])),
    functions: facts.functions,
    implied: facts.implied,
    ownNames: facts.ownNames,
    // The table itself is one.
    readsOthers: sliceFacts([select['targetList'], select['whereClause']]).readsOthers,
  };
}

/** A query in the view's place has no schema, and a row of it has other columns besides. */
function namesWhole(node: unknown, reference: string): boolean {
  if (Array.isArray(node)) return node.some((item) => namesWhole(item, reference));
  if (!isObject(node)) return false;
  const column = as(node, 'ColumnRef');
  if (column === null) return Object.values(node).some((value) => namesWhole(value, reference));
  const parts = list(column['fields']).map(stringOf);
  return parts.length > 2 || (parts[0] === reference && typeof parts[1] !== 'string');
}

/** The tree of a SELECT of nothing but these. */
function plainSelect(targetList: unknown): Fields {
  return { targetList, limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' };
}

function columnsOf(targets: readonly unknown[]): Map<string, string> {
  const out = new Map<string, string>();
  for (const item of targets) {
    const target = as(item, 'ResTarget');
    const column = stringOf(list(as(target?.['val'], 'ColumnRef')?.['fields']).at(-1));
    if (target !== null && column !== null) out.set(text(target['name']) ?? column, column);
  }
  return out;
}
