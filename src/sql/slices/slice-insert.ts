import { as, type Fields, isObject, list, stringOf, text as textOf } from '../parsing/tree.ts';
import {
  type InexactSlice,
  type InsertedRows,
  inexact,
  type SliceRequest,
  type UpsertSlice,
  type WriteSlice,
} from './slice.ts';
import { parsedSelect, sameTree } from './slice-check.ts';
import { sliceFacts } from './slice-facts.ts';
import {
  assignments,
  expressionBetween,
  notCut,
  type TargetPlace,
  targetPlace,
  targetUntil,
  withText,
} from './slice-parts.ts';

/** INSERT … ON CONFLICT DO UPDATE: the rows that will change are those that conflict with what is inserted. */

export function sliceInsert(request: SliceRequest): WriteSlice {
  const slice = sliceUpsert(request);
  if (slice.kind !== 'inexact') return slice;
  const inserted = insertedRows(request);
  return inserted === null ? slice : { ...slice, inserted };
}

/** Null where another query of them may say something else, or they cannot be cut out. */
function insertedRows(request: SliceRequest): InsertedRows | null {
  const { fields, text, depth } = request;
  const place = targetPlace(request, 'into');
  const query = as(fields['selectStmt'], 'SelectStmt');
  if (place === null || query === null || containsDefault(query)) return null;
  const layout = startOf(request, place);
  if (layout === null) return null;
  const end = isObject(fields['onConflictClause'])
    ? findConflict(request, layout.source)
    : text.find(['returning'], layout.source, depth);
  const source = text.cut(text.startOf(layout.source), text.startOf(end));
  const parsed = parsedSelect(request.parse, `${source}\n`);
  if (parsed === null || !sameTree(parsed, query)) return null;
  const clause = withText(request, text.findLast(['insert'], request.first, depth, place.keyword));
  if (typeof clause === 'object' && clause !== null) return null;
  const facts = sliceFacts([query, fields['withClause']]);
  if (facts.problem !== null) return null;
  const { functions: calls, ownNames } = sliceFacts([fields]);
  return { with: clause, source, functions: facts.functions, calls, ownNames };
}

function sliceUpsert(request: SliceRequest): UpsertSlice | InexactSlice {
  const { fields, text, depth } = request;
  const conflict = fields['onConflictClause'];
  if (!isObject(conflict) || conflict['action'] !== 'ONCONFLICT_UPDATE') {
    return inexact(sliceFacts([fields['withClause']]).problem ?? 'it changes no row that is there');
  }
  const place = targetPlace(request, 'into');
  const query = as(fields['selectStmt'], 'SelectStmt');
  if (place === null || query === null) return inexact('it inserts default values');
  if (containsDefault(query)) return inexact('it inserts DEFAULT, whose value only the server knows');
  const layout = findLayout(request, place);
  if (layout === null) return notCut();
  const target = targetUntil(request, place, layout.targetEnd);
  const source = text.cut(text.startOf(layout.source), text.startOf(layout.on));
  const parsed = parsedSelect(request.parse, `${source}\n`);
  if (target === null || parsed === null || !sameTree(parsed, query)) return notCut();
  const clause = withText(request, text.findLast(['insert'], request.first, depth, place.keyword));
  if (typeof clause === 'object' && clause !== null) return clause;
  const where =
    layout.where < 0
      ? null
      : expressionBetween(request, layout.where, layout.returning, conflict['whereClause']);
  const arbiter = arbiterOf(conflict['infer']);
  if ((where === null) !== (conflict['whereClause'] === undefined)) return notCut();
  if (arbiter === null) return inexact('its conflict is told by an expression or a part of an index');
  const facts = sliceFacts([query, conflict['whereClause'], fields['withClause']]);
  if (facts.problem !== null) return inexact(facts.problem);
  const columns = list(fields['cols']).map((item) => as(item, 'ResTarget') ?? {});
  if (columns.some((column) => column['indirection'] !== undefined))
    return inexact('it fills parts of columns');
  const whole = sliceFacts([fields]);
  return {
    kind: 'upsert',
    target,
    with: clause,
    source,
    columns: columns.length === 0 ? null : columns.map((column) => textOf(column['name']) ?? ''),
    arbiter,
    width: widthOf(query),
    where,
    excluded: excludedColumns(conflict['whereClause']),
    parameters: facts.parameters,
    functions: facts.functions,
    implied: facts.implied,
    impliedByValues: sliceFacts([conflict['targetList']]).implied,
    attributes: whole.implied.attributes,
    calls: whole.functions,
    ownNames: whole.ownNames,
    readsOthers: whole.readsOthers,
    assigned: assignments(
      request,
      layout.set,
      layout.where < 0 ? layout.returning : layout.where,
      conflict['targetList'],
    ),
  } satisfies UpsertSlice;
}

