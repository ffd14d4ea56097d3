import { HoldfastError } from '../base/errors.ts';
import type { ShownManifest } from '../snapshot/manifest.ts';
import { demandTable, tableName } from '../snapshot/summary.ts';
import { readTableName } from '../snapshot/table-name.ts';
import type { OnConflict } from '../undo/apply-statement.ts';
import { changesOf, type TableCounts } from '../undo/compare.ts';
import type { UndoOutcome, UndoPreview } from '../undo/outcome.ts';
import { addedJson, broughtBackJson, conflictJson, countsJson, problemJson } from '../undo/outcome-json.ts';
import type { AdminOptions } from './admin-client.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import type { StoreOptions } from './snapshot-store.ts';
import { timeText } from './snapshots-show.ts';
import { toJson } from './table.ts';
import type { ConnectionOption } from './undo-connection.ts';
import { undoByGateway } from './undo-gateway.ts';
import { undoOffline } from './undo-offline.ts';
import type { UndoPlace } from './undo-place.ts';
import { type ShownProgress, showProgress } from './undo-progress.ts';
import {
  conflictsText,
  countsText,
  doneText,
  droppedText,
  endedText,
  lackingText,
  staysText,
} from './undo-text.ts';

export interface UndoCommandOptions extends StoreOptions, ConnectionOption, AdminOptions {
  readonly offline?: boolean;
  readonly dryRun?: boolean;
  readonly onConflict: OnConflict;
  readonly into?: string;
  readonly table?: string;
  readonly triggers: 'fire' | 'skip';
  readonly conflicts: number;
  /** False for --no-snapshot. */
  readonly snapshot: boolean;
  readonly force?: boolean;
  readonly trustManifest?: boolean;
  readonly yes?: boolean;
}

/** What there is to say in the end; `own` is the snapshot of the undo itself. */
type Ended =
  | { readonly kind: 'nothing'; readonly tables: readonly TableCounts[] }
  | { readonly kind: 'declined' }
  | { readonly kind: 'outcome'; readonly outcome: UndoOutcome; readonly own: string | null };

export async function undoCommand(
  asked: string,
  options: UndoCommandOptions,
  account: string,
  io: Io,
): Promise<ExitCode> {
  if (options.table !== undefined && options.into === undefined)
    throw new HoldfastError(
      'CONFIG_INVALID',
      '--table is for --into: all tables of a snapshot are undone together',
    );
  const progress = showProgress(io);
  const work = async (place: UndoPlace): Promise<ExitCode> => {
    if (asked === 'latest') refuseUndoOfUndo(place.manifest);
    if (options.json !== true) io.out(headText(place));
    const ended =
      options.into === undefined
        ? await previewAndUndo(place, options, io, progress)
        : await putInto(place, options, options.into);
    progress.end();
    return tell(ended, place, options, io);
  };
  try {
    return isByGateway(options, io)
      ? await undoByGateway(asked, options, io, work)
      : await undoOffline(asked, options, account, io, progress.onProgress, work);
  } finally {
    progress.end();
  }
}

/** Whoever says it twice wants no other thing done the second time. */
function refuseUndoOfUndo({ id, statement }: ShownManifest): void {
  if (statement.operation !== 'undo') return;
  const undone = statement.text.split(' ').at(-1)!;
  throw new HoldfastError('CONFLICT', `the latest snapshot is that of an undo, of ${undone}`, {
    hint: `holdfast undo ${id} takes that back; holdfast snapshots lists those of statements.`,
  });
}

/** Where there is a token, so that the audit has it; unless something is said that only an undo past it needs. */
function isByGateway(
  { offline, connection, snapshots, trustCodeOf, trustManifest, ...api }: UndoCommandOptions,
  io: Io,
): boolean {
  const past =
    offline === true ||
    [connection, snapshots, trustCodeOf, trustManifest].some((each) => each !== undefined);
  return !past && (api.url !== undefined || Boolean(api.token ?? io.env['HOLDFAST_TOKEN']));
}

function headText({ manifest, rolledBack }: UndoPlace): string {
  const { id, statement, session, created_at } = manifest;
  const by = `${printable(session.role)} in ${printable(session.database)}, ${timeText(created_at)} UTC`;
  const taken = rolledBack ? '; it was rolled back' : '';
  return `${id}: ${oneLine(statement.text, 200)}\n  by ${by}${taken}\n\n`;
}

