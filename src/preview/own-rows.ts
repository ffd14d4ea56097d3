import { LIMITS } from '../base/limits.ts';
import { followCascades } from '../snapshot/cascade.ts';
import { type Seed, seedOf } from '../snapshot/seed.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slice.ts';
import { cascadeTree } from './cascade-tree.ts';
import { type RowCount, unknown } from './preview.ts';
import { problemOfCode, problemOfCondition, problemOfReading, readNames } from './purity.ts';
import { type FoundRows, nothingFound, type PreviewSubject } from './request.ts';
import { countOf, countOrEstimate, estimateRows } from './rows.ts';
import { afterOf, sampleRows } from './sample.ts';
import type { Sandbox } from './sandbox.ts';

/** How many rows it changes, counted and nothing else. */
export async function countOwnRows(
  sandbox: Sandbox,
  { request, effects, answer, targets }: PreviewSubject,
  slice: RowsSlice | UpsertSlice,
): Promise<RowCount> {
  const [target] = targets;
  if (target === undefined) return unknown('its target does not exist');
  if (target.kind !== 'table' && target.kind !== 'partitioned table')
    return unknown(`${target.name} is a ${target.kind}`);
  const seed = seedOf(slice, target, answer.functions, false);
  if ('problem' in seed) return unknown(seed.problem);
  const problem =
    problemOfCode(slice, answer) ??
    problemOfCondition(slice.functions, answer) ??
    (await unreadable(sandbox, target.oid, readNames(effects)));
  return await countOf(sandbox, problem, placesOfAll(seed), request.parameters);
}

function placesOfAll({ seeds }: Seed): string {
  return seeds.map((each) => `(${each.places}\n)`).join(' UNION ALL ');
}

/** The rows that an UPDATE, DELETE, MERGE or INSERT … ON CONFLICT DO UPDATE changes, by its own condition. */
export async function ownRows(
  sandbox: Sandbox,
  { request, effects, answer, targets }: PreviewSubject,
  slice: RowsSlice | UpsertSlice,
): Promise<FoundRows> {
  const { parameters, masks, text } = request;
  const [target] = targets;
  if (target === undefined) return nothingFound('its target does not exist');
  if (target.kind !== 'table' && target.kind !== 'partitioned table')
    return nothingFound(`${target.name} is a ${target.kind}`);
  const code = problemOfCode(slice, answer) ?? (await unreadable(sandbox, target.oid, readNames(effects)));
  const estimate = code === null ? await estimateRows(sandbox, text, parameters) : unknown(code);
  const seed = seedOf(slice, target, answer.functions, false);
  if ('problem' in seed) {
    const found = nothingFound(code ?? seed.problem);
    return { ...found, rows: countOrEstimate(unknown(code ?? seed.problem), estimate) };
  }
  const problem = code ?? problemOfCondition(slice.functions, answer);
  const only = target.kind === 'table' && (slice.target.only || target.children.length === 0);
  const graph = followCascades(target, only, seed.changes, answer.relations);
  const places = placesOfAll(seed);
  const count = await countOf(sandbox, problem, places, parameters);
  const sampled = {
    target,
    places,
    after: afterOf(slice, target, answer),
    parameters,
    masks,
    rowsMax: LIMITS.previewSampleRows,
    columnsMax: LIMITS.previewSampleColumns,
    valueChars: LIMITS.previewValueChars,
  };
  return {
    rows: countOrEstimate(count, estimate),
    sample: problem === null ? await sandbox.step((each) => sampleRows(each, sampled)) : unknown(problem),
    cascades: await cascadeTree(sandbox, graph, seed, parameters, problem),
    changes: graph.nodes,
    besides: seed.inserts ? 'insert' : null,
  };
}

async function unreadable(
  sandbox: Sandbox,
  target: number,
  names: readonly string[],
): Promise<string | null> {
  const problem = await sandbox.step((connection) => problemOfReading(connection, [target], names));
  return problem === null || typeof problem === 'string' ? problem : problem.reason;
}
