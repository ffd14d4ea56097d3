import { isWholeId, timesOfIds } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { quoteName } from '../catalog/quote.ts';
import { TRASH_DATABASE, TRASH_SCHEMA } from './definitions.ts';
import { json, type TrashSession } from './session.ts';
import { standingIn } from './standing.ts';
import type { TrashedObject } from './steps.ts';
import { textArray } from './trial.ts';

/** What one DROP has left in the trash of a database. */
export interface TrashEntry {
  /** That of the snapshot. */
  readonly id: string;
  readonly droppedAtMs: number;
  readonly objects: number;
  readonly bytes: number;
}

/** What the manifest of a DROP says was moved into the trash. */
export interface Purgeable {
  readonly id: string;
  readonly objects: readonly TrashedObject[];
}

export interface Purged {
  /** Objects that are gone for good. */
  readonly objects: number;
  /** Objects that stay, because something depends on them or the role may not drop them: the first reason. */
  readonly kept: { readonly objects: number; readonly reason: string } | null;
}

interface Standing {
  readonly name: string;
  readonly bytes: number;
}

/** Only what carries a name of ours, and so a list, and no proof. */
const STANDING = `
SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', x.name, 'bytes', x.bytes) ORDER BY x.name)::pg_catalog.text FROM (
  SELECT c.relname AS name, c.relkind::pg_catalog.text AS kind,
      CASE WHEN c.relkind = ANY ('{r,m}'::pg_catalog."char"[]) THEN pg_catalog.pg_total_relation_size(c.oid) ELSE 0 END AS bytes
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = '${TRASH_SCHEMA}' AND c.relkind = ANY ('{r,p,f,v,m,S}'::pg_catalog."char"[])
  UNION ALL
  SELECT t.typname, 'type', 0 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
   WHERE n.nspname = '${TRASH_SCHEMA}' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_class k WHERE k.oid = t.typrelid AND k.relkind <> 'c')
  UNION ALL
  SELECT f.proname, 'routine', 0 FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
   WHERE n.nspname = '${TRASH_SCHEMA}'
  UNION ALL
  SELECT s.stxname, 'statistics', 0 FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
   WHERE n.nspname = '${TRASH_SCHEMA}'
) x WHERE x.name ~ '^snap_[0-9a-z]{20}_[0-9]+$'`;

/** What is in the trash, the newest first. */
export async function listTrash(session: TrashSession): Promise<readonly TrashEntry[]> {
  const found = (await json<readonly Standing[] | null>(session, STANDING)) ?? [];
  return [...Map.groupBy(found, ({ name }) => idOf(name))]
    .flatMap(([id, standing]) => {
      const droppedAtMs = isWholeId(id) ? timesOfIds(id)?.firstMs : undefined;
      const bytes = standing.reduce((sum, each) => sum + each.bytes, 0);
      return droppedAtMs === undefined ? [] : [{ id, droppedAtMs, objects: standing.length, bytes }];
    })
    .sort((a, b) => b.droppedAtMs - a.droppedAtMs);
}

/** Those that would be purged. */
export async function purgeable(session: TrashSession, { id, objects }: Purgeable): Promise<TrashedObject[]> {
  return await standingIn(
    session,
    objects.filter(({ kind, trash_name }) =>
      kind === 'database' ? trash_name === `${TRASH_DATABASE}${id}` : trash_name.startsWith(`${id}_`),
    ),
  );
}

const SIZE = `
SELECT (coalesce(pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid)), 0) + (
    SELECT coalesce(pg_catalog.sum(pg_catalog.pg_database_size(d.oid)), 0) FROM pg_catalog.pg_database d WHERE d.datname = ANY ($1::pg_catalog.text[])
       AND (pg_catalog.has_database_privilege(d.oid, 'CONNECT') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'))))::pg_catalog.int8
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = '${TRASH_SCHEMA}' AND c.relkind = ANY ('{r,m,S}'::pg_catalog."char"[]) AND c.relname = ANY ($1::pg_catalog.text[])`;

