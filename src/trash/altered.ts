import { type Altered, describeChange, deviations } from './definition-changes.ts';
import { named } from './definitions.ts';
import type { TrashSession } from './session.ts';
import { definitionsOf } from './table-definition.ts';

/** Why an ALTER cannot be taken back as things are. */
export interface Deviation {
  readonly what: string;
  readonly reason: string;
}

const oidsOf = ({ tables, changes }: Altered): number[] => [
  ...new Set([...tables.map(({ oid }) => oid), ...changes.map(({ table }) => table)]),
];

/** What is not as the ALTER has left it. With `lock`, nobody changes it from here on. */
export async function alteredSince(
  session: TrashSession,
  altered: Altered,
  { lock, bearing }: { readonly lock: boolean; readonly bearing: boolean },
): Promise<readonly Deviation[]> {
  const misnamed = await notWhereTheyWere(session, altered);
  if (misnamed.length > 0) return misnamed;
  if (lock) {
    const [row] = await session.query(
      `SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.relname), ', ' ORDER BY c.oid)
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::pg_catalog.oid[])`,
      [`{${oidsOf(altered).join(',')}}`],
    );
    if (row?.[0] != null) await session.query(`LOCK TABLE ${row[0]} IN ACCESS EXCLUSIVE MODE`);
    const since = await notWhereTheyWere(session, altered);
    if (since.length > 0) return since;
  }
  if (bearing) return [];
  const other = deviations(altered, await definitionsOf(session, oidsOf(altered)), 'after');
  return other.map((change) => ({
    what: describeChange(change),
    reason: 'it is not as the statement has left it',
  }));
}

/** What is not as it was before the ALTER, when all has been done for it. */
export async function notAsBefore(session: TrashSession, altered: Altered): Promise<readonly Deviation[]> {
  const other = deviations(altered, await definitionsOf(session, oidsOf(altered)), 'before');
  return other.map((change) => ({
    what: describeChange(change),
    reason: 'it would not come back as it was',
  }));
}

/** The way back names tables, and has to mean those that were altered. */
async function notWhereTheyWere(session: TrashSession, { tables }: Altered): Promise<Deviation[]> {
  const found = await session.query(
    `SELECT c.oid::pg_catalog.int8, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = ANY ($1::pg_catalog.oid[])`,
    [`{${tables.map(({ oid }) => oid).join(',')}}`],
  );
  return tables.flatMap((table) => {
    const what = `the table ${named(table)}`;
    const now = found.find(([oid]) => Number(oid) === table.oid);
    if (now === undefined) return [{ what, reason: 'it was dropped since' }];
    const name = named({ schema: now[1]!, name: now[2]! });
    return name === named(table)
      ? []
      : [{ what, reason: `it is called ${name} by now; give it its name back` }];
  });
}
