import { LIMITS } from '../base/limits.ts';
import type { AskedName, Catalog } from '../catalog/catalog.ts';
import type { Relation } from '../catalog/relation.ts';
import type { StatementEffects } from '../sql/effects.ts';
import type { WriteSlice } from '../sql/slice.ts';
import { blockedBy, bystanders, lockOf } from './locks.ts';
import { countOwnRows, ownRows } from './own-rows.ts';
import { parameterValues } from './parameters.ts';
import { type Locks, nothingKnown, type Preview, unknown } from './preview.ts';
import type { PreviewRequest, PreviewSubject } from './request.ts';
import type { Sandbox } from './sandbox.ts';
import { tablesOf } from './tables.ts';
import { firing } from './triggers.ts';
import { undoBeforehand, undoOf } from './undoing.ts';
import { wholeTables } from './whole-tables.ts';

export interface PreviewSources {
  readonly catalog: Catalog;
  /** Which rows the one statement of a text in UTF-8 changes. */
  slice(utf8: Buffer): Promise<WriteSlice>;
}

/** Statements whose rows are told by their text. */
const WRITES: ReadonlySet<string> = new Set(['update', 'delete', 'merge', 'insert', 'truncate']);

const NOT_ASKED = { possible: 'unknown', reason: 'it was not asked' } as const;

/** What there is to know of a statement before it runs. Only where the connection is lost does it reject. */
export async function computePreview(
  sandbox: Sandbox,
  sources: PreviewSources,
  request: PreviewRequest,
): Promise<Preview> {
  const began = performance.now();
  const parameters = await parameterValues(sandbox, request.parameters, request.text);
  const nothing = (reason: string) =>
    nothingKnown(reason, undoBeforehand(request) ?? { ...NOT_ASKED, reason }, parameters);
  const { analysis } = request;
  const [effects, ...others] = analysis.statements;
  if (analysis.status !== 'parsed' || effects === undefined) return nothing('its text is not understood');
  if (others.length > 0) return nothing('it is several statements in one text');
  const subject = await subjectOf(sandbox, sources, request, effects);
  if ('kind' in subject) return nothing(subject.reason);
  const { slice, targets, answer } = subject;
  const found =
    slice.kind === 'rows' || slice.kind === 'upsert'
      ? await ownRows(sandbox, subject, slice)
      : await wholeTables(sandbox, subject);
  const related = [...new Set([...targets, ...(found.changes ?? []).map(({ relation }) => relation)])];
  const unseen = found.rows.kind === 'unknown' ? found.rows.reason : 'its rows are not known';
  return {
    computed_at: new Date().toISOString(),
    rows: found.rows,
    tables: await tablesOf(sandbox, related.slice(0, LIMITS.previewTablesMax), targets),
    sample: found.sample,
    cascades: found.cascades,
    triggers: firing(found, answer.relations, unseen),
    locks: await locksOf(sandbox, effects, related),
    undo: await undoOf(sandbox, sources.catalog, subject),
    parameters,
    took_ms: Math.round(performance.now() - began),
  };
}

/** The exact number of its own rows, or null. */
export async function countNow(
  sandbox: Sandbox,
  sources: PreviewSources,
  request: PreviewRequest,
): Promise<number | null> {
  const [effects, ...others] = request.analysis.statements;
  if (request.analysis.status !== 'parsed' || effects === undefined || others.length > 0) return null;
  const subject = await subjectOf(sandbox, sources, request, effects);
  if ('kind' in subject) return null;
  const { slice } = subject;
  const rows =
    slice.kind === 'rows' || slice.kind === 'upsert'
      ? await countOwnRows(sandbox, subject, slice)
      : (await wholeTables(sandbox, subject)).rows;
  return rows.kind === 'exact' ? rows.rows : null;
}

async function subjectOf(
  sandbox: Sandbox,
  { catalog, slice: sliceText }: PreviewSources,
  request: PreviewRequest,
  effects: StatementEffects,
): Promise<PreviewSubject | { readonly kind: 'unknown'; readonly reason: string }> {
  const reason = `the rows of ${effects.operation} are not told by its text`;
  const slice: WriteSlice = WRITES.has(effects.operation)
    ? await sliceText(Buffer.from(request.text, 'utf8'))
    : { kind: 'inexact', reason };
  const answer = await sandbox.step((connection) =>
    catalog.ask(connection, {
      scope: request.scope,
      relations: targetsOf(slice, effects),
      allReferrers: slice.kind === 'truncate',
      functions: 'calls' in slice ? slice.calls : [],
    }),
  );
  if ('kind' in answer) return answer;
  if (answer.relations.size > LIMITS.previewRelationsMax) return unknown('it may reach too many tables');
  const targets = answer.roots.flatMap((oid) => answer.relations.get(oid ?? 0) ?? []);
  return { request, effects, slice, answer, targets };
}

function targetsOf(slice: WriteSlice, { writes }: StatementEffects): readonly AskedName[] {
  switch (slice.kind) {
    case 'rows':
    case 'upsert':
    case 'cursor':
      return [slice.target];
    case 'truncate':
      return slice.targets;
    case 'execute':
    case 'inexact':
      return writes.slice(0, LIMITS.previewTablesMax);
    default:
      return slice satisfies never;
  }
}

async function locksOf(
  sandbox: Sandbox,
  effects: StatementEffects,
  related: readonly Relation[],
): Promise<Locks> {
  const mode = lockOf(effects);
  if (mode === null) return unknown(`what ${effects.operation} locks is not told by its text`);
  if (related.length === 0) return unknown('its tables are not known');
  const names = new Map(related.map(({ oid, schema, name }) => [oid, `${schema}.${name}`]));
  const max = LIMITS.previewSessionsMax;
  const found = await sandbox.step((connection) => bystanders(connection, mode, names, max));
  const sessions =
    'kind' in found ? found : { kind: 'list' as const, items: found.slice(0, max), more: found.length > max };
  return { kind: 'level', mode, blocks: blockedBy(mode), sessions };
}