/** What they take on the disk of the database, with their indexes. */
export async function bytesOf(session: TrashSession, objects: readonly TrashedObject[]): Promise<number> {
  const [row] = await session.query(SIZE, [textArray(objects.map(({ trash_name }) => trash_name))]);
  return Number(row![0]);
}

/** Drops for good what one DROP has moved into the trash, and nothing that its manifest does not prove to be that. */
export async function purgeDropped(session: TrashSession, dropped: Purgeable): Promise<Purged> {
  if (dropped.objects.some(isDatabase)) return await purgeDatabase(session, dropped);
  await session.query('BEGIN');
  try {
    await session.query(`SELECT pg_catalog.set_config('lock_timeout', $1, true)`, [
      `${LIMITS.undoLockWaitMs}ms`,
    ]);
    const purged = await dropAll(session, dropped);
    await session.query('COMMIT');
    return purged;
  } catch (error) {
    await session.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

const isDatabase = ({ kind }: TrashedObject): boolean => kind === 'database';

/** A database cannot be dropped in a transaction, nor be used by anybody by then. */
async function purgeDatabase(session: TrashSession, dropped: Purgeable): Promise<Purged> {
  const [found] = await purgeable(session, dropped);
  if (found === undefined) return { objects: 0, kept: null };
  try {
    await session.query(`DROP DATABASE ${quoteName(found.trash_name)}`);
    return { objects: 1, kept: null };
  } catch (error) {
    const reason = session.refusal(error);
    if (reason === null) throw error;
    return { objects: 0, kept: { objects: 1, reason } };
  }
}

/** Again and again, because they depend on each other, until nothing more goes. Never with CASCADE. */
async function dropAll(session: TrashSession, dropped: Purgeable): Promise<Purged> {
  const found = await purgeable(session, dropped);
  // From here on nobody puts another in the place of one of these; more than reading its owner may not do to it.
  const locked = found.filter(({ kind }) => TABLES.has(kind)).map(({ trash_name }) => inTrash(trash_name));
  if (locked.length > 0) {
    const reason = await attempt(session, `LOCK TABLE ONLY ${locked.join(', ONLY ')} IN ACCESS SHARE MODE`);
    if (reason !== '') return { objects: 0, kept: { objects: found.length, reason } };
  }
  for (let before = Number.POSITIVE_INFINITY, reason = ''; ; ) {
    const left = await purgeable(session, dropped);
    if (left.length === 0 || left.length >= before) {
      const kept = left.length === 0 ? null : { objects: left.length, reason };
      return { objects: found.length - left.length, kept };
    }
    before = left.length;
    // All tables at once first, since foreign keys may run both ways.
    const tables = left.filter(({ kind }) => TABLES.has(kind)).map(({ trash_name }) => inTrash(trash_name));
    if (tables.length > 0) reason = await attempt(session, `DROP TABLE ${tables.join(', ')}`);
    // Indexes go with their tables.
    for (const { trash_name, kind } of left.filter((each) => each.kind !== 'index')) {
      const word = TABLES.has(kind) ? 'TABLE' : kind.toUpperCase();
      const said = await attempt(session, `DROP ${word} IF EXISTS ${inTrash(trash_name)}`);
      if (said !== '') reason = said;
    }
  }
}

/** Values of dropped columns are in a table as well. */
const TABLES: ReadonlySet<string> = new Set(['table', 'column']);

/** Why the server has refused it, which leaves nothing of it; empty where it has not. */
async function attempt(session: TrashSession, sql: string): Promise<string> {
  await session.query('SAVEPOINT holdfast_purge');
  try {
    await session.query(sql);
    await session.query('RELEASE SAVEPOINT holdfast_purge');
    return '';
  } catch (error) {
    const reason = session.refusal(error);
    if (reason === null) throw error;
    await session.query('ROLLBACK TO SAVEPOINT holdfast_purge');
    return reason;
  }
}

const inTrash = (name: string): string => `${quoteName(TRASH_SCHEMA)}.${quoteName(name)}`;
const idOf = (name: string): string => name.slice(0, name.lastIndexOf('_'));
