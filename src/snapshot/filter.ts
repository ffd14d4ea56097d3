import type { Manifest } from './manifest.ts';
import { tableName } from './summary.ts';

/** Which snapshots are looked for: all that is given must hold. */
export interface SnapshotFilter {
  /** From this moment on, and before that one. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** With its schema, or in any; also one that the statement reached by a foreign key, or dropped. */
  readonly table?: string | undefined;
  readonly role?: string | undefined;
  readonly database?: string | undefined;
  readonly operation?: string | undefined;
  readonly mark?: 'undone' | 'rolled_back' | 'none' | undefined;
}

/** Whether anything is asked that only the manifest tells. */
export function asksOfManifest({ table, role, database, operation }: SnapshotFilter): boolean {
  return [table, role, database, operation].some((each) => each !== undefined);
}

/** What the manifest says, against what is asked of it. */
export function matches(
  { session, statement, tables, dropped }: Manifest,
  { table, role, database, operation }: SnapshotFilter,
): boolean {
  const isAsked = (value: string, asked: string | undefined) => asked === undefined || asked === value;
  const named = [
    ...tables,
    ...(dropped?.objects ?? []),
    ...(dropped?.altered?.tables ?? []),
    ...(dropped?.replaced === undefined ? [] : [dropped.replaced]),
  ];
  return (
    isAsked(session.role, role) &&
    isAsked(session.database, database) &&
    isAsked(statement.operation, operation) &&
    (table === undefined || named.some((each) => each.name === table || tableName(each) === table))
  );
}

/** What stands beside the manifest, against what is asked of that. */
export function isMarkedSo(
  { undone, rolledBack }: { readonly undone: boolean; readonly rolledBack: boolean },
  { mark }: SnapshotFilter,
): boolean {
  switch (mark) {
    case undefined:
      return true;
    case 'undone':
      return undone;
    case 'rolled_back':
      return rolledBack;
    case 'none':
      return !undone && !rolledBack;
    default:
      return mark satisfies never;
  }
}
