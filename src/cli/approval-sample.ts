import { type Fields, fieldText, isFields } from './admin-client.ts';
import { oneLine, printable } from './printable.ts';
import { alignRows } from './table.ts';

const VALUE_CHARS_MAX = 60;

/** Some of the rows of a held statement, as they are and as they would be; nothing where the answer has none. */
export function sampleText(preview: unknown, columnsMax: number | null): string {
  const sample = isFields(preview) ? preview['sample'] : null;
  if (!isFields(sample)) return '';
  if (sample['kind'] !== 'rows') return `\nrows: unknown, because ${fieldText(sample, 'reason')}\n`;
  const columns = fieldsIn(sample['columns']);
  const rows = fieldsIn(sample['rows']);
  if (rows.length === 0) return '';
  const names = columns.map((column) => oneLine(String(column['name']), VALUE_CHARS_MAX));
  const cells = rows.map((row) => columns.map((column, i) => cell(column, row, i)));
  const wide = alignRows([names, ...cells].map((line) => ['', ...line]));
  const fits = columnsMax === null || wide.split('\n').every((line) => line.length <= columnsMax);
  const body = fits ? wide : cells.map((row, i) => expanded(names, row, i + 1)).join('');
  return `\n${head(sample, rows.length)}\n${body}`;
}

function head(sample: Fields, count: number): string {
  const reason = fieldText(sample, 'after_reason');
  const what: Readonly<Record<string, string>> = {
    removed: 'would be gone',
    computed: 'as they are → as they would be',
    unknown: `as they are; what they would be is not known${reason === '' ? '' : `, because ${reason}`}`,
  };
  const more = sample['more'] === true ? `${count} of more` : `all ${count}`;
  const after = fieldText(sample, 'after');
  return `rows of ${fieldText(sample, 'table')}, ${more}, ${what[after] ?? printable(after)}:`;
}

/** What is kept from whoever looks is in brackets, and no value is. */
function cell({ masked, withheld }: Fields, { before, after }: Fields, at: number): string {
  if (masked === true) return '(masked)';
  const then = shownValue(valueAt(before, at));
  if (!Array.isArray(after)) return then;
  if (withheld === 'mask') return `${then} → (masked)`;
  if (withheld === 'parameters') return `${then} → (from parameters)`;
  const now = shownValue(valueAt(after, at));
  return now === then ? then : `${then} → ${now}`;
}

const valueAt = (row: unknown, at: number): unknown => (Array.isArray(row) ? row[at] : null);

/** Quoted where it could be taken for something else than a value. */
function shownValue(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  const text = String(value);
  const line = oneLine(text, VALUE_CHARS_MAX);
  return /^$|^NULL$|^\(|^"|→|^\s|\s$/.test(text) ? JSON.stringify(line) : line;
}

function expanded(names: readonly string[], row: readonly string[], number: number): string {
  return `  row ${number}\n${alignRows(names.map((name, i) => [`    ${name}`, row[i] ?? '']))}`;
}

function fieldsIn(list: unknown): readonly Fields[] {
  return Array.isArray(list) ? list.filter(isFields) : [];
}