/** The indexes of the tokens that part the statement. */
interface Layout {
  readonly targetEnd: number;
  readonly source: number;
  readonly on: number;
  readonly set: number;
  readonly where: number;
  readonly returning: number;
}

/** Where its target ends and its query begins. */
function startOf(
  { text, depth, fields }: SliceRequest,
  place: TargetPlace,
): Pick<Layout, 'targetEnd' | 'source'> | null {
  const { tokens } = text;
  let at = place.name + 1;
  while (tokens[at]?.text === '.') at += 2;
  if (tokens[at]?.text === 'as' && tokens[at]?.word === true) at += 2;
  const targetEnd = at;
  if (list(fields['cols']).length > 0) {
    if (tokens[at]?.text !== '(') return null;
    at = tokens.findIndex((token, i) => i > at && token.text === ')' && token.depth === depth) + 1;
  }
  if (tokens[at]?.text === 'overriding') at += 3;
  return { targetEnd, source: at };
}

function findLayout(request: SliceRequest, place: TargetPlace): Layout | null {
  const { text, depth } = request;
  const { tokens } = text;
  const start = startOf(request, place);
  const on = start === null ? -1 : findConflict(request, start.source);
  const set = on < 0 ? -1 : text.find(['set'], on, depth);
  if (set < 0) return null;
  const returning = text.find(['returning'], set, depth);
  const where = text.find(['where'], set, depth, returning < 0 ? tokens.length : returning);
  return { ...start!, on, set, where, returning };
}

/** ON of ON CONFLICT, not that of a join. */
function findConflict(request: SliceRequest, from: number): number {
  const { text, depth } = request;
  for (let i = text.find(['on'], from, depth); i >= 0; i = text.find(['on'], i + 1, depth)) {
    const next = text.tokens[i + 1];
    const after = text.tokens[i + 2];
    if (next?.text === 'conflict' && (after?.text === '(' || after?.text === 'on' || after?.text === 'do'))
      return i;
  }
  return -1;
}

function containsDefault(node: unknown): boolean {
  if (Array.isArray(node)) return node.some(containsDefault);
  if (!isObject(node)) return false;
  return node['SetToDefault'] !== undefined || Object.values(node).some(containsDefault);
}

function arbiterOf(infer: unknown): UpsertSlice['arbiter'] | null {
  if (!isObject(infer)) return null;
  const name = textOf(infer['conname']);
  if (name !== null) return { kind: 'constraint', name };
  const elements: (Fields | null)[] = list(infer['indexElems']).map((item) => as(item, 'IndexElem'));
  const columns = elements.map((element) => textOf(element?.['name']));
  const plain = elements.every(
    (element) => element?.['collation'] === undefined && element?.['opclass'] === undefined,
  );
  if (!plain || infer['whereClause'] !== undefined || columns.length === 0) return null;
  return columns.every((column) => column !== null) ? { kind: 'columns', columns } : null;
}

function widthOf(query: Fields): number | null {
  const values = as(list(query['valuesLists'])[0], 'List');
  if (values !== null) return list(values['items']).length;
  const targets = list(query['targetList']).map((item) => as(as(item, 'ResTarget')?.['val'], 'ColumnRef'));
  const starred = targets.some((column) => as(list(column?.['fields']).at(-1), 'A_Star') !== null);
  return starred || targets.length === 0 ? null : targets.length;
}

/** The columns of `excluded` that an expression names; `*` for the whole of it. */
function excludedColumns(node: unknown): string[] {
  if (Array.isArray(node)) return node.flatMap(excludedColumns);
  if (!isObject(node)) return [];
  const column = as(node, 'ColumnRef');
  if (column === null) return Object.values(node).flatMap(excludedColumns);
  const parts = list(column['fields']).map((part) => stringOf(part) ?? '*');
  if (parts[0] !== 'excluded') return [];
  return [parts.length === 2 ? parts[1]! : '*'];
}