async function previewAndUndo(
  place: UndoPlace,
  options: UndoCommandOptions,
  io: Io,
  progress: ShownProgress,
): Promise<Ended> {
  const preview = await place.preview(options.json === true ? Number.MAX_SAFE_INTEGER : options.conflicts);
  progress.pause();
  if (preview.kind !== 'preview') return { kind: 'outcome', outcome: preview, own: null };
  const { dropped, sequences } = place.manifest;
  if (options.json !== true) io.out(previewText(preview, place.manifest));
  const { tables, conflicts } = preview;
  const blocked = options.onConflict === 'fail' && tables.some((each) => each.conflicts > 0);
  if (blocked) return { kind: 'outcome', outcome: { kind: 'conflicts', tables, conflicts }, own: null };
  // What stays in the way of overwriting is for the undo to say.
  const isLeft = options.onConflict === 'overwrite' && tables.some((each) => each.conflicts > 0);
  if (dropped === undefined && sequences === undefined && changesOf(tables) === 0 && !isLeft)
    return { kind: 'nothing', tables };
  if (options.dryRun !== true && !(await consents(options, io))) return { kind: 'declined' };
  return { kind: 'outcome', ...(await place.undo(tables)) };
}

function previewText(
  { tables, conflicts, dropped }: Extract<UndoPreview, { kind: 'preview' }>,
  manifest: ShownManifest,
): string {
  if (manifest.dropped !== undefined) {
    const lacking = dropped === undefined ? '' : lackingText(dropped);
    return `${droppedText(manifest.dropped)}${lacking}\n`;
  }
  const total = tables.reduce((sum, each) => sum + each.conflicts, 0);
  const counts = `${countsText(tables)}${staysText(manifest.added)}\n`;
  return total === 0 ? counts : `${counts}${conflictsText(conflicts, total)}\n`;
}

async function consents({ yes, json }: UndoCommandOptions, io: Io): Promise<boolean> {
  if (yes === true || json === true || io.ask === null) return true;
  return /^y(es)?$/i.test((await io.ask('Do this? [y/N] ')).trim());
}

/** Without a schema it goes where the table came from. */
async function putInto(place: UndoPlace, { table }: UndoCommandOptions, into: string): Promise<Ended> {
  const source = demandTable(place.manifest, table);
  const named = readTableName(into);
  if (named === null)
    throw new HoldfastError('CONFIG_INVALID', `--into: expected a table or schema.table, not ${into}`, {
      detail: 'A name with a dot or a double quote in it stands in double quotes, as in SQL.',
    });
  const name = { schema: named.schema ?? source.schema, name: named.name };
  const chosen = table === undefined ? null : { schema: source.schema, name: source.name };
  return { kind: 'outcome', outcome: await place.into(name, chosen), own: null };
}

function tell(ended: Ended, place: UndoPlace, options: UndoCommandOptions, io: Io): ExitCode {
  if (options.json === true) {
    const { manifest, audited } = place;
    io.out(toJson({ id: manifest.id, ...asJson(ended), audited }));
  }
  switch (ended.kind) {
    case 'nothing':
      if (options.json !== true) io.out(nothingText(ended.tables));
      return EXIT.ok;
    case 'declined':
      io.err('Nothing was done.\n');
      return EXIT.failed;
    case 'outcome':
      return tellOutcome(ended.outcome, ended.own, place, options, io);
    default:
      return ended satisfies never;
  }
}

function nothingText(tables: readonly TableCounts[]): string {
  return tables.some(({ conflicts }) => conflicts > 0)
    ? 'Nothing to do: rows that have changed since stay as they are, and all others are as they were.\n'
    : 'Nothing to do: all rows are as they were before the statement.\n';
}

function tellOutcome(
  outcome: UndoOutcome,
  own: string | null,
  place: UndoPlace,
  options: UndoCommandOptions,
  io: Io,
): ExitCode {
  const quiet = options.json === true;
  switch (outcome.kind) {
    case 'done':
      if (!quiet) io.out(doneLines(outcome, own, place, options));
      return EXIT.ok;
    case 'conflicts':
      if (!quiet) io.err(`${inTheWay(outcome, options)}${conflictAdvice(options)}`);
      return EXIT.conflicts;
    case 'refused':
    case 'failed':
      if (!quiet) io.err(endedText(outcome) + advice(outcome, options));
      return EXIT.failed;
    default:
      return outcome satisfies never;
  }
}

function doneLines(
  { tables, dryRun, sequences, dropped: brought }: Extract<UndoOutcome, { kind: 'done' }>,
  own: string | null,
  { manifest, audited }: UndoPlace,
  { into, table }: UndoCommandOptions,
): string {
  const { dropped } = manifest;
  const isChanged = dropped?.altered !== undefined || dropped?.replaced !== undefined;
  const back = isChanged ? 'what was changed is as it was' : 'what was dropped is back';
  const rows = dropped === undefined ? doneText(tables) || 'no row had to be changed' : back;
  const what = into === undefined ? rows : `${doneText(tables)} into ${printable(tables[0]?.table ?? into)}`;
  const lacking = brought === undefined ? '' : lackingText(brought);
  if (dryRun)
    return `Tried: ${what}. ${lacking === '' ? 'All of it went well' : 'It went well'}, and was taken back.\n${lacking}`;
  const moved = sequences.length === 0 ? '' : `Sequences moved on: ${printable(sequences.join(', '))}.\n`;
  const again = own === null ? '' : `To undo this undo: holdfast undo ${own}\n`;
  const others = into === undefined || table !== undefined ? '' : leftOut(manifest);
  return `Done: ${what}.\n${others}${lacking}${moved}${again}${audited ? '' : UNAUDITED}`;
}

