import { quoteName, quoteQualified } from '../catalog/quote.ts';
import type { Column, Relation } from '../catalog/relation.ts';
import type { CascadeEdge, CascadeGraph } from './cascade.ts';

/**
 * The queries of a capture. A row is told by its place: the table that stores it (tab) and its ctid (tid). All
 * names are quoted and all operators are PostgreSQL's own, whatever the session's search_path is.
 */

const EQUALS = 'OPERATOR(pg_catalog.=)';

/** The statement's own rows, as a query of their places; `key` gives those whose key of an edge will change. */
export interface SeedSql {
  readonly places: string;
  readonly keyChanged: (edge: CascadeEdge) => string;
}

/** The rows that hang together by foreign keys, as clauses of WITH. */
export interface CascadeSql {
  readonly clauses: string;
  /** A query of the places of the rows of a node. */
  readonly places: (node: number) => string;
}

export function placesOf(reference: string): string {
  const name = quoteName(reference);
  return `${name}.tableoid AS tab, ${name}.ctid AS tid`;
}

/** What the columns of a view's rows are called that tell where they are stored. */
export const VIEW_PLACE = { table: 'holdfast tab', row: 'holdfast tid' } as const;

export function placesOfView(reference: string): string {
  const name = quoteName(reference);
  return `${name}.${quoteName(VIEW_PLACE.table)} AS tab, ${name}.${quoteName(VIEW_PLACE.row)} AS tid`;
}

export function from(relation: Relation, only = relation.kind !== 'partitioned table'): string {
  return `${only ? 'ONLY ' : ''}${quoteQualified(relation.schema, relation.name)}`;
}

/**
 * What of a row is captured: where it is, and its columns, but for those that the server computes. What is sent of xml
 * has no declaration, or another than was stored; a cast leaves it as it is.
 */
export function capturedColumns(alias: string, columns: readonly Column[]): string {
  const name = quoteName(alias);
  return [`${name}.tableoid`, `${name}.ctid`, ...valuesOf(alias, columns)].join(', ');
}

/** The columns alone. */
export function valuesOf(alias: string, columns: readonly Column[]): string[] {
  return columns.map(({ name, xml }) => {
    const value = `${quoteName(alias)}.${quoteName(name)}`;
    return xml === 'plain' ? `${value}::pg_catalog.text` : value;
  });
}

/** As strong a lock as the statement itself will take, so that nobody waits longer for it than without a capture. */
export type RowLock = 'FOR UPDATE' | 'FOR NO KEY UPDATE';

/** The rows at the places of a query, locked. */
export function rowsAt(
  relation: Relation,
  only: boolean,
  columns: readonly Column[],
  found: { readonly clauses: string; readonly places: string },
  lock: RowLock,
): string {
  return `${found.clauses}SELECT ${capturedColumns('r', columns)} FROM (${found.places}) h
  JOIN ${from(relation, only)} r ON r.ctid ${EQUALS} h.tid AND r.tableoid ${EQUALS} h.tab
  ${lock} OF r`;
}

export function cascadeSql(graph: CascadeGraph, seeds: readonly SeedSql[]): CascadeSql {
  return graph.cyclic ? recursive(graph, seeds) : inLevels(graph, seeds);
}

const rowsName = (node: number): string => `"holdfast rows ${node}"`;
const keysName = (edge: number): string => `"holdfast keys ${edge}"`;

/** Whether the change that an edge carries on is told by the statement's own new values. */
function byKeyChange(graph: CascadeGraph, edge: CascadeEdge): boolean {
  const node = graph.nodes[edge.from]!;
  return node.level === 0 && node.change.kind === 'update';
}

function keyClauses(graph: CascadeGraph, seeds: readonly SeedSql[]): string[] {
  return graph.edges.flatMap((edge, i) =>
    byKeyChange(graph, edge)
      ? [`${keysName(i)} AS MATERIALIZED (${seeds[edge.from]!.keyChanged(edge)})`]
      : [],
  );
}

