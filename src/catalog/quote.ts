/** Names and texts as SQL takes them, whatever they hold. */

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A name of a relation in its schema; without one, where the search_path is to find it. */
export function quoteQualified(schema: string | null, name: string): string {
  return schema === null ? quoteName(name) : `${quoteName(schema)}.${quoteName(name)}`;
}

/** A literal that reads the same whether standard_conforming_strings is on or off. */
export function quoteLiteral(text: string): string {
  const doubled = text.replaceAll("'", "''");
  return text.includes('\\') ? ` E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}
