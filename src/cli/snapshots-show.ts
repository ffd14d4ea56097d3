import { readWithRows } from '../snapshot/archive.ts';
import { type Manifest, type ManifestTable, readManifest, withoutRows } from '../snapshot/manifest.ts';
import { findSnapshot } from '../snapshot/snapshots.ts';
import { summaryOf, tableName } from '../snapshot/summary.ts';
import { type UndoMark, undoneBy } from '../snapshot/undo-mark.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { alignRows, countText, sizeText, toJson } from './table.ts';
import { addedText, droppedText } from './undo-text.ts';

export type ShowOptions = StoreOptions;

const SQL_CHARS_MAX = 400;

export async function showCommand(asked: string, options: ShowOptions, io: Io): Promise<void> {
  await withStore(options, io, async ({ store, place }) => {
    const { folder, rolledBack, undoMarked } = await findSnapshot(store, asked);
    const manifest = await readManifest(store, folder);
    const undone = undoMarked ? await undoneBy(store, folder) : null;
    const archived = manifest.dropped === undefined ? manifest : await readWithRows(store, folder);
    const archive = archived.archive === undefined ? {} : { archive: archived.archive };
    if (options.json === true)
      io.out(toJson({ ...withoutRows(manifest), ...archive, folder, rolled_back: rolledBack, undone }));
    else io.out(`${asText(manifest, `${place}, ${folder}`, rolledBack, undone)}${archiveText(archived)}`);
  });
}

function asText(manifest: Manifest, where: string, rolledBack: boolean, undone: UndoMark | null): string {
  const { id, session, statement, decision, server, tables } = manifest;
  const { bytes } = summaryOf(manifest);
  const approved = manifest.approval_id === null ? '' : `, approved as ${manifest.approval_id}`;
  const application = session.application === '' ? '' : `, application ${session.application}`;
  const client = session.client === '' ? '' : `, from ${session.client}`;
  const facts = [
    ['snapshot', id],
    ['taken', `${timeText(manifest.created_at)} UTC, by Holdfast ${manifest.gateway}`],
    ['statement', oneLine(statement.text, SQL_CHARS_MAX)],
    ['by', `${session.role} in ${session.database}${application}${client}`],
    ['decision', `risk ${decision.risk}, rule ${decision.rule}${approved}`],
    [
      'transaction',
      `${manifest.xid}, on PostgreSQL ${serverText(server.version_num)}${rolledBack ? '; rolled back, so that there is nothing to undo' : ''}`,
    ],
    ['stored', `${storedText(tables, bytes)}: ${where}`],
    ...(manifest.added === undefined
      ? []
      : [['added', `by triggers or functions: ${addedText(manifest.added)}`]]),
    ...sequencesText(manifest),
    ...(undone === null ? [] : [['undone', undoneText(undone)]]),
  ].map(([name, value]) => [name!, printable(value!)]);
  const what = manifest.dropped === undefined ? tablesText(tables) : droppedText(manifest.dropped);
  return `${alignRows(facts)}\n${what}\n${hints(manifest)}`;
}

/** Few rows stand in the manifest itself. */
function storedText(tables: Manifest['tables'], bytes: number): string {
  const kept = tables.flatMap(({ before, after }) => [before, after]).filter((file) => file !== null);
  const files = kept.filter((file) => 'blob' in file).length;
  if (kept.length === 0) return 'no rows';
  return `${sizeText(bytes)} in ${files === 0 ? 'its manifest' : countText(files, 'file')}`;
}

function archiveText({ archive, tables }: Manifest): string {
  if (archive === undefined) return '';
  const definitions = archive.definitions
    .map(({ sql }) => `\n${sql.split('\n').map(printable).join('\n')};\n`)
    .join('');
  return `\nArchived ${timeText(archive.archived_at)} UTC, with its rows:\n${tablesText(tables)}${definitions}`;
}

function undoneText({ by, undone_at, undo_snapshot: own }: UndoMark): string {
  return `${timeText(undone_at)} UTC, by ${by}${own === null ? '' : `, as ${own}`}`;
}

function tablesText(tables: Manifest['tables']): string {
  const head = ['TABLE', 'BEFORE', 'AFTER', 'SIZE', 'KEY', 'REACHED'];
  return alignRows([head, ...tables.map(tableRow)], [1, 2, 3]);
}

function sequencesText({ sequences = [] }: Manifest): string[][] {
  if (sequences.length === 0) return [];
  const each = sequences.map(({ schema, name, last_value }) => `${schema}.${name} at ${last_value}`);
  return [['sequences', `started anew: ${oneLine(each.join(', '), SQL_CHARS_MAX)}`]];
}

function tableRow(table: ManifestTable): string[] {
  const { before, after, key, cause } = table;
  return [
    printable(tableName(table)),
    String(before?.rows ?? 0),
    String(after?.rows ?? 0),
    sizeText((before?.bytes ?? 0) + (after?.bytes ?? 0)),
    key === null ? 'none' : oneLine(key.join(', '), 40),
    printable(reachedBy(cause)),
  ];
}

function reachedBy(cause: ManifestTable['cause']): string {
  switch (cause.kind) {
    case 'target':
      return 'by the statement';
    case 'cascade':
      return `by the foreign key ${cause.constraint}`;
    case 'code':
      return 'by triggers or functions';
    default:
      return cause satisfies never;
  }
}

function hints({ id, dropped }: Manifest): string {
  if (dropped !== undefined)
    return alignRows([[`holdfast undo ${id} --dry-run`, 'says whether all of it can come back']]);
  return alignRows([
    [`holdfast snapshots rows ${id}`, 'shows the rows'],
    [`holdfast undo ${id} --dry-run`, 'says what putting them back would do'],
  ]);
}

/** `180004` is 18.4. */
function serverText(versionNum: number): string {
  return `${Math.floor(versionNum / 10_000)}.${versionNum % 10_000}`;
}

/** To the second; the rest is in the JSON. */
export function timeText(time: string): string {
  return time.slice(0, 19).replace('T', ' ');
}
