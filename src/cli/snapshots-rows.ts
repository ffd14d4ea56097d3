import { readWithRows } from '../snapshot/archive.ts';
import type { Manifest, ManifestTable } from '../snapshot/manifest.ts';
import { findSnapshot } from '../snapshot/snapshots.ts';
import { demandTable, tableName } from '../snapshot/summary.ts';
import type { ShownRow } from '../undo/compare.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { alignRows, countText } from './table.ts';
import { type ConnectionOption, withConnection } from './undo-connection.ts';
import { endedText } from './undo-text.ts';

export interface RowsOptions extends StoreOptions, ConnectionOption {
  readonly table?: string;
  readonly which: 'before' | 'after';
  readonly limit: number;
  readonly from: number;
}

const VALUE_CHARS_MAX = 60;

export async function rowsCommand(asked: string, options: RowsOptions, io: Io): Promise<ExitCode> {
  return await withStore(options, io, async ({ store, config }) => {
    const { folder } = await findSnapshot(store, asked);
    const manifest = await readWithRows(store, folder);
    const table = demandTable(manifest, options.table);
    const { database } = manifest.session;
    return await withConnection(options, config(), database, io, async (session, trusted) => {
      const { showRows } = await import('../undo/show-rows.ts');
      const form = options.json === true ? 'json' : 'text';
      const page = { from: options.from, max: options.limit };
      const shown = await showRows({ store, manifest, session, trusted }, table, options.which, form, page);
      if (shown.kind !== 'rows') {
        io.err(endedText(shown));
        return EXIT.failed;
      }
      if (options.json === true) io.out(asJson(manifest, table, options, shown.rows));
      else io.out(asText(manifest, table, options, shown.rows, io.terminal ? io.columns : null));
      return EXIT.ok;
    });
  });
}

/** The rows are JSON already, whose numbers may be longer than those of JavaScript. */
function asJson(
  { id }: Manifest,
  table: ManifestTable,
  options: RowsOptions,
  rows: readonly string[],
): string {
  const { from, which } = options;
  const total = table[which]?.rows ?? 0;
  const next = from + rows.length < total ? from + rows.length : null;
  const head = JSON.stringify({ id, table: tableName(table), which, total, next }).slice(0, -1);
  return `${head},"items":[${rows.length > 0 ? '\n' : ''}${rows.join(',\n')}\n]}\n`;
}

function asText(
  manifest: Manifest,
  table: ManifestTable,
  options: RowsOptions,
  rows: readonly string[],
  columnsMax: number | null,
): string {
  const { from, which } = options;
  const total = table[which]?.rows ?? 0;
  const names = table.columns.map(({ name }) => name);
  const values = rows
    .map((json) => JSON.parse(json) as ShownRow)
    .map((row) => names.map((name) => shownValue(row[name])));
  const wide = alignRows([names.map((name) => oneLine(name, VALUE_CHARS_MAX)), ...values]);
  const fits = columnsMax === null || wide.split('\n').every((line) => line.length <= columnsMax);
  const head = `${printable(tableName(table))} ${which} the statement, ${countText(total, 'row')}\n`;
  if (total === 0) return head + others(manifest, table);
  const body =
    rows.length === 0
      ? ''
      : fits
        ? wide
        : values.map((row, i) => expanded(names, row, from + i + 1)).join('');
  return `${head}\n${body}${pageText(from, rows.length, total)}${others(manifest, table)}`;
}

function shownValue(value: string | null | undefined): string {
  return value === null || value === undefined ? 'NULL' : oneLine(value, VALUE_CHARS_MAX);
}

function expanded(names: readonly string[], row: readonly string[], number: number): string {
  const fields = names.map((name, i) => [`  ${oneLine(name, VALUE_CHARS_MAX)}`, row[i] ?? '']);
  return `row ${number}\n${alignRows(fields)}`;
}

function pageText(from: number, shown: number, total: number): string {
  const rest = total - from - shown;
  if (shown === 0) return `There are no rows from ${from} on.\n`;
  return rest > 0
    ? `… and ${rest.toLocaleString('en-US')} more: --from ${from + shown} goes on, --limit shows more at once\n`
    : '';
}

function others({ tables }: Manifest, table: ManifestTable): string {
  const names = tables.filter((each) => each !== table).map(tableName);
  return names.length === 0 ? '' : `\nalso in it: ${printable(names.join(', '))} (--table)\n`;
}
