import { as, list } from '../parsing/tree.ts';
import {
  type CursorSlice,
  type InexactSlice,
  inexact,
  type RowsSlice,
  type SliceRequest,
  type WriteSlice,
} from './slice.ts';
import { isSelectOf } from './slice-check.ts';
import { equatedColumns, equatesOnly } from './slice-equated.ts';
import { sliceFacts } from './slice-facts.ts';
import { assignments, notCut, type TargetPlace, targetPlace, targetUntil, withText } from './slice-parts.ts';
import { sliceView } from './slice-view.ts';

/** UPDATE and DELETE, which differ in where their other tables stand. */

/** The indexes of the words that part the statement; -1 where it has none. */
interface Words {
  readonly place: TargetPlace;
  readonly set: number;
  readonly others: number;
  readonly where: number;
  readonly returning: number;
}

export function sliceRows(request: SliceRequest, operation: 'update' | 'delete'): WriteSlice {
  const words = findWords(request, operation);
  if (words === null) return notCut();
  const { fields } = request;
  const assigned =
    words.set < 0
      ? []
      : assignments(
          request,
          words.set,
          firstOf(words, ['others', 'where', 'returning']),
          fields['targetList'],
        );
  const whole = sliceFacts([fields]);
  const calls = whole.functions;
  const target = targetUntil(request, words.place, firstOf(words, ['set', 'others', 'where', 'returning']));
  if (target === null) return notCut();
  const cursor = as(fields['whereClause'], 'CurrentOfExpr');
  if (cursor !== null) {
    if (fields['withClause'] !== undefined) return inexact('a WITH stands beside its WHERE CURRENT OF');
    if (words.others >= 0) return inexact('other tables stand beside its WHERE CURRENT OF');
    const name = String(cursor['cursor_name'] ?? '');
    const { ownNames, readsOthers } = whole;
    const { attributes } = whole.implied;
    return {
      kind: 'cursor',
      operation,
      target,
      cursor: name,
      assigned,
      attributes,
      calls,
      ownNames,
      readsOthers,
    } satisfies CursorSlice;
  }
  const clause = withText(request, verbOf(request, words.place, operation));
  if (typeof clause === 'object' && clause !== null) return clause;
  const others = list(operation === 'update' ? fields['fromClause'] : fields['usingClause']);
  const where = condition(request, words, others, target.reference);
  if (typeof where === 'object' && where !== null) return where;
  const trees = [others, fields['whereClause'], fields['withClause']];
  const facts = sliceFacts(trees);
  if (facts.problem !== null) return inexact(facts.problem);
  return {
    kind: 'rows',
    operation,
    target,
    with: clause,
    where,
    whereUpdated: where,
    whereDeleted: where,
    updates: operation === 'update',
    deletes: operation === 'delete',
    inserts: false,
    joined: others.length > 0,
    ownRowOnly: others.length === 0 && !facts.readsOthers && !facts.ownNames,
    equated: others.length === 0 ? equatedColumns(fields['whereClause']) : [],
    equatesOnly: others.length === 0 && equatesOnly(fields['whereClause']),
    sliceView: (definition) =>
      sliceView(definition, { parse: request.parse, trees, reference: target.reference }),
    parameters: facts.parameters,
    functions: facts.functions,
    implied: facts.implied,
    impliedByValues: sliceFacts([fields['targetList']]).implied,
    attributes: whole.implied.attributes,
    calls,
    assigned,
    ownNames: whole.ownNames,
    readsOthers: whole.readsOthers,
  } satisfies RowsSlice;
}

function findWords(request: SliceRequest, operation: 'update' | 'delete'): Words | null {
  const { text, depth, fields } = request;
  const place = targetPlace(request, operation === 'update' ? 'update' : 'from');
  if (place === null) return null;
  let from = place.name;
  let set = -1;
  if (operation === 'update') {
    const first = as(list(fields['targetList'])[0], 'ResTarget');
    set = text.findLast(['set'], place.name + 1, depth, text.at(Number(first?.['location'] ?? 0)));
    if (set < 0) return null;
    from = set + 1;
  }
  const returning = text.find(['returning'], from, depth);
  const end = returning < 0 ? text.tokens.length : returning;
  const others =
    operation === 'update' ? findFrom(request, from, end) : text.find(['using'], from, depth, end);
  const where = text.find(['where'], Math.max(from, others), depth, end);
  return { place, set, others, where, returning };
}

/** FROM at the statement's own depth, but not that of IS DISTINCT FROM. */
function findFrom(request: SliceRequest, from: number, end: number): number {
  const { text, depth } = request;
  for (let i = text.find(['from'], from, depth, end); i >= 0; i = text.find(['from'], i + 1, depth, end)) {
    const before = text.tokens[i - 1];
    if (before?.word !== true || before.text !== 'distinct') return i;
  }
  return -1;
}

function firstOf(words: Words, names: readonly ('set' | 'others' | 'where' | 'returning')[]): number {
  return names.map((name) => words[name]).find((index) => index >= 0) ?? -1;
}

function verbOf(request: SliceRequest, place: TargetPlace, operation: 'update' | 'delete'): number {
  return operation === 'update'
    ? place.keyword
    : request.text.findLast(['delete'], request.first, request.depth, place.keyword);
}

/**
 * The condition on the target alone. Other tables go into an EXISTS, so that no row comes twice: what the text
 * may say unqualified is unambiguous in the original, so it means the same in there.
 */
function condition(
  request: SliceRequest,
  words: Words,
  others: readonly unknown[],
  reference: string,
): string | null | InexactSlice {
  const { text, fields, parse } = request;
  const where = words.where < 0 ? null : text.between(words.where, words.returning);
  if (others.length === 0) {
    if (where === null) return null;
    return isSelectOf(parse, `SELECT WHERE ${where}\n`, { where: fields['whereClause'] }) ? where : notCut();
  }
  if (
    others.some(
      (item) =>
        as(item, 'RangeVar')?.['relname'] === reference && as(item, 'RangeVar')?.['alias'] === undefined,
    )
  )
    return inexact('two tables of the same name stand in it, without an alias');
  const from = text.between(words.others, firstOf(words, ['where', 'returning']));
  const inner = `SELECT FROM ${from}\n${where === null ? '' : `WHERE ${where}\n`}`;
  const same = isSelectOf(parse, inner, { from: others, where: fields['whereClause'] });
  return same ? `EXISTS (${inner})` : notCut();
}
