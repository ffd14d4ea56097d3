import { LIMITS } from '../base/limits.ts';
import type { Relation } from '../catalog/relation.ts';
import { from, placesOf } from '../snapshot/capture-sql.ts';
import { NO_PARAMETERS } from '../snapshot/plan.ts';
import { identifyRows, isAlone, wholeLookups } from './identify.ts';
import { masksOf } from './masks.ts';
import { type CascadeNode, type RowCount, unknown } from './preview.ts';
import { problemOfReading } from './purity.ts';
import { type FoundRows, nothingFound, type PreviewSubject } from './request.ts';
import { countRows } from './rows.ts';
import { sampleRows } from './sample.ts';
import type { Sandbox } from './sandbox.ts';

/** All rows of the tables that a TRUNCATE or DROP takes, and those that an ALTER or its like looks at. */
export async function wholeTables(
  sandbox: Sandbox,
  subject: PreviewSubject,
  salt: Uint8Array | null,
): Promise<FoundRows> {
  const { effects, slice, targets } = subject;
  if (slice.kind === 'cursor') return nothingFound('only the server knows the row that a cursor stands on');
  const empties = slice.kind === 'truncate' || effects.operation === 'drop table';
  const alters = /^(alter table|cluster|vacuum)$/.test(effects.operation);
  if (!empties && !alters) {
    return nothingFound(
      slice.kind === 'inexact' ? slice.reason : `what ${effects.operation} changes is not told by its text`,
    );
  }
  if (targets.length === 0) return nothingFound('its target does not exist');
  const carried = slice.kind === 'truncate' && slice.cascade ? referrers(subject) : [];
  const along = carried.map(({ relation }) => relation);
  const problem = await problemOf(sandbox, [...targets, ...along]);
  const [first] = targets;
  const countOwn = async () =>
    added(await countAll(sandbox, problem, targets, (each) => isAlone(each, slice, subject.answer.roots)));
  const own =
    problem === null && empties && salt !== null
      ? await identifyRows(sandbox, wholeLookups(subject), salt, countOwn)
      : { count: await countOwn(), set: null };
  const counts = await countAll(sandbox, problem, along, () => false);
  return {
    rows: own.count,
    set: own.set,
    sample:
      problem === null
        ? await sandbox.step((connection) =>
            sampleRows(connection, {
              target: first!,
              places: `SELECT ${placesOf('r')} FROM ${from(first!, false)} r`,
              after: empties
                ? { kind: 'removed' }
                : {
                    kind: 'unknown',
                    reason: 'what becomes of rows that are rewritten is not told beforehand',
                  },
              parameters: NO_PARAMETERS,
              masks: masksOf(subject.request),
              rowsMax: LIMITS.previewSampleRows,
              columnsMax: LIMITS.previewSampleColumns,
              valueChars: LIMITS.previewValueChars,
            }),
          )
        : unknown(problem),
    cascades:
      slice.kind === 'truncate'
        ? {
            kind: 'tree',
            nodes: carried.map((node, i) => nodeOf(node, i, carried, counts[i]!)),
          }
        : unknown(`what goes along with ${effects.operation} is told by the server when it runs`),
    changes:
      slice.kind === 'truncate'
        ? [...targets, ...carried.map(({ relation }) => relation)].map((relation) => ({
            relation,
            only: false,
            change: { kind: 'delete' as const },
            level: 0,
          }))
        : [],
    besides: slice.kind === 'truncate' ? 'truncate' : null,
  };
}

/** How many rows a TRUNCATE takes from the tables that it names; beyond `rowsMax` of one only that there are more. */
export async function countWhole(
  sandbox: Sandbox,
  { slice, targets, answer }: PreviewSubject,
  rowsMax: number,
): Promise<RowCount> {
  if (targets.length === 0) return unknown('its target does not exist');
  const problem = await problemOf(sandbox, targets);
  if (problem !== null) return unknown(problem);
  return added(await countAll(sandbox, null, targets, (each) => isAlone(each, slice, answer.roots), rowsMax));
}

interface Referrer {
  readonly relation: Relation;
  readonly by: Relation;
  readonly constraint: string;
  readonly level: number;
}

/** What TRUNCATE … CASCADE empties as well: all that refers to what it empties. */
function referrers({ targets, answer }: PreviewSubject): Referrer[] {
  const out: Referrer[] = [];
  const known = new Set(targets);
  const follow = (by: Relation, level: number): void => {
    for (const { referrer, name, parent } of by.references) {
      const relation = answer.relations.get(referrer);
      if (relation === undefined || parent !== 0 || known.has(relation)) continue;
      known.add(relation);
      out.push({ relation, by, constraint: name, level });
    }
  };
  for (const target of targets) follow(target, 1);
  for (let i = 0; i < out.length; i++) follow(out[i]!.relation, out[i]!.level + 1);
  return out;
}

function nodeOf(
  { relation, by, constraint, level }: Referrer,
  at: number,
  all: readonly Referrer[],
  rows: RowCount,
): CascadeNode {
  const parent = all.findIndex((each) => each.relation === by);
  const { schema, name: table } = relation;
  return {
    id: at + 1,
    parent: parent < 0 ? null : parent + 1,
    constraint,
    schema,
    table,
    change: 'delete',
    columns: [],
    level,
    rows,
  };
}

async function problemOf(sandbox: Sandbox, relations: readonly Relation[]): Promise<string | null> {
  const asked = await sandbox.step((connection) =>
    problemOfReading(
      connection,
      relations.map(({ oid }) => oid),
    ),
  );
  return asked === null || typeof asked === 'string' ? asked : asked.reason;
}

async function countAll(
  sandbox: Sandbox,
  problem: string | null,
  relations: readonly Relation[],
  isAlone: (relation: Relation) => boolean,
  rowsMax: number = LIMITS.previewCountRows,
): Promise<readonly RowCount[]> {
  const rows: RowCount[] = [];
  for (const relation of relations) {
    const count =
      problem === null
        ? await sandbox.step(async (connection): Promise<RowCount> => {
            const query = `SELECT ${placesOf('r')} FROM ${from(relation, isAlone(relation))} r`;
            const [found] = await countRows(connection, '', [query], NO_PARAMETERS, rowsMax);
            return found ?? unknown('the server did not say');
          })
        : unknown(problem);
    rows.push(count.kind === 'unknown' ? byStatistics(relation, count.reason) : count);
  }
  return rows;
}

function byStatistics({ estimatedRows }: Relation, reason: string): RowCount {
  return estimatedRows < 0 ? unknown(reason) : { kind: 'estimate', rows: Math.round(estimatedRows), reason };
}

/** The least exact of the counts says what the sum is. */
function added(counts: readonly RowCount[]): RowCount {
  const missing = counts.find((count) => count.kind === 'unknown');
  if (missing !== undefined) return missing;
  const rows = counts.reduce((sum, count) => sum + (count.kind === 'unknown' ? 0 : count.rows), 0);
  const guessed = counts.find((count) => count.kind === 'estimate');
  if (guessed !== undefined) return { ...guessed, rows };
  return { kind: counts.some(({ kind }) => kind === 'at_least') ? 'at_least' : 'exact', rows };
}