/** What foreign keys took along, and code has changed, is in the snapshot too, and was asked for by nobody. */
function leftOut({ tables }: UndoPlace['manifest']): string {
  const others = tables.filter(({ cause }) => cause.kind !== 'target').map(tableName);
  return others.length === 0 ? '' : `Left out, unless --table names it: ${printable(others.join(', '))}.\n`;
}

const UNAUDITED =
  'It went past the gateway, whose audit does not have it; with HOLDFAST_TOKEN, and without --connection or --offline, a gateway that runs does it.\n';

/** What a preview may have shown among all the others, or not at all. */
function inTheWay(
  { conflicts }: Extract<UndoOutcome, { kind: 'conflicts' }>,
  { onConflict, conflicts: max }: UndoCommandOptions,
): string {
  return onConflict === 'overwrite' ? conflictsText(conflicts.slice(0, max), conflicts.length) : '';
}

function conflictAdvice({ onConflict }: UndoCommandOptions): string {
  if (onConflict === 'overwrite') {
    return 'holdfast: nothing was done: rows that others put there or have changed hold values that are unique\n  Change or remove those rows first, or undo with --on-conflict skip.\n';
  }
  return [
    'holdfast: nothing was done, because rows have changed since the statement',
    '  --on-conflict skip leaves them as they are now and undoes the rest,',
    '  --on-conflict overwrite sets them to what they were before the statement.\n',
  ].join('\n');
}

/** What to try where the reason alone does not say it. */
function advice(
  outcome: Extract<UndoOutcome, { kind: 'refused' | 'failed' }>,
  { triggers, into }: UndoCommandOptions,
): string {
  if (into !== undefined) return '';
  if (outcome.kind === 'refused' && outcome.problems.some(({ forceable }) => forceable === true))
    return '  --force undoes it all the same.\n';
  const reasons =
    outcome.kind === 'refused' ? outcome.problems.map(({ reason }) => reason).join() : outcome.reason;
  if (triggers === 'fire' && /trigger/.test(reasons))
    return '  --triggers skip undoes without firing triggers, as a role that may set session_replication_role.\n';
  if (outcome.kind === 'refused' && /that it had|written anew/.test(reasons))
    return '  --on-conflict skip brings it back as it is by now.\n';
  if (outcome.kind === 'refused' && outcome.problems.some(({ table }) => table.startsWith('the default of ')))
    return '  --on-conflict skip brings all else back without it.\n';
  if (outcome.kind === 'refused' && /undo without a snapshot/.test(reasons))
    return '  --no-snapshot undoes without one, so that nothing undoes that.\n';
  if (outcome.kind === 'refused' && /its name is taken by now/.test(reasons))
    return '  Rename what has the name now, and undo it again.\n';
  if (
    outcome.kind === 'refused' &&
    /dropped since|of the type|computed by now|its data was restored/.test(reasons)
  )
    return '  --into TABLE puts the rows into a new table instead.\n';
  return '';
}

function asJson(ended: Ended): object {
  switch (ended.kind) {
    case 'nothing':
      return { outcome: 'nothing', tables: ended.tables.map(countsJson) };
    case 'declined':
      return { outcome: 'declined' };
    case 'outcome':
      return outcomeJson(ended.outcome, ended.own);
    default:
      return ended satisfies never;
  }
}

function outcomeJson(outcome: UndoOutcome, own: string | null): object {
  switch (outcome.kind) {
    case 'done': {
      const { dryRun, tables, sequences } = outcome;
      return {
        outcome: 'done',
        dry_run: dryRun,
        tables: tables.map(countsJson),
        sequences,
        undo_snapshot: own,
        ...broughtBackJson(outcome.dropped),
        added: addedJson(outcome.added),
      };
    }
    case 'conflicts':
      return {
        outcome: 'conflicts',
        tables: outcome.tables.map(countsJson),
        conflicts: outcome.conflicts.map(conflictJson),
      };
    case 'refused':
      return { outcome: 'refused', problems: outcome.problems.map(problemJson) };
    case 'failed': {
      const { step, table, reason, sqlstate } = outcome;
      return { outcome: 'failed', step, table, reason, sqlstate };
    }
    default:
      return outcome satisfies never;
  }
}
