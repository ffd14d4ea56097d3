import { quoteLiteral, quoteQualified } from '../catalog/quote.ts';
import { capturedColumns } from './capture-sql.ts';
import type { CaptureSource, PlannedTable } from './plan.ts';

/** The queries that look for what a statement left behind in one table. */

const EQUALS = 'OPERATOR(pg_catalog.=)';

/** By its own name where the role may, because a part of a larger table is found slowly through the whole. */
function inTable(table: PlannedTable, source: CaptureSource): string {
  const name = table.direct ? `ONLY ${quoteQualified(table.schema, table.name)}` : source.from;
  return `FROM ${name} r WHERE r.tableoid ${EQUALS} ${table.oid}`;
}

/** The number of this transaction, in full and as rows carry it. */
const OWN = '(SELECT pg_catalog.pg_current_xact_id_if_assigned())';
const AFTER_OWN = `(r.xmin::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.-)
  ${OWN}::pg_catalog.xid::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.+) 4294967296) OPERATOR(pg_catalog.%) 4294967296`;

/**
 * Made by this transaction or one inside it, ended or not: their numbers follow its own, and a row that is seen
 * although its maker is in progress is one of ours. CASE keeps the costlier question for the few that are young.
 */
const MADE_BY_US = `CASE WHEN pg_catalog.age(r.xmin) OPERATOR(pg_catalog.<=) pg_catalog.age(${OWN}::pg_catalog.xid)
  THEN pg_catalog.pg_xact_status((${OWN}::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.+) ${AFTER_OWN})::pg_catalog.text::pg_catalog.xid8)
    OPERATOR(pg_catalog.=) 'in progress' ELSE false END`;

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
export function newRows(table: PlannedTable, source: CaptureSource, lastCommand: number): string {
  const since = `r.cmin::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.>) ${lastCommand}`;
  return `SELECT ${capturedColumns('r', source.columns)} ${inTable(table, source)} AND ${MADE_BY_US} AND ${since}`;
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
