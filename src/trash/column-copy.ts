import type { GoneRights } from './facts.ts';
import { RIGHTS, takenAway } from './rights.ts';
import { json, type TrashSession } from './session.ts';
import { given } from './trial.ts';

/** A table in the trash that was made of values, by CREATE TABLE … AS. */

/** Makes one, which is left to its owner alone whatever rights are given by default; and says how many rows it has. */
export async function makeCopy(session: TrashSession, copy: string, select: string): Promise<number> {
  await session.query(`CREATE TABLE ${copy} AS ${select}`);
  const [made] = await session.query(
    `SELECT $1::pg_catalog.regclass::pg_catalog.oid, $2::pg_catalog.regclass::pg_catalog.oid, pg_catalog.count(*) FROM ${copy}`,
    [copy, 'pg_catalog.pg_class'],
  );
  const [oid, classid, rows] = (made ?? []).map(Number);
  const rights = await json<readonly GoneRights[]>(session, RIGHTS, given([[classid!, oid!]]));
  for (const sql of rights.flatMap(takenAway)) await session.query(sql);
  return rows!;
}
