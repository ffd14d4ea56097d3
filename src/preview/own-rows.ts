import { LIMITS } from '../base/limits.ts';
import { followCascades } from '../snapshot/cascade.ts';
import { type Seed, seedOf } from '../snapshot/seed.ts';
import type { InsertedRows, RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';
import { cascadeTree } from './cascade-tree.ts';
import { identifyAt, type OwnRows, ownLookup, type RowLookup } from './identify.ts';
import { masksOf } from './masks.ts';
import { type RowCount, unknown } from './preview.ts';
import {
  problemOfCode,
  problemOfCondition,
  problemOfCount,
  problemsOfReading,
  type ReadingProblems,
  readNames,
  wordsOf,
} from './purity.ts';
import { type FoundRows, nothingFound, type PreviewSubject } from './request.ts';
import { countOf, countOrEstimate, estimateRows } from './rows.ts';
import { afterOf, sampleRows } from './sample.ts';
import type { Sandbox } from './sandbox.ts';

/** Which rows it changes, or how many, and nothing else; a lookup of them where they may be asked for once more. */
export async function findOwnRows(
  sandbox: Sandbox,
  subject: PreviewSubject,
  slice: RowsSlice | UpsertSlice,
  salt: Uint8Array | null,
): Promise<OwnRows & { readonly lookup: RowLookup | null }> {
  const { request, answer, targets, definition } = subject;
  const none = (reason: string) => ({ count: unknown(reason), set: null, lookup: null });
  const [target] = targets;
  if (target === undefined) return none('its target does not exist');
  if (target.kind !== 'table' && target.kind !== 'partitioned table')
    return none(`${target.name} is a ${target.kind}`);
  const seed = seedOf(slice, target, answer.functions, definition !== undefined);
  if ('problem' in seed) return none(seed.problem);
  const reading = await problems(sandbox, subject, target.oid);
  const problem = problemOfCode(slice, answer) ?? problemOfCondition(slice.functions, answer) ?? reading.read;
  const { parameters } = request;
  const lookup = ownLookup(slice, target, answer.relations, seed, placesOfAll(seed), parameters);
  const found = await identifyAt(sandbox, lookup, salt, problem, placesOfAll(seed), parameters);
  return { ...found, lookup };
}

/** How many rows it changes; beyond `rowsMax` only that there are more. */
export async function countOwnRows(
  sandbox: Sandbox,
  subject: PreviewSubject,
  slice: RowsSlice | UpsertSlice,
  rowsMax: number,
): Promise<RowCount> {
  const { request, answer, targets, definition } = subject;
  const [target] = targets;
  if (target === undefined) return unknown('its target does not exist');
  if (target.kind !== 'table' && target.kind !== 'partitioned table')
    return unknown(`${target.name} is a ${target.kind}`);
  const seed = seedOf(slice, target, answer.functions, definition !== undefined);
  if ('problem' in seed) return unknown(seed.problem);
  const code = problemOfCode(slice, answer) ?? problemOfCount(slice.functions, answer, wordingOf(subject));
  if (code !== null) return unknown(code);
  const { read } = await problems(sandbox, subject, target.oid);
  return await countOf(sandbox, read, placesOfAll(seed), request.parameters, rowsMax);
}

/** How many rows an INSERT is given; those that conflict with others may be left out. */
export async function countInserted(
  sandbox: Sandbox,
  { request, effects, answer }: PreviewSubject,
  { with: clause, source, functions, ownNames }: InsertedRows,
  rowsMax: number,
): Promise<RowCount> {
  const code = problemOfCode({ ownNames }, answer) ?? problemOfCount(functions, answer, request.text);
  if (code !== null) return unknown(code);
  const { read } = await problemsOfNames(sandbox, [], readNames(effects), request.text);
  const places = `${clause === null ? '' : `${clause}\n`}SELECT FROM (${source}\n) given`;
  return await countOf(sandbox, read, places, request.parameters, rowsMax);
}

function placesOfAll({ seeds }: Seed): string {
  return seeds.map((each) => `(${each.places}\n)`).join(' UNION ALL ');
}

/** The rows that an UPDATE, DELETE, MERGE or INSERT … ON CONFLICT DO UPDATE changes, by its own condition. */
export async function ownRows(
  sandbox: Sandbox,
  subject: PreviewSubject,
  slice: RowsSlice | UpsertSlice,
  salt: Uint8Array,
): Promise<FoundRows> {
  const { request, answer, targets, definition } = subject;
  const { parameters, text } = request;
  const [target] = targets;
  if (target === undefined) return nothingFound('its target does not exist');
  if (target.kind !== 'table' && target.kind !== 'partitioned table')
    return nothingFound(`${target.name} is a ${target.kind}`);
  const reading = await problems(sandbox, subject, target.oid);
  const code = problemOfCode(slice, answer) ?? reading.read;
  const unplanned = code ?? reading.plan;
  const estimate = unplanned === null ? await estimateRows(sandbox, text, parameters) : unknown(unplanned);
  const seed = seedOf(slice, target, answer.functions, definition !== undefined);
  if ('problem' in seed) {
    const found = nothingFound(code ?? seed.problem);
    return { ...found, rows: countOrEstimate(unknown(code ?? seed.problem), estimate) };
  }
  const problem = code ?? problemOfCondition(slice.functions, answer);
  const only = target.kind === 'table' && (slice.target.only || target.children.length === 0);
  const graph = followCascades(target, only, seed.changes, answer.relations);
  const places = placesOfAll(seed);
  const lookup = ownLookup(slice, target, answer.relations, seed, places, parameters);
  const { count, set } = await identifyAt(sandbox, lookup, salt, problem, places, parameters);
  const sampled = {
    target,
    places,
    after: afterOf(slice, target, answer),
    parameters,
    masks: masksOf(request),
    rowsMax: LIMITS.previewSampleRows,
    columnsMax: LIMITS.previewSampleColumns,
    valueChars: LIMITS.previewValueChars,
  };
  return {
    rows: countOrEstimate(count, estimate),
    set,
    sample: problem === null ? await sandbox.step((each) => sampleRows(each, sampled)) : unknown(problem),
    cascades: await cascadeTree(sandbox, graph, seed, parameters, problem),
    changes: graph.nodes,
    besides: seed.inserts ? 'insert' : null,
  };
}

async function problems(sandbox: Sandbox, subject: PreviewSubject, target: number): Promise<ReadingProblems> {
  // Through a view nothing is read but its table.
  const names = subject.definition === undefined ? readNames(subject.effects) : [];
  return await problemsOfNames(sandbox, [target], names, wordingOf(subject));
}

/** The statement's text, and that of the view it names. */
function wordingOf({ request, definition }: PreviewSubject): string {
  return `${request.text}\n${definition ?? ''}`;
}

async function problemsOfNames(
  sandbox: Sandbox,
  targets: readonly number[],
  names: readonly string[],
  text: string,
): Promise<ReadingProblems> {
  const words = wordsOf(text);
  if (words === null) {
    const reason = 'it has names in escapes (U&)';
    return { read: reason, plan: reason };
  }
  const found = await sandbox.step((connection) => problemsOfReading(connection, targets, names, words));
  return 'kind' in found ? { read: found.reason, plan: found.reason } : found;
}
