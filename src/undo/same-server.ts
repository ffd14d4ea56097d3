import type { Manifest } from '../snapshot/manifest.ts';
import { textArray } from '../trash/trial.ts';
import { refuse } from './outcome.ts';
import type { UndoSession } from './session.ts';

/**
 * Whether the transaction of a snapshot is one that this server has had. One that is under way may be above all that are
 * over, and is known by its lock.
 */
const HAS_BEEN = `SELECT $1::xid8 < pg_snapshot_xmax(pg_current_snapshot())
  OR EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'transactionid' AND l.transactionid = $1::xid8::xid)`;

/** What has another name than in the snapshot, though nothing has renamed it since: its row in the catalog is older. */
const OTHERS = `SELECT w.i, n.nspname || '.' || c.relname
  FROM ROWS FROM (unnest($2::oid[]), unnest($3::text[]), unnest($4::text[])) WITH ORDINALITY w(oid, schema, name, i)
  JOIN pg_class c ON c.oid = w.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE (n.nspname, c.relname) <> (w.schema, w.name)
   AND pg_snapshot_xmax(pg_current_snapshot())::text::numeric - $1::text::numeric < ${2 ** 31 - 1}
   AND age(c.xmin) > age($1::xid8::xid) AND age(n.xmin) > age($1::xid8::xid)
   AND age(c.xmin) < ${2 ** 31 - 1}`;

/**
 * Tables are found by their OIDs, which say nothing on another server, nor where a dump was restored: there other tables
 * have them. The number of the snapshot's transaction tells that of a server that has not come so far, and a name that was
 * never changed tells it of the others.
 */
export async function refuseOtherServer(session: UndoSession, { xid, tables }: Manifest): Promise<void> {
  const [known] = await session.query(HAS_BEEN, [xid]);
  if (known?.[0] !== 't') {
    const reason = `this server has had no transaction of its number (${xid}) yet: it is another server, or its data was restored, and other tables may have the OIDs of those in the snapshot`;
    refuse({ table: '', reason });
  }
  const others = await session.query(OTHERS, [
    xid,
    `{${tables.map(({ oid }) => oid).join(',')}}`,
    ...(['schema', 'name'] as const).map((part) => textArray(tables.map((table) => table[part]))),
  ]);
  if (others.length === 0) return;
  refuse(
    ...others.map(([i, now]) => {
      const { schema, name } = tables[Number(i) - 1]!;
      const reason = `${now} has its OID here and was not renamed since, so that this is another server than that of the snapshot, or its data was restored from a dump`;
      return { table: `${schema}.${name}`, reason };
    }),
  );
}
