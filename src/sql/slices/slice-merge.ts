import { as, type Fields, list } from '../parsing/tree.ts';
import { inexact, type RowsSlice, type SliceRequest, type WriteSlice } from './slice.ts';
import { isSelectOf } from './slice-check.ts';
import { sliceFacts } from './slice-facts.ts';
import { assignments, expressionBetween, notCut, targetPlace, targetUntil, withText } from './slice-parts.ts';
import { sliceView } from './slice-view.ts';

/** MERGE: a row of the target changes where the first clause that applies to it updates or deletes. */

interface When {
  readonly fields: Fields;
  readonly condition: string | null;
  /** The indexes of THEN and of what ends the clause. */
  readonly then: number;
  readonly end: number;
}

export function sliceMerge(request: SliceRequest): WriteSlice {
  const { text, fields, depth } = request;
  const place = targetPlace(request, 'into');
  if (place === null) return notCut();
  const using = text.find(['using'], place.name, depth);
  const firstWhen = text.find(['when'], using + 1, depth);
  if (using < 0 || firstWhen < 0) return notCut();
  const on = text.findLast(['on'], using + 1, depth, firstWhen);
  const target = targetUntil(request, place, using);
  const whens = whenClauses(request, firstWhen);
  if (on < 0 || target === null || whens === null) return notCut();
  const clause = withText(request, text.findLast(['merge'], request.first, depth, place.keyword));
  if (typeof clause === 'object' && clause !== null) return clause;
  const source = text.between(using, on);
  const join = expressionBetween(request, on, firstWhen, fields['joinCondition']);
  const sameSource = isSelectOf(request.parse, `SELECT FROM ${source}\n`, {
    from: [fields['sourceRelation']],
  });
  if (join === null || !sameSource) return notCut();
  const conditions = whens.map(({ fields: when }) => when['condition']);
  const trees = [fields['sourceRelation'], fields['joinCondition'], conditions, fields['withClause']];
  const facts = sliceFacts(trees);
  if (facts.problem !== null) return inexact(facts.problem);
  const whole = sliceFacts([fields]);
  return {
    kind: 'rows',
    operation: 'merge',
    target,
    with: clause,
    where: changedRows(source, join, whens, ['CMD_UPDATE', 'CMD_DELETE']),
    whereUpdated: changedRows(source, join, whens, ['CMD_UPDATE']),
    whereDeleted: changedRows(source, join, whens, ['CMD_DELETE']),
    updates: does(whens, 'CMD_UPDATE'),
    deletes: does(whens, 'CMD_DELETE'),
    inserts: does(whens, 'CMD_INSERT'),
    joined: true,
    ownRowOnly: false,
    equated: [],
    equatesOnly: false,
    sliceView: (definition) =>
      sliceView(definition, { parse: request.parse, trees, reference: target.reference }),
    parameters: facts.parameters,
    functions: facts.functions,
    implied: facts.implied,
    impliedByValues: sliceFacts(whens.map(({ fields: when }) => when['targetList'])).implied,
    attributes: whole.implied.attributes,
    calls: whole.functions,
    assigned: whens.flatMap((when) => assignedBy(request, when)),
    ownNames: whole.ownNames,
    readsOthers: whole.readsOthers,
  } satisfies RowsSlice;
}

function whenClauses(request: SliceRequest, firstWhen: number): When[] | null {
  const { text, depth } = request;
  const out: When[] = [];
  let at = firstWhen;
  for (const item of list(request.fields['mergeWhenClauses'])) {
    const fields = as(item, 'MergeWhenClause');
    const then = text.find(['then'], at, depth);
    if (fields === null || at < 0 || then < 0) return null;
    const next = text.find(['when'], then, depth);
    const end = next < 0 ? text.find(['returning'], then, depth) : next;
    const and = text.find(['and'], at, depth, then);
    const tree = fields['condition'];
    const condition = tree === undefined ? null : expressionBetween(request, and, then, tree);
    if (tree !== undefined && condition === null) return null;
    out.push({ fields, condition, then, end });
    at = next;
  }
  return out;
}

function does(whens: readonly When[], command: string): boolean {
  return whens.some(({ fields }) => fields['commandType'] === command);
}

function assignedBy(request: SliceRequest, when: When): ReturnType<typeof assignments> {
  if (when.fields['commandType'] !== 'CMD_UPDATE') return [];
  const set = request.text.find(['set'], when.then, request.depth);
  return assignments(request, set, when.end, when.fields['targetList']);
}

/** The rows for which the first clause that applies runs one of the commands. */
function changedRows(
  source: string,
  join: string,
  whens: readonly When[],
  commands: readonly string[],
): string {
  const of = (kind: string) => whens.filter(({ fields }) => fields['matchKind'] === kind);
  const matched = firstApplies(of('MERGE_WHEN_MATCHED'), commands);
  const unmatched = firstApplies(of('MERGE_WHEN_NOT_MATCHED_BY_SOURCE'), commands);
  const inSource = `SELECT FROM ${source}\nWHERE (${join}\n)`;
  const parts = [
    ...(matched === null ? [] : [`EXISTS (${inSource} AND ${matched})`]),
    ...(unmatched === null ? [] : [`(NOT EXISTS (${inSource}) AND ${unmatched})`]),
  ];
  return parts.length === 0 ? 'false' : parts.join(' OR ');
}

/** Whether the first clause that applies runs one of the commands; null where none ever does. */
function firstApplies(whens: readonly When[], commands: readonly string[]): string | null {
  const runs = ({ fields }: When) => commands.includes(String(fields['commandType']));
  if (!whens.some(runs)) return null;
  const branches = whens.map((when) => {
    const applies = when.condition === null ? 'true' : `(${when.condition}\n)`;
    return `WHEN ${applies} THEN ${runs(when)}`;
  });
  return `CASE ${branches.join(' ')} ELSE false END`;
}
