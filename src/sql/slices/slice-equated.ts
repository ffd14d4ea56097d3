import { as, list, nameParts, stringOf } from '../parsing/tree.ts';

/** Columns of which a condition says that each is one value, so that it finds one row where they tell rows apart. */
export function equatedColumns(condition: unknown): readonly string[] {
  const both = as(condition, 'BoolExpr');
  if (both !== null) return both['boolop'] === 'AND_EXPR' ? list(both['args']).flatMap(equatedColumns) : [];
  const compared = as(condition, 'A_Expr');
  if (compared === null || compared['kind'] !== 'AEXPR_OP' || nameParts(compared['name']).join('.') !== '=')
    return [];
  const { lexpr, rexpr } = compared;
  const column = isOneValue(rexpr) ? columnOf(lexpr) : isOneValue(lexpr) ? columnOf(rexpr) : null;
  return column === null ? [] : [column];
}

/** Whether a condition says that, and nothing else. */
export function equatesOnly(condition: unknown): boolean {
  const both = as(condition, 'BoolExpr');
  if (both === null) return equatedColumns(condition).length === 1;
  return both['boolop'] === 'AND_EXPR' && list(both['args']).every(equatesOnly);
}

function isOneValue(value: unknown): boolean {
  const cast = as(value, 'TypeCast');
  return cast === null ? (as(value, 'A_Const') ?? as(value, 'ParamRef')) !== null : isOneValue(cast['arg']);
}

const columnOf = (value: unknown): string | null => stringOf(list(as(value, 'ColumnRef')?.['fields']).at(-1));
