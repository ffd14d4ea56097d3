import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Manifest, ManifestTable } from './manifest.ts';
import { readTableName } from './table-name.ts';

/** A snapshot in a line, as the API and `holdfast snapshots list --json` give it. */
export interface SnapshotSummary {
  readonly id: string;
  readonly created_at: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  readonly client: string;
  readonly operation: string;
  /** As sent, or with its secrets masked. */
  readonly statement: string;
  /** Those that the statement named itself first; more than a limit are only counted. */
  readonly tables: readonly string[];
  readonly table_count: number;
  /** How many objects a DROP moved into the trash; 0 for everything else. */
  readonly dropped: number;
  /** Rows as they were before the statement, and those as it has left them. */
  readonly rows_before: number;
  readonly rows_after: number;
  readonly bytes: number;
}

export function summaryOf({
  id,
  created_at,
  session,
  statement,
  tables,
  dropped,
}: Manifest): SnapshotSummary {
  const { role, database, application, client } = session;
  const named = dropped === undefined ? targetsFirst(tables) : namedByDrop(dropped);
  const sum = (count: (table: ManifestTable) => number) => tables.reduce((all, each) => all + count(each), 0);
  return {
    id,
    created_at,
    role,
    database,
    application,
    client,
    operation: statement.operation,
    statement: statement.text,
    tables: named.slice(0, LIMITS.snapshotTablesNamed).map(tableName),
    table_count: named.length,
    dropped: dropped?.objects.length ?? 0,
    rows_before: sum(({ before }) => before?.rows ?? 0),
    rows_after: sum(({ after }) => after?.rows ?? 0),
    bytes: sum(({ before, after }) => (before?.bytes ?? 0) + (after?.bytes ?? 0)),
  };
}

export const tableName = ({ schema, name }: Pick<ManifestTable, 'schema' | 'name'>): string =>
  // Of a database that was dropped.
  schema === '' ? name : `${schema}.${name}`;

/** What an ALTER has left its values of in the trash is a part of its table. */
function namedByDrop({ objects, altered, replaced }: NonNullable<Manifest['dropped']>) {
  if (replaced !== undefined) return [replaced];
  return altered === undefined ? indexesLast(objects) : altered.tables;
}

/** People ask for tables; their indexes go with them. */
function indexesLast<T extends { readonly kind: string }>(objects: readonly T[]): T[] {
  const isIndex = ({ kind }: T): number => (kind === 'index' ? 1 : 0);
  return objects.toSorted((a, b) => isIndex(a) - isIndex(b));
}

type TableFacts = Pick<ManifestTable, 'schema' | 'name' | 'cause'>;

/** A manifest, with its rows or without. */
interface OfTables<T> extends Pick<Manifest, 'dropped' | 'archive'> {
  readonly tables: readonly T[];
}

function targetsFirst<T extends TableFacts>(tables: readonly T[]): T[] {
  const level = ({ cause }: T): number => {
    switch (cause.kind) {
      case 'target':
        return 0;
      case 'cascade':
        return cause.level;
      case 'code':
        return Number.POSITIVE_INFINITY;
      default:
        return cause satisfies never;
    }
  };
  return tables.toSorted((a, b) => (level(a) === level(b) ? 0 : level(a) - level(b)));
}

/** `tableOf`, or NOT_FOUND with the names that there are. */
export function demandTable<T extends TableFacts>(manifest: OfTables<T>, asked: string | undefined): T {
  const table = tableOf(manifest, asked);
  if (table !== null) return table;
  if (manifest.dropped !== undefined && manifest.archive === undefined) {
    throw new HoldfastError('CONFLICT', 'the rows of what a DROP took are not in its snapshot', {
      detail:
        'They were moved, and not copied: they are in the schema holdfast_trash of the database until they are purged from it.',
      hint: 'holdfast undo brings them back, or says when they were purged.',
    });
  }
  if (manifest.tables.length === 0)
    throw new HoldfastError('NOT_FOUND', 'the snapshot has no rows of tables', {
      detail: 'What was dropped had none, or they were those of materialized views, which are not archived.',
    });
  const several = manifest.tables.some(({ name }) => name === asked);
  const what = several
    ? `several tables ${asked}: say with its schema which`
    : `no table ${asked ?? 'at all'}`;
  throw new HoldfastError('NOT_FOUND', `the snapshot has ${what}`, {
    detail: `It has ${manifest.tables.map(tableName).join(', ')}.`,
  });
}

/** The table of this name, with its schema or without; the first that the statement named itself where none is asked for. */
function tableOf<T extends TableFacts>({ tables }: OfTables<T>, asked: string | undefined): T | null {
  if (asked === undefined) return targetsFirst(tables)[0] ?? null;
  const named = asked.includes('"') ? readTableName(asked) : null;
  const isNamed = ({ schema, name }: T) => name === named?.name && schema === (named.schema ?? schema);
  if (named !== null && !tables.some((table) => tableName(table) === asked)) {
    const [only, other] = tables.filter(isNamed);
    return other === undefined ? (only ?? null) : null;
  }
  const exact = tables.find((table) => tableName(table) === asked);
  const [first, second] = tables.filter(({ name }) => name === asked);
  return exact ?? (second === undefined ? (first ?? null) : null);
}
