import { randomBytes } from 'node:crypto';
import { LIMITS } from '../base/limits.ts';
import type { AskedName, Catalog } from '../catalog/catalog.ts';
import type { Relation } from '../catalog/relation.ts';
import type { KnownRows, RowSet } from '../policy/row-set.ts';
import type { StatementEffects } from '../sql/effects.ts';
import type { WriteSlice } from '../sql/slices/slice.ts';
import { behindView } from './behind-view.ts';
import { type RowLookup, wholeLookups } from './identify.ts';
import { blockedBy, bystanders, lockOf } from './locks.ts';
import { findOwnRows, ownRows } from './own-rows.ts';
import { parameterValues } from './parameters.ts';
import {
  boundBy,
  type Locks,
  nothingKnown,
  type Preview,
  type RowCount,
  type Unknown,
  unknown,
} from './preview.ts';
import { type FoundRows, nothingFound, type PreviewRequest, type PreviewSubject } from './request.ts';
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

/** What approvers are shown, and which rows it is about, which is nobody's to read. */
export interface Computed {
  readonly preview: Preview;
  readonly set: RowSet | null;
}

/** What there is to know of a statement before it runs. Only where the connection is lost does it reject. */
export async function computePreview(
  sandbox: Sandbox,
  sources: PreviewSources,
  request: PreviewRequest,
): Promise<Computed> {
  const began = performance.now();
  const parameters = await parameterValues(sandbox, request.parameters, request.text);
  const nothing = (reason: string): Computed => ({
    preview: nothingKnown(reason, undoBeforehand(request) ?? { ...NOT_ASKED, reason }, parameters),
    set: null,
  });
  const { analysis } = request;
  const [effects, ...others] = analysis.statements;
  if (analysis.status !== 'parsed' || effects === undefined) return nothing('its text is not understood');
  if (others.length > 0) return nothing('it is several statements in one text');
  const subject = await subjectOf(sandbox, sources, request, effects);
  if ('kind' in subject) return nothing(subject.reason);
  const behind = await behindView(sandbox, sources.catalog, subject);
  const told = behind === null || 'kind' in behind ? subject : behind;
  const targets = [...new Set([...subject.targets, ...told.targets])];
  const found = await rowsFound(sandbox, subject, behind);
  const changed = (found.changes ?? []).map(({ relation }) => relation);
  const related = [...new Set([...targets, ...changed])];
  const unseen = found.rows.kind === 'unknown' ? found.rows.reason : 'its rows are not known';
  const preview: Preview = {
    computed_at: new Date().toISOString(),
    rows: found.rows,
    rows_bound: boundBy(found),
    tables: await tablesOf(sandbox, related.slice(0, LIMITS.previewTablesMax), targets),
    sample: found.sample,
    cascades: found.cascades,
    triggers: firing(found, told.answer.relations, unseen),
    locks: await locksOf(sandbox, effects, related),
    undo: await undoOf(sandbox, sources.catalog, subject),
    parameters,
    took_ms: Math.round(performance.now() - began),
  };
  return { preview, set: found.set };
}

/** What is told of a view itself is only why its rows are not known. */
async function rowsFound(
  sandbox: Sandbox,
  subject: PreviewSubject,
  behind: PreviewSubject | Unknown | null,
): Promise<FoundRows> {
  if (behind !== null && 'kind' in behind) return nothingFound(behind.reason);
  const { slice } = behind ?? subject;
  const salt = randomBytes(LIMITS.rowSaltBytes);
  return slice.kind === 'rows' || slice.kind === 'upsert'
    ? await ownRows(sandbox, behind ?? subject, slice, salt)
    : await wholeTables(sandbox, subject, salt);
}

/** Its own rows as they are now, and how they are asked for once more. */
export interface RowsNow extends KnownRows {
  readonly lookups: readonly RowLookup[];
}

/** As many as there are to the last, or null; which they are as well where a salt is given. */
export async function rowsNow(
  sandbox: Sandbox,
  sources: PreviewSources,
  request: PreviewRequest,
  salt: Uint8Array | null,
): Promise<RowsNow | null> {
  const [effects, ...others] = request.analysis.statements;
  if (request.analysis.status !== 'parsed' || effects === undefined || others.length > 0) return null;
  const named = await subjectOf(sandbox, sources, request, effects);
  if ('kind' in named) return null;
  const subject = (await behindView(sandbox, sources.catalog, named)) ?? named;
  if ('kind' in subject) return null;
  const { slice } = subject;
  if (slice.kind === 'rows' || slice.kind === 'upsert') {
    const { count, set, lookup } = await findOwnRows(sandbox, subject, slice, salt);
    return known(count, set, lookup === null ? [] : [lookup]);
  }
  const { rows, set } = await wholeTables(sandbox, subject, salt);
  return known(rows, set, slice.kind === 'truncate' ? wholeLookups(subject) : []);
}

function known(count: RowCount, set: RowSet | null, lookups: readonly RowLookup[]): RowsNow | null {
  if (count.kind !== 'exact') return null;
  return { rows: count.rows, set, lookups: set === null ? [] : lookups };
}

export async function subjectOf(
  sandbox: Sandbox,
  { catalog, slice: sliceText }: PreviewSources,
  request: PreviewRequest,
  effects: StatementEffects,
): Promise<PreviewSubject | { readonly kind: 'unknown'; readonly reason: string }> {
  const reason = `the rows of ${effects.operation} are not told by its text`;
  const sliced: WriteSlice = WRITES.has(effects.operation)
    ? await sliceText(Buffer.from(request.text, 'utf8'))
    : { kind: 'inexact', reason };
  // Its own rows are not those that stand in its WITH.
  const slice: WriteSlice = 'inWith' in sliced ? { kind: 'inexact', reason } : sliced;
  const answer = await sandbox.step((connection) =>
    catalog.ask(connection, {
      scope: request.scope,
      relations: targetsOf(slice, effects),
      allReferrers: slice.kind === 'truncate',
      functions: callsOf(slice),
    }),
  );
  if ('kind' in answer) return answer;
  if (answer.relations.size > LIMITS.previewRelationsMax) return unknown('it may reach too many tables');
  const targets = answer.roots.flatMap((oid) => answer.relations.get(oid ?? 0) ?? []);
  return { request, effects, slice, answer, targets };
}

function callsOf(slice: WriteSlice): readonly AskedName[] {
  if (slice.kind === 'inexact') return slice.inserted?.calls ?? [];
  return 'calls' in slice ? slice.calls : [];
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
