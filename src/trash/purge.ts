import { isWholeId, timesOfIds } from '../base/ids.ts';
import { quoteName } from '../catalog/quote.ts';
import { RELATION_WORDS, TRASH_SCHEMA } from './definitions.ts';
import { json, type TrashSession } from './session.ts';

/** What one DROP has left in the trash of a database. */
export interface TrashEntry {
  /** That of the snapshot. */
  readonly id: string;
  readonly droppedAtMs: number;
  readonly objects: number;
  readonly bytes: number;
}

export interface Purged {
  readonly id: string;
  /** Objects that stay, because something depends on them or the role may not drop them: the first reason. */
  readonly kept: { readonly objects: number; readonly reason: string } | null;
}

interface Standing {
  readonly name: string;
  /** pg_class.relkind, or t, f, s: type, function, statistics. */
  readonly kind: string;
  readonly bytes: number;
}

/** Only what carries a name of ours; what somebody else has put into the schema is left alone. */
const STANDING = `
SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', x.name, 'kind', x.kind, 'bytes', x.bytes) ORDER BY x.name)::pg_catalog.text FROM (
  SELECT c.relname AS name, c.relkind::pg_catalog.text AS kind,
      CASE WHEN c.relkind = ANY ('{r,m}'::pg_catalog."char"[]) THEN pg_catalog.pg_total_relation_size(c.oid) ELSE 0 END AS bytes
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = '${TRASH_SCHEMA}' AND c.relkind = ANY ('{r,p,f,v,S}'::pg_catalog."char"[])
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

/** Drops for good what was dropped before then, each DROP's objects in a transaction of their own. */
export async function purgeTrash(session: TrashSession, droppedBeforeMs: number): Promise<readonly Purged[]> {
  const out: Purged[] = [];
  for (const { id, droppedAtMs } of await listTrash(session)) {
    if (droppedAtMs < droppedBeforeMs) out.push(await purgeOne(session, id));
  }
  return out;
}

export async function purgeOne(session: TrashSession, id: string): Promise<Purged> {
  await session.query('BEGIN');
  try {
    const kept = await dropAll(session, id);
    await session.query('COMMIT');
    return { id, kept };
  } catch (error) {
    await session.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** Again and again, because they depend on each other, until nothing more goes. Never with CASCADE. */
async function dropAll(session: TrashSession, id: string): Promise<Purged['kept']> {
  let before = Number.POSITIVE_INFINITY;
  for (;;) {
    const found = (await json<readonly Standing[] | null>(session, STANDING)) ?? [];
    const left = found.filter(({ name }) => idOf(name) === id);
    if (left.length === 0) return null;
    let reason = '';
    // All tables at once first, since foreign keys may run both ways.
    const tables = left.filter(({ kind }) => kind === 'r' || kind === 'p').map(({ name }) => inTrash(name));
    if (tables.length > 0) reason = await drop(session, `DROP TABLE ${tables.join(', ')}`);
    for (const { name, kind } of left) {
      const said = await drop(session, `DROP ${wordOf(kind)} IF EXISTS ${inTrash(name)}`);
      if (said !== '') reason = said;
    }
    if (left.length >= before) return { objects: left.length, reason };
    before = left.length;
  }
}

async function drop(session: TrashSession, sql: string): Promise<string> {
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
const wordOf = (kind: string): string => RELATION_WORDS[kind] ?? kind.toUpperCase();
const idOf = (name: string): string => name.slice(0, name.lastIndexOf('_'));
