/** What a query makes of a text so that it comes as it is, whichever encoding the client reads. */
export function inUtf8(sql: string): string {
  return `pg_catalog.encode(pg_catalog.convert_to(${sql}::pg_catalog.text, 'UTF8'), 'hex')`;
}

/** The text that has come so. */
export function fromHex(hex: string | null): string | null {
  return hex === null ? null : Buffer.from(hex, 'hex').utf8Slice();
}
