import { as, type Fields, isObject, list, text } from '../parsing/tree.ts';
import {
  type Assignment,
  type InexactSlice,
  inexact,
  type SliceRequest,
  type SliceTarget,
  targetOf,
} from './slice.ts';
import { isExpression, isSelectOf } from './slice-check.ts';
import { onlyReads } from './slice-facts.ts';
import { valueParts } from './slice-value.ts';

/** The pieces that the forms of statements share. */

/** The keyword after which the target stands, by its verb. */
export type TargetKeyword = 'update' | 'from' | 'into';

export interface TargetPlace {
  readonly target: SliceTarget;
  /** The index of the keyword before the target, and of the first token behind the target's name. */
  readonly keyword: number;
  readonly name: number;
}

/** Finds the target's name and the keyword before it; its end is the form's own affair. */
export function targetPlace(request: SliceRequest, keyword: TargetKeyword): TargetPlace | null {
  const relation = request.fields['relation'];
  const target = targetOf(relation, '');
  if (target === null || !isObject(relation)) return null;
  const name = request.text.at(Number(relation['location'] ?? 0));
  const found = request.text.findLast([keyword], request.first, request.depth, name);
  return found < 0 ? null : { target, keyword: found, name };
}

/** The target with its text, if that, behind FROM, is the statement's own target and nothing else. */
export function targetUntil(request: SliceRequest, place: TargetPlace, end: number): SliceTarget | null {
  const from = request.text.between(place.keyword, end);
  const relation = { RangeVar: request.fields['relation'] };
  const same = isSelectOf(request.parse, `SELECT FROM ${from}\n`, { from: [relation] });
  return same ? { ...place.target, text: from } : null;
}

/** The WITH clause as it stands before the statement's verb. */
export function withText(request: SliceRequest, verb: number): string | null | InexactSlice {
  const clause = request.fields['withClause'];
  if (!isObject(clause)) return null;
  if (!onlyReads(clause)) return inexact('a part of it (WITH) changes data by itself');
  if (hidesTarget(clause, request.fields['relation'])) {
    return inexact('its WITH has the name of its target, which means another thing in a query');
  }
  const start = request.text.at(Number(clause['location'] ?? 0));
  const cut = request.text.cut(request.text.startOf(start), request.text.startOf(request.withEnd ?? verb));
  return isSelectOf(request.parse, `${cut}\nSELECT\n`, { with: clause }) ? cut : notCut();
}

/** The target of a write is never a name of WITH, but behind FROM it would be. */
function hidesTarget(clause: Fields, relation: unknown): boolean {
  if (!isObject(relation) || text(relation['schemaname']) !== null) return false;
  return list(clause['ctes']).some((cte) => as(cte, 'CommonTableExpr')?.['ctename'] === relation['relname']);
}

/** An expression between two tokens, if it is the one of the tree. */
export function expressionBetween(
  request: SliceRequest,
  after: number,
  before: number,
  tree: unknown,
): string | null {
  const cut = request.text.between(after, before);
  return isExpression(request.parse, cut, tree) ? cut : null;
}

export function notCut(): InexactSlice {
  return inexact('its parts could not be told apart in its text');
}

/** The columns that SET assigns between two tokens; an expression is given only where it was proved. */
export function assignments(request: SliceRequest, set: number, end: number, targets: unknown): Assignment[] {
  const pieces = splitAtCommas(request, set, end);
  const all = list(targets).map((item) => as(item, 'ResTarget') ?? {});
  const paired = pieces.length === all.length;
  return all.map((target, i) => assignment(request, target, paired ? pieces[i]! : null));
}

type Piece = readonly [first: number, end: number];

function splitAtCommas(request: SliceRequest, set: number, end: number): Piece[] {
  const { tokens } = request.text;
  const last = end < 0 ? tokens.length : end;
  const pieces: Piece[] = [];
  let first = set + 1;
  for (let i = first; i <= last; i++) {
    const token = tokens[i];
    if (i < last && (token?.text !== ',' || token.depth !== request.depth)) continue;
    pieces.push([first, i]);
    first = i + 1;
  }
  return pieces;
}

function assignment(request: SliceRequest, target: Fields, piece: Piece | null): Assignment {
  const column = text(target['name']) ?? '';
  const none: Assignment = { column, expression: null, parts: null };
  const given = as(target['val'], 'SetToDefault') === null && target['indirection'] === undefined;
  if (piece === null || !given) return none;
  const [first, end] = piece;
  if (request.text.tokens[first + 1]?.text !== '=') return none;
  const before = end >= request.text.tokens.length ? -1 : end;
  const expression = expressionBetween(request, first + 1, before, target['val']);
  return { column, expression, parts: expression === null ? null : valueParts(target['val']) };
}
