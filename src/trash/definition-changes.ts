import {
  type ColumnPart,
  type Part,
  SECTIONS,
  type Section,
  type TableDefinition,
} from './table-definition.ts';

/** A part of a table's definition that is otherwise than it was; null where it is not, or was not, there. */
export interface Change {
  readonly table: number;
  readonly section: Section;
  readonly key: string;
  readonly before: Part | null;
  readonly after: Part | null;
}

/** What an ALTER has changed, as its manifest has it. */
export interface Altered {
  readonly tables: readonly { readonly oid: number; readonly schema: string; readonly name: string }[];
  /** Types that come back, whose code may run. */
  readonly types: readonly number[];
  readonly changes: readonly Change[];
  /** Columns whose type was changed, or at least their values by that. */
  readonly retyped?: readonly string[] | undefined;
}

/** Tables that are gone have no part. */
export function changesBetween(
  before: readonly TableDefinition[],
  after: readonly TableDefinition[],
): readonly Change[] {
  const now = new Map(after.map((table) => [table.oid, table]));
  return before.flatMap((then) => {
    const table = now.get(then.oid);
    return SECTIONS.flatMap((section) => changesOf(then.oid, section, then[section], table?.[section] ?? {}));
  });
}

function changesOf(
  table: number,
  section: Section,
  before: Readonly<Record<string, Part>>,
  after: Readonly<Record<string, Part>>,
): Change[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) => {
    const change = { table, section, key, before: before[key] ?? null, after: after[key] ?? null };
    return isSame(change.before, change.after) ? [] : [change];
  });
}

/**
 * Whether a constraint counts as a table's own as well as inherited does not change what it does; and a sequence that
 * was dropped comes back as another object.
 */
export function isSame(some: Part | null, other: Part | null): boolean {
  return normal(some) === normal(other);
}

/** Whether a column has a default, which it had not, and is otherwise what it was. */
export function givesDefault({ section, before, after }: Change): boolean {
  if (section !== 'columns' || before === null || after === null) return false;
  const had = before['expression'] ?? null;
  return had === null && isSame({ ...before, expression: after['expression'] }, after);
}

function normal(part: Part | null): string {
  if (part === null) return 'null';
  const { local: _, sequence, ...rest } = part as Part & Pick<ColumnPart, 'sequence'>;
  const kept = sequence == null ? rest : { ...rest, sequence: { ...sequence, oid: 0 } };
  return JSON.stringify(Object.entries(kept).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Those parts that are not as they should be: as the statement has left them, or as they were before it. */
export function deviations(
  altered: Altered,
  now: readonly TableDefinition[],
  which: 'before' | 'after',
): readonly Change[] {
  const tables = new Map(now.map((table) => [table.oid, table]));
  return altered.changes.filter((change) => {
    const is = tables.get(change.table)?.[change.section][change.key] ?? null;
    return !isSame(asFarAsKnown(is, change[which]), change[which]);
  });
}

/** A manifest of before a fact was kept does not know of it. */
function asFarAsKnown(is: Part | null, known: Part | null): Part | null {
  if (is === null || known === null) return is;
  return Object.fromEntries(Object.entries(is).filter(([key]) => key in known));
}

const WORDS: Readonly<Record<Section, string>> = {
  settings: 'the',
  columns: 'the column',
  constraints: 'the constraint',
  indexes: 'the index',
  triggers: 'the trigger',
  rules: 'the rule',
  policies: 'the policy',
  statistics: 'the statistics',
  referrers: 'the foreign key',
};

export function describeChange({ section, key, before, after }: Change): string {
  const name = section === 'columns' ? String((before ?? after)?.['name']) : key;
  return `${WORDS[section]} ${name}`;
}
