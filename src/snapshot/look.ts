import { quoteLiteral, quoteName, quoteQualified } from '../catalog/quote.ts';
import type { Column } from '../catalog/relation.ts';
import { capturedColumns } from './capture-sql.ts';
import type { CaptureSource, PlannedTable } from './plan.ts';

/** The queries that look for what a statement left behind in one table. */

const EQUALS = 'OPERATOR(pg_catalog.=)';

/** By its own name where the role may, because a part of a larger table is found slowly through the whole. */
function inTable(table: PlannedTable, source: CaptureSource): string {
  const name = table.direct ? `ONLY ${quoteQualified(table.schema, table.name)}` : source.from;
  return `FROM ${name} r WHERE r.tableoid ${EQUALS} ${table.oid}`;
}

/** The number of this transaction, in full. */
export const OWN = '(SELECT pg_catalog.pg_current_xact_id_if_assigned())';

/** Asked once, since millions of rows are compared with it. */
const OWN_AGE = `(SELECT pg_catalog.age(${OWN}::pg_catalog.xid))`;

/** By how much a number, as rows carry it, follows that of this transaction. */
const afterOwn = (xid: string): string => `(${xid}::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.-)
  ${OWN}::pg_catalog.xid::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.+) 4294967296) OPERATOR(pg_catalog.%) 4294967296`;

/**
 * Whether a number may be of this transaction or one inside it, ended or not: these follow its own, and are in progress.
 * CASE keeps the costlier question for the few that are young.
 */
export const isRunning = (
  xid: string,
): string => `CASE WHEN pg_catalog.age(${xid}) OPERATOR(pg_catalog.<=) ${OWN_AGE}
  THEN pg_catalog.pg_xact_status((${OWN}::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.+) ${afterOwn(xid)})::pg_catalog.text::pg_catalog.xid8)
    OPERATOR(pg_catalog.=) 'in progress' ELSE false END`;

/** A row that is seen although its maker is in progress is one of ours. */
export const MADE_BY_US = isRunning('r.xmin');

/**
 * Whether this transaction may have ended or locked a row, as a cursor sees it that was opened before. What has ended it is one
 * of our own numbers, which are no older than that of the transaction, or a multixact of which one is a member. Such a one
 * was made since, unless the very same was needed for another row before.
 */
export function mayBeEnded(nextMulti: string): string {
  const multi = 'pg_catalog.mxid_age(r.xmax)';
  return `r.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid AND (pg_catalog.age(r.xmax) OPERATOR(pg_catalog.<=) ${OWN_AGE}
       OR ${multi} OPERATOR(pg_catalog.>) 0 AND ${multi} OPERATOR(pg_catalog.<=) pg_catalog.mxid_age('${nextMulti}'::pg_catalog.xid))`;
}

/**
 * The newest versions of so many rows whose places ($1) are known, where there is a newer one. Of a single row it takes
 * the server less to plan.
 */
export function newestVersions(table: PlannedTable, source: CaptureSource, count: number): string {
  const name = `${quoteLiteral(quoteQualified(table.schema, table.name))}::pg_catalog.text`;
  const rows = `SELECT ${capturedColumns('r', source.columns)} ${inTable(table, source)}`;
  const newest = (place: string) => `pg_catalog.currtid2(${name}, ${place})`;
  const only = '($1::pg_catalog.tid[])[1]';
  if (count === 1)
    return `${rows} AND r.ctid ${EQUALS} (SELECT ${newest(only)}) AND r.ctid OPERATOR(pg_catalog.<>) ${only}`;
  return `${rows} AND r.ctid ${EQUALS} ANY (ARRAY(
    SELECT x.newest FROM (SELECT ${newest('o.tid')} AS newest, o.tid AS place
      FROM pg_catalog.unnest($1::pg_catalog.tid[]) o(tid) OFFSET 0) x
     WHERE x.newest OPERATOR(pg_catalog.<>) x.place))`;
}

/** Rows that still stand where they stood before ($1). */
export function survivors(table: PlannedTable, source: CaptureSource): string {
  return `SELECT pg_catalog.count(*)::pg_catalog.text ${inTable(table, source)}
    AND r.ctid ${EQUALS} ANY ($1::pg_catalog.tid[])`;
}

/** Every row that this transaction has made, after the commands before the statement. */
export function newRows(
  table: PlannedTable,
  source: CaptureSource,
  lastCommand: number,
  columns = capturedColumns('r', source.columns),
): string {
  const since = `r.cmin::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.>) ${lastCommand}`;
  return `SELECT ${columns} ${inTable(table, source)} AND ${MADE_BY_US} AND ${since}`;
}

/** The last command of this transaction that made a row which is there, or -1. */
export function lastCommand(table: PlannedTable, source: CaptureSource): string {
  return `SELECT coalesce(pg_catalog.max(r.cmin::pg_catalog.text::pg_catalog.int8), -1)::pg_catalog.text
    ${inTable(table, source)} AND ${MADE_BY_US}`;
}

