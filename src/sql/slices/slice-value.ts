import { type Fields, list, nameParts, stringOf, unwrap } from '../parsing/tree.ts';
import type { FunctionName } from './slice-facts.ts';

/** What a value is made of, where that is nothing but columns by their names, constants, parameters and calls. */
export interface ValueParts {
  /** Each as the text has it, with what stands before its dots. */
  readonly columns: readonly (readonly string[])[];
  readonly functions: readonly FunctionName[];
  readonly parameters: boolean;
}

/** The fields of a node that hold values, and those that hold none: names and types. All others are not understood. */
interface Form {
  readonly values: readonly string[];
  readonly names: readonly string[];
}

const FORMS: Readonly<Record<string, Form>> = {
  A_Expr: { values: ['lexpr', 'rexpr'], names: ['name'] },
  A_ArrayExpr: { values: ['elements'], names: [] },
  BoolExpr: { values: ['args'], names: [] },
  BooleanTest: { values: ['arg'], names: [] },
  CaseExpr: { values: ['arg', 'args', 'defresult'], names: [] },
  CaseWhen: { values: ['expr', 'result'], names: [] },
  CoalesceExpr: { values: ['args'], names: [] },
  CollateClause: { values: ['arg'], names: ['collname'] },
  FuncCall: { values: ['args'], names: ['funcname'] },
  List: { values: ['items'], names: [] },
  MinMaxExpr: { values: ['args'], names: [] },
  NullTest: { values: ['arg'], names: [] },
  SQLValueFunction: { values: [], names: [] },
  TypeCast: { values: ['arg'], names: ['typeName'] },
};

/** Null where there is anything else in it: a subquery, a whole row, a part of a value. */
export function valueParts(tree: unknown): ValueParts | null {
  const reader = new PartsReader();
  const { columns, functions } = reader;
  return reader.read(tree) ? { columns, functions, parameters: reader.parameters } : null;
}

class PartsReader {
  readonly columns: (readonly string[])[] = [];
  readonly functions: FunctionName[] = [];
  parameters = false;

  /** Whether all of it is understood. */
  read(value: unknown): boolean {
    if (Array.isArray(value)) return value.every((item) => this.read(item));
    const node = unwrap(value);
    if (node === null) return false;
    const { name, fields } = node;
    if (name === 'A_Const') return true;
    if (name === 'ColumnRef') return this.#column(fields);
    if (name === 'ParamRef') {
      this.parameters = true;
      return true;
    }
    const form = Object.hasOwn(FORMS, name) ? FORMS[name]! : null;
    if (form === null) return false;
    if (name === 'FuncCall') this.#function(nameParts(fields['funcname']));
    return Object.entries(fields).every(([field, inner]) => {
      if (form.names.includes(field) || typeof inner !== 'object') return true;
      return form.values.includes(field) && this.read(inner);
    });
  }

  #column(fields: Fields): boolean {
    const parts = list(fields['fields']);
    const names = parts.map(stringOf).filter((part) => part !== null);
    this.columns.push(names);
    return names.length > 0 && names.length === parts.length;
  }

  #function(parts: readonly string[]): void {
    this.functions.push({ schema: parts.at(-2) ?? null, name: parts.at(-1) ?? '' });
  }
}
