import type { Manifest } from '../snapshot/manifest.ts';
import { tableName } from '../snapshot/summary.ts';
import { madeAnew } from '../trash/made-anew.ts';
import { nameOf } from '../trash/replace-routine.ts';
import type { Conflict, ShownRow, TableCounts } from '../undo/compare.ts';
import type { BroughtBack, UndoOutcome } from '../undo/outcome.ts';
import { oneLine, printable } from './printable.ts';
import { alignRows, countText } from './table.ts';
import { STEP_WORDS } from './undo-progress.ts';

const VALUE_CHARS_MAX = 40;
/** Of one conflict, besides those of its key. */
const COLUMNS_MAX = 6;
const DEFINITIONS_MAX = 20;

/** What an undo does or would do, table by table. */
export function countsText(tables: readonly TableCounts[]): string {
  const rows = tables.map(({ table, ...counts }) => [
    ...[counts.putBack, counts.setBack, counts.removed, counts.already, counts.conflicts].map(String),
    printable(table),
  ]);
  const head = ['PUT BACK', 'SET BACK', 'REMOVED', 'ALREADY', 'CONFLICTS', 'TABLE'];
  return alignRows([head, ...rows], [0, 1, 2, 3, 4]);
}

const ADDED_TABLES_MAX = 10;

/** `2 rows in public.audit_log`, of all tables into which triggers or functions have put rows; empty of none. */
export function addedText(added: Manifest['added'] = []): string {
  const shown = added.slice(0, ADDED_TABLES_MAX);
  const more = added.length - shown.length;
  const each = shown.map((table) => `${countText(table.rows, 'row')} in ${tableName(table)}`);
  return printable([...each, ...(more > 0 ? [countText(more, 'more table')] : [])].join(', '));
}

export const staysText = (added: Manifest['added']): string =>
  added === undefined ? '' : `Stays, which triggers or functions put there: ${addedText(added)}.\n`;

/** `50 rows put back, 12 set back`, of all tables together. */
export function doneText(tables: readonly TableCounts[]): string {
  const sum = (count: (table: TableCounts) => number) => tables.reduce((all, each) => all + count(each), 0);
  const parts = [
    [sum(({ putBack }) => putBack), 'put back'],
    [sum(({ setBack }) => setBack), 'set back'],
    [sum(({ removed }) => removed), 'removed'],
  ] as const;
  return parts
    .filter(([rows]) => rows > 0)
    .map(([rows, what]) => `${countText(rows, 'row')} ${what}`)
    .join(', ');
}

const WHY: Readonly<Record<Conflict['kind'], string>> = {
  taken: 'there is another row with its key by now',
  held: 'another row has a unique value of it by now',
  changed: 'it was changed since',
  gone: 'it is gone since',
};

export function conflictsText(conflicts: readonly Conflict[], total: number): string {
  const shown = conflicts.map(conflictText).join('');
  const more = total - conflicts.length;
  return more > 0 ? `${shown}… and ${countText(more, 'more conflict')}\n` : shown;
}

function conflictText(conflict: Conflict): string {
  const { table, undoing, kind, before, after, current } = conflict;
  const columns = columnsOf(conflict);
  const images: readonly (readonly [string, ShownRow | null])[] = [
    ['  before', before],
    ['  left as', after],
    ['  now', current],
  ];
  const rows = images.map(([name, row]) => [name, row === null ? '(not there)' : rowText(row, columns)]);
  return `${printable(table)}: a row to ${undoing}, but ${WHY[kind]}\n${alignRows(rows)}`;
}

type Dropped = NonNullable<Manifest['dropped']>;

/** What the undo of a DROP brings back from the trash, or that of what has changed definitions makes as it was. */
export function droppedText(dropped: Dropped): string {
  const { objects, restores, notes } = dropped;
  const rows = objects.map((each) => [each.kind, tableName(each), standsIn(each)].map(printable));
  const anew = madeAnew(restores).map((each) =>
    [each.kind, each.schema === '' ? each.name : tableName(each), '(made anew)'].map(printable),
  );
  const said = notes.map((note) => `Otherwise than it was: ${printable(note)}.\n`);
  const moved = rows.length + anew.length;
  const table = moved === 0 ? '' : alignRows([['KIND', 'DROPPED', 'STANDS IN'], ...rows, ...anew]);
  return `${table}${definitionsText(dropped)}${said.join('')}`;
}

/** Which definitions come back, in the words of the steps by which they do. */
function definitionsText({ altered, replaced, restores }: Dropped): string {
  if (replaced !== undefined) return definitionText(nameOf(replaced));
  if (altered === undefined) return '';
  const all = [...new Set(restores.map(({ what }) => what))];
  const more = all.length - DEFINITIONS_MAX;
  const shown = all.slice(0, DEFINITIONS_MAX).map(definitionText).join('');
  return more > 0 ? `${shown}… and ${countText(more, 'more definition')}\n` : shown;
}

const definitionText = (what: string): string => `Made as it was: ${printable(what)}.\n`;

const standsIn = ({ kind, trash_name }: { readonly kind: string; readonly trash_name: string }): string =>
  kind === 'database' ? trash_name : `holdfast_trash.${trash_name}`;

/** What an undo has not brought back, or not as it was, although it was done. */
export function lackingText({ lacking }: BroughtBack): string {
  return lacking
    .map(({ what, reason }) => `Not as it was: ${printable(what)}: ${printable(reason)}.\n`)
    .join('');
}

/** Those of the key, and those that differ; all where neither says anything. */
function columnsOf({ key, before, after, current }: Conflict): readonly string[] {
  const images = [before, after, current].filter((image) => image !== null);
  const all = Object.keys(images[0] ?? {});
  const differing = all.filter(
    (name) => !key.includes(name) && new Set(images.map((image) => image[name])).size > 1,
  );
  const chosen = [...key.filter((name) => all.includes(name)), ...differing.slice(0, COLUMNS_MAX)];
  return chosen.length > 0 ? chosen : all.slice(0, COLUMNS_MAX);
}

function rowText(row: ShownRow, columns: readonly string[]): string {
  return columns.map((name) => `${oneLine(name, VALUE_CHARS_MAX)}=${valueText(row[name])}`).join('  ');
}

const valueText = (value: string | null | undefined): string =>
  value === null || value === undefined ? 'NULL' : oneLine(value, VALUE_CHARS_MAX);

/** Why nothing was done, where it was not for conflicts. */
export function endedText(
  outcome: Extract<UndoOutcome, { kind: 'refused' | 'failed' | 'conflicts' }>,
): string {
  switch (outcome.kind) {
    case 'refused':
      return outcome.problems
        .map(
          ({ table, reason }) =>
            `holdfast: ${table === '' ? '' : `${printable(table)}: `}${printable(reason)}\n`,
        )
        .join('');
    case 'failed': {
      const at = outcome.table === null ? '' : ` (${printable(outcome.table)})`;
      const sqlstate = outcome.sqlstate === null ? '' : ` [${outcome.sqlstate}]`;
      const where = outcome.step === 'find' ? '' : ` It happened while ${STEP_WORDS[outcome.step]}${at}.`;
      return `holdfast: ${printable(outcome.reason)}${sqlstate}\n  Nothing was done.${where}\n`;
    }
    case 'conflicts':
      return `holdfast: rows have changed since\n`;
    default:
      return outcome satisfies never;
  }
}
