import { aliasOf, type Fields, isObject, text } from '../parsing/tree.ts';
import type { ParseSlice } from './slice-check.ts';
import type { FunctionName, ImpliedNames } from './slice-facts.ts';
import type { SliceText } from './slice-text.ts';
import type { ValueParts } from './slice-value.ts';
import type { ViewSlice } from './slice-view.ts';

/**
 * The rows that a write will change, as pieces of its own text. They are cut by the parser's locations, parsed
 * again and compared with the original's tree before they are used; nothing is ever written anew from a tree.
 */
export type WriteSlice = RowsSlice | UpsertSlice | TruncateSlice | CursorSlice | ExecuteSlice | InexactSlice;

export interface SliceTarget {
  readonly schema: string | null;
  readonly name: string;
  /** What the statement calls the target: its alias, or its name. */
  readonly reference: string;
  readonly only: boolean;
  /** As FROM takes it: ONLY, name, alias. */
  readonly text: string;
}

export interface Assignment {
  readonly column: string;
  /** The text of the new value, or null where it is none of its own (DEFAULT, a list, a part of a column). */
  readonly expression: string | null;
  /** What the new value is made of; null where it is not made of such parts alone. */
  readonly parts: ValueParts | null;
}

/** Facts that all writes of rows share. */
export interface SliceCommon {
  readonly target: SliceTarget;
  /** The whole clause with its WITH, or null. */
  readonly with: string | null;
  /** Numbers of the parameters in what is cut out. */
  readonly parameters: readonly number[];
  /** Functions called in what is cut out; those of the whole statement. */
  readonly functions: readonly FunctionName[];
  readonly calls: readonly FunctionName[];
  /** Of what is cut out; of the new values. */
  readonly implied: ImpliedNames;
  readonly impliedByValues: ImpliedNames;
  /** Of columns in the whole statement, as far as the text tells: `c.f` may be `f(c)`. */
  readonly attributes: readonly string[];
  readonly assigned: readonly Assignment[];
  /** The whole statement names operators or types that are not PostgreSQL's own, behind which there may be any code. */
  readonly ownNames: boolean;
  /** The whole statement reads other relations, which may be views of any code. */
  readonly readsOthers: boolean;
  /** It stands in the WITH of another statement, whose command tag tells nothing of its rows. */
  readonly inWith?: true;
  /** What that inserts into. */
  readonly insertsInto?: { readonly schema: string | null; readonly name: string };
}

/** `SELECT … FROM <target.text> WHERE <where>`, after `with`, gives each row that will change once. */
export interface RowsSlice extends SliceCommon {
  readonly kind: 'rows';
  readonly operation: 'update' | 'delete' | 'merge';
  readonly where: string | null;
  /** The condition of those rows that are updated, or deleted, alone, where the statement may do either. */
  readonly whereUpdated: string | null;
  readonly whereDeleted: string | null;
  readonly updates: boolean;
  readonly deletes: boolean;
  readonly inserts: boolean;
  /** Other tables stand beside the target, which the new values may name. */
  readonly joined: boolean;
  /**
   * The condition looks at nothing but the row itself, by PostgreSQL's own operators, so that it holds as long as
   * the row is locked. Functions, and what a hostile search_path makes of operators, are for the catalog to tell.
   */
  readonly ownRowOnly: boolean;
  /** Columns that the condition gives one value each. */
  readonly equated: readonly string[];
  /** It says nothing else. */
  readonly equatesOnly: boolean;
  /** Takes the definition of a view apart, should the target be one. */
  readonly sliceView: (definition: string) => ViewSlice | InexactSlice;
}

export interface UpsertSlice extends SliceCommon {
  readonly kind: 'upsert';
  /** The query of the rows to insert, and the columns that it fills; null for the table's own. */
  readonly source: string;
  readonly columns: readonly string[] | null;
  readonly arbiter:
    | { readonly kind: 'columns'; readonly columns: readonly string[] }
    | { readonly kind: 'constraint'; readonly name: string };
  /** How many values a row of the source has, or null where its text does not tell. */
  readonly width: number | null;
  /** The condition of DO UPDATE, and which columns of `excluded` it names. */
  readonly where: string | null;
  readonly excluded: readonly string[];
}

export interface TruncateSlice {
  readonly kind: 'truncate';
  readonly targets: readonly SliceTarget[];
  readonly cascade: boolean;
  readonly restartsSequences: boolean;
}

/** WHERE CURRENT OF: the row is known to the server alone. */
export interface CursorSlice {
  readonly kind: 'cursor';
  readonly operation: 'update' | 'delete';
  readonly target: SliceTarget;
  readonly cursor: string;
  readonly assigned: readonly Assignment[];
  readonly attributes: readonly string[];
  readonly calls: readonly FunctionName[];
  readonly ownNames: boolean;
  readonly readsOthers: boolean;
}

/** EXECUTE: what it runs stands in another text. */
export interface ExecuteSlice {
  readonly kind: 'execute';
  readonly name: string;
  /** The texts of the values that it gives. */
  readonly values: readonly string[];
}

export interface InexactSlice {
  readonly kind: 'inexact';
  /** A clause that reads well behind "there is no exact plan, because". */
  readonly reason: string;
  /** Of an INSERT: the rows that it is given. */
  readonly inserted?: InsertedRows;
}

/** The query that gives the rows of an INSERT. */
export interface InsertedRows {
  readonly with: string | null;
  readonly source: string;
  readonly functions: readonly FunctionName[];
  readonly calls: readonly FunctionName[];
  readonly ownNames: boolean;
}

/** What a form's slicer is given. */
export interface SliceRequest {
  readonly text: SliceText;
  readonly fields: Fields;
  /** Depth at which the statement's own words stand. */
  readonly depth: number;
  /** The index of the statement's first token. */
  readonly first: number;
  readonly parse: ParseSlice;
  /** Where its WITH is that of a statement around it: the index of the token that ends it. */
  readonly withEnd?: number;
}

export function inexact(reason: string): InexactSlice {
  return { kind: 'inexact', reason };
}

/** The target of a RangeVar's fields; null for one in another database, which the server refuses. */
export function targetOf(relation: unknown, from: string): SliceTarget | null {
  if (!isObject(relation) || relation['catalogname'] !== undefined) return null;
  const name = text(relation['relname']);
  if (name === null) return null;
  return {
    schema: text(relation['schemaname']),
    name,
    reference: aliasOf(relation) ?? name,
    only: relation['inh'] !== true,
    text: from,
  };
}
