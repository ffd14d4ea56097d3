import type { CatalogAnswer } from '../catalog/catalog.ts';
import type { Column, Relation } from '../catalog/relation.ts';
import type { CapturePlan, PlannedTable, PlanOutcome } from './plan.ts';

/** What plans of all kinds are made of. */

/** What the server does not compute by itself. */
export function captured(relation: Relation): Column[] {
  return relation.columns.filter(({ generated }) => generated === '');
}

export function formatsOf(columns: readonly Column[]): (0 | 1)[] {
  return [1, 1, ...columns.map(({ binary }) => (binary ? (1 as const) : (0 as const)))];
}

export const NEEDLESS: Extract<PlanOutcome, { kind: 'needless' }> = Object.freeze({
  kind: 'needless',
  reason: 'temporary tables end with their session, and no other can read them',
});

export function areTemporary(
  tables: readonly PlannedTable[],
  { relations }: Pick<CatalogAnswer, 'relations'>,
): boolean {
  // A whole without parts may have some by the time that the statement runs.
  return tables.length > 0 && tables.every(({ oid }) => relations.get(oid)?.temporary);
}

/** Why what can only be sent as text would not be read back as it was, or null. */
export function problemOfTexts(
  tables: readonly Pick<PlannedTable, 'columns'>[],
  { textExact }: Pick<CatalogAnswer, 'textExact'>,
): string | null {
  const columns = tables.flatMap((table) => table.columns);
  const within = columns.find(({ xml }) => xml === 'within');
  if (within !== undefined) return `${within.name} has xml within, of which the server does not send all`;
  if (textExact) return null;
  const column = columns.find(({ binary, xml }) => !binary && xml !== 'plain');
  if (column === undefined) return null;
  return `${column.name} has no binary form, and by DateStyle, IntervalStyle or extra_float_digits its text is not exact`;
}

export function exact(plan: CapturePlan): PlanOutcome {
  return { kind: 'exact', plan };
}

export function none(reason: string): PlanOutcome {
  return { kind: 'none', reason };
}

/** The first problem of any of the items, or null. */
export function first<T>(items: readonly T[], problem: (item: T) => string | null): string | null {
  for (const item of items) {
    const found = problem(item);
    if (found !== null) return found;
  }
  return null;
}

/** Whether all words of it are. */
export function isAscii(words: unknown): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is that of ASCII.
  return /^[\x00-\x7f]*$/.test(JSON.stringify(words));
}