/** Without cycles each node is a clause over those before it, so that the server may join as it likes. */
function inLevels(graph: CascadeGraph, seeds: readonly SeedSql[]): CascadeSql {
  const clauses = keyClauses(graph, seeds);
  for (const id of inOrder(graph)) {
    const seed = seeds[id];
    const parts = seed === undefined ? [] : [seed.places];
    graph.edges.forEach((edge, i) => {
      if (edge.to !== id) return;
      parts.push(referrers(edge, byKeyChange(graph, edge) ? keysName(i) : rowsName(edge.from)));
    });
    // A row that refers in two ways is one row.
    clauses.push(`${rowsName(id)} AS MATERIALIZED (${parts.map((part) => `(${part})`).join(' UNION ')})`);
  }
  return {
    clauses: `WITH ${clauses.join(',\n')}\n`,
    places: (node) => `SELECT tab, tid FROM ${rowsName(node)}`,
  };
}

function inOrder(graph: CascadeGraph): number[] {
  const out: number[] = [];
  const visit = (id: number): void => {
    if (out.includes(id)) return;
    for (const edge of graph.edges) if (edge.to === id) visit(edge.from);
    out.push(id);
  };
  for (const { id } of graph.nodes) visit(id);
  return out;
}

/** The rows that refer to those at places that a clause holds. */
function referrers(edge: CascadeEdge, places: string): string {
  return `SELECT c.tableoid AS tab, c.ctid AS tid FROM ${from(edge.referrer)} c WHERE EXISTS (
    SELECT FROM ${from(edge.referenced)} p JOIN ${places} h ON ${at('p')} WHERE ${matches(edge)})`;
}

/** With cycles all rows are in one clause that feeds itself, each with the number of its node. */
function recursive(graph: CascadeGraph, seeds: readonly SeedSql[]): CascadeSql {
  const starts = seeds.map(({ places }, i) => `SELECT ${i} AS node, s.tab, s.tid FROM (${places}) s`);
  const steps: string[] = [];
  graph.edges.forEach((edge, i) => {
    if (byKeyChange(graph, edge)) {
      starts.push(`SELECT ${edge.to}, s.tab, s.tid FROM (${referrers(edge, keysName(i))}) s`);
      // The row may be reached on another way as well, and change again; then what refers to it is not known.
    } else
      steps.push(`SELECT ${edge.to} AS node, c.tableoid AS tab, c.ctid AS tid
      FROM ${from(edge.referenced)} p JOIN ${from(edge.referrer)} c ON ${matches(edge)}
      WHERE h.node ${EQUALS} ${edge.from} AND ${at('p')}`);
  });
  const clauses = [
    ...keyClauses(graph, seeds),
    `"holdfast rows"(node, tab, tid) AS (
  (${starts.join('\n UNION ALL ')})
  UNION SELECT x.node, x.tab, x.tid FROM "holdfast rows" h CROSS JOIN LATERAL (${steps.join('\n UNION ALL ')}) x)`,
  ];
  return {
    clauses: `WITH RECURSIVE ${clauses.join(',\n')}\n`,
    places: (node) => `SELECT tab, tid FROM "holdfast rows" WHERE node ${EQUALS} ${node}`,
  };
}

function at(alias: string): string {
  return `${alias}.ctid ${EQUALS} h.tid AND ${alias}.tableoid ${EQUALS} h.tab`;
}

/** The condition of a foreign key, as PostgreSQL itself compares: in the collation of what is referred to. */
function matches({ reference, referenced, referrer }: CascadeEdge): string {
  return reference.columns
    .map((name, i) => {
      const other = reference.referrerColumns[i]!;
      const collation = collationOf(referenced, name);
      const collate =
        collation === collationOf(referrer, other) ? '' : ` COLLATE ${collation ?? 'pg_catalog."default"'}`;
      return `p.${quoteName(name)} OPERATOR(${reference.operators[i]!}) c.${quoteName(other)}${collate}`;
    })
    .join(' AND ');
}

function collationOf(relation: Relation, name: string): string | null {
  return relation.columns.find((column) => column.name === name)?.collation ?? null;
}