/** Whether any of the tables still has a row. */
export function anyRowLeft(tables: readonly PlannedTable[]): string {
  const each = tables.map(({ schema, name }) => `EXISTS (SELECT FROM ONLY ${quoteQualified(schema, name)})`);
  return `SELECT CASE WHEN ${['false', ...each].join(' OR ')} THEN '1' ELSE '0' END`;
}

/** So far behind the last number that has ended no other is taken for that of a transaction. */
const NUMBERS_AHEAD = 1_000_000;

/**
 * Of places ($1), and what stands in xmax there ($2), those at which no row is seen any more: the number of the place, and
 * whether this transaction has ended it. Since the enders of others that are in progress end nothing, it has where the
 * ender is in progress. What stands there may be a multixact, which is told by its number; null where it may be both.
 * Numbers above $3 are of multixacts that were made since, and can be looked into.
 */
export function endedByUs(table: PlannedTable): string {
  const seen = `SELECT r.ctid AS tid FROM ONLY ${quoteQualified(table.schema, table.name)} r WHERE r.ctid ${EQUALS} ANY ($1::pg_catalog.tid[]) OFFSET 0`;
  const mayBeMulti = `(pg_catalog.mxid_age(p.x) OPERATOR(pg_catalog.>) 0 AND pg_catalog.mxid_age(p.x) OPERATOR(pg_catalog.<=) pg_catalog.mxid_age($3::pg_catalog.text::pg_catalog.xid))`;
  const last = `(SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.-) ${OWN}::pg_catalog.text::pg_catalog.int8)`;
  const mayBeXid = `(pg_catalog.age(p.x) OPERATOR(pg_catalog.<=) pg_catalog.age(${OWN}::pg_catalog.xid) AND (${afterOwn('p.x')}) OPERATOR(pg_catalog.<=) (${last} OPERATOR(pg_catalog.+) ${NUMBERS_AHEAD}))`;
  return `SELECT p.i, CASE WHEN ${mayBeMulti} AND ${mayBeXid} THEN NULL
      WHEN ${mayBeMulti} THEN EXISTS (SELECT FROM pg_catalog.pg_get_multixact_members(p.x) m
        WHERE m.mode ${EQUALS} ANY (ARRAY['nokeyupd', 'upd']::pg_catalog.text[]) AND ${isRunning('m.xid')})
      WHEN ${mayBeXid} THEN ${isRunning('p.x')} END::pg_catalog.text
    FROM (SELECT u.tid, u.x::pg_catalog.text::pg_catalog.xid AS x, u.i
      FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.tid[]), pg_catalog.unnest($2::pg_catalog.oid[])) WITH ORDINALITY u(tid, x, i)) p
   WHERE NOT EXISTS (SELECT FROM (${seen}) s WHERE s.tid ${EQUALS} p.tid)`;
}

/** So many transactions are looked at for what has become of them. */
const OTHERS_MAX = 100_000;

/**
 * Whether any transaction, of whomever and within another or not, has been taken back since a snapshot was taken, and whether
 * any has been committed; both null where they are too many.
 */
export function othersSince(snapshot: string): string {
  const then = `${quoteLiteral(snapshot)}::pg_catalog.pg_snapshot`;
  const number = (of: string) => `${of}::pg_catalog.text::pg_catalog.int8`;
  const since = number(`pg_catalog.pg_snapshot_xmax(${then})`);
  const now = number('pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())');
  const told = (
    what: string,
  ) => `CASE WHEN (${now} OPERATOR(pg_catalog.-) ${since}) OPERATOR(pg_catalog.<=) ${OTHERS_MAX}
    THEN (SELECT coalesce(pg_catalog.bool_or(s.status ${EQUALS} '${what}'), false) FROM ended s) END::pg_catalog.text`;
  return `WITH ended AS MATERIALIZED (SELECT pg_catalog.pg_xact_status(x.xid::pg_catalog.text::pg_catalog.xid8) AS status
      FROM (SELECT ${number('i.xid')} FROM pg_catalog.pg_snapshot_xip(${then}) i(xid) UNION ALL
        SELECT g FROM pg_catalog.generate_series(${since}, ${now} OPERATOR(pg_catalog.-) 1) g) x(xid)
     WHERE (${now} OPERATOR(pg_catalog.-) ${since}) OPERATOR(pg_catalog.<=) ${OTHERS_MAX})
    SELECT ${told('aborted')}, ${told('committed')}`;
}

/** Locks the rows of so many keys, each column's values an array of texts, as an UPDATE of other columns would; one after the other by their places. */
export function lockedByKeys({ schema, name }: PlannedTable, key: readonly Column[]): string {
  const arrays = key.map((_, i) => `pg_catalog.unnest($${i + 1}::pg_catalog.text[])`).join(', ');
  const columns = key.map((_, i) => `k${i}`).join(', ');
  const same = key.map(
    ({ name, type }, i) => `r.${quoteName(name)} OPERATOR(pg_catalog.=) u.k${i}::${type.formatted}`,
  );
  return `SELECT FROM ONLY ${quoteQualified(schema, name)} r
    WHERE EXISTS (SELECT FROM ROWS FROM (${arrays}) u(${columns}) WHERE ${same.join(' AND ')})
    ORDER BY r.ctid FOR NO KEY UPDATE OF r`;
}
