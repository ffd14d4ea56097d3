/**
 * Rows in columns as wide as their widest cell, two spaces apart; the last column is left as it is. Columns of
 * numbers are given by their places, and end where their widest does.
 */
export function alignRows(rows: readonly (readonly string[])[], numbers: readonly number[] = []): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      const isLast = column === row.length - 1 && !numbers.includes(column);
      if (!isLast) widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const aligned = (cell: string, column: number): string => {
    const width = widths[column] ?? 0;
    return numbers.includes(column) ? cell.padStart(width) : cell.padEnd(width);
  };
  return rows.map((row) => `${row.map(aligned).join('  ').trimEnd()}\n`).join('');
}

/** Bytes for people: `512 B`, `1.5 KiB`, `20 GiB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `1 row`, `2 rows`, `1,255 rows`. */
export function countText(count: number, what: string, plural = `${what}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? what : plural}`;
}

/** How long something is, in one unit: `12 s`, `5 min`, `3 h`, `2 d`; `-` where that is not known. */
export function spanText(ms: number): string {
  if (Number.isNaN(ms)) return '-';
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 172_800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
}

export function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
