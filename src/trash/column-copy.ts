import type { GoneRights } from './facts.ts';
import { given } from './move.ts';
import { RIGHTS, takenAway } from './rights.ts';
import { json, type TrashSession } from './session.ts';

/** A table in the trash that was made of values, by CREATE TABLE … AS. */

/** Leaves it to its owner alone, whatever rights are given by default. */
export async function closeCopy(session: TrashSession, copy: string): Promise<void> {
  const [made] = await session.query(
    'SELECT $1::pg_catalog.regclass::pg_catalog.oid, $2::pg_catalog.regclass::pg_catalog.oid',
    [copy, 'pg_catalog.pg_class'],
  );
  const [oid, classid] = (made ?? []).map(Number);
  const rights = await json<readonly GoneRights[]>(session, RIGHTS, given([[classid!, oid!]]));
  for (const sql of rights.flatMap(takenAway)) await session.query(sql);
}

export function rowsOf(tag: string): number {
  const rows = /^SELECT (\d+)$/.exec(tag)?.[1];
  if (rows === undefined) throw new Error(`the copy was answered with ${tag}`);
  return Number(rows);
}
