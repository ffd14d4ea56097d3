/** A table as people name it; without a schema it is null. */
export interface NamedTable {
  readonly schema: string | null;
  readonly name: string;
}

const NAME = /^(?:(?:"((?:[^"]|"")+)"|([^".]+))\.)?(?:"((?:[^"]|"")+)"|([^".]+))$/;

/**
 * `table` or `schema.table`, letter by letter, as lists show names. What holds a dot or a double quote is put in double
 * quotes, as in SQL, which any name may be. Null where it is neither.
 */
export function readTableName(text: string): NamedTable | null {
  const match = NAME.exec(text);
  if (match === null) return null;
  const [, quotedSchema, schema, quotedName, name] = match;
  const plain = (quoted: string | undefined) => quoted?.replaceAll('""', '"');
  return { schema: plain(quotedSchema) ?? schema ?? null, name: plain(quotedName) ?? name! };
}

/** What `readTableName` reads as that. */
export function writeTableName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  const quoted = (part: string) => (/[".]/.test(part) ? `"${part.replaceAll('"', '""')}"` : part);
  return `${quoted(schema)}.${quoted(name)}`;
}
