import type { SessionEffect } from '../effects.ts';

/** One name of a search_path and what stands between it and the next, as SplitIdentifierString reads them. */
const PATH_ENTRY = /[ \t\n\v\f\r]*(?:"((?:[^"]|"")+)"|([^",\s]+))[ \t\n\v\f\r]*(,|$)/y;

/**
 * Whether a search_path leaves unqualified names to pg_catalog first: PostgreSQL searches it first unless the path
 * names it, and then where it is named. A path that cannot be read does not.
 */
export function isCatalogFirst(path: string): boolean {
  if (path.trim() === '') return true;
  PATH_ENTRY.lastIndex = 0;
  let at = -1;
  for (let i = 0; ; i++) {
    const entry = PATH_ENTRY.exec(path);
    if (entry === null) return false;
    const [, quoted, bare, separator] = entry;
    const name = quoted === undefined ? bare!.toLowerCase() : quoted.replaceAll('""', '"');
    if (name === 'pg_catalog' && at < 0) at = i;
    if (separator === '') return at <= 0;
  }
}

/** Whether what comes after it may call other functions than those of pg_catalog. */
export function losesCatalog(effect: SessionEffect): boolean {
  return (
    effect.kind === 'set' &&
    effect.name === 'search_path' &&
    (effect.value === null || !isCatalogFirst(effect.value))
  );
}
