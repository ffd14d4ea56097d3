import { CIRCUMSTANCES, type Lacking, NO_ROWS, OID_OF_ONE, RIGHTS } from './queries.ts';

/**
 * All that a plan for one table by itself rests on, as one text: what its name ($1) stands for, the versions of the
 * catalog's rows of that table, and the session's circumstances. It says less than a lookup (checks, keys and NOT NULL are in the
 * rows of the table, its indexes and columns as well), and each part is read where its table's row is: the server
 * parses and plans that in two thirds of the time.
 */
function brief(oid: string, lacking: Lacking): string {
  const versions = (id: string, from: string) =>
    `ARRAY(SELECT pg_catalog.concat_ws(' ', ${id}, v.xmin, v.ctid) FROM ${from} ORDER BY ${id})`;
  const of = (table: string, column: string, id: string) =>
    versions(`v.${id}`, `pg_catalog.${table} v WHERE v.${column} OPERATOR(pg_catalog.=) x.oid`);
  const unless = (lacks: boolean, part: string) => (lacks ? NO_ROWS : part);
  const parts = [
    of('pg_attribute', 'attrelid', 'attnum'),
    of('pg_index', 'indrelid', 'indexrelid'),
    // A foreign key has triggers on both sides.
    unless(
      lacking.triggers,
      versions(
        'v.oid',
        `pg_catalog.pg_constraint v WHERE v.conrelid OPERATOR(pg_catalog.=) x.oid AND v.contype OPERATOR(pg_catalog.=) 'f'`,
      ),
    ),
    unless(lacking.triggers, of('pg_trigger', 'tgrelid', 'oid')),
    unless(
      lacking.triggers,
      versions(
        'v.oid',
        `pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint v ON v.oid OPERATOR(pg_catalog.=) g.tgconstraint
          WHERE g.tgrelid OPERATOR(pg_catalog.=) x.oid`,
      ),
    ),
    unless(lacking.rules, of('pg_rewrite', 'ev_class', 'oid')),
    unless(lacking.rowSecurity, of('pg_policy', 'polrelid', 'oid')),
    unless(lacking.kin, of('pg_inherits', 'inhparent', 'inhrelid')),
    unless(lacking.kin, of('pg_inherits', 'inhrelid', 'inhparent')),
  ];
  return `pg_catalog.concat_ws(' | ', ${OID_OF_ONE},
    (SELECT pg_catalog.concat_ws(' ', x.relnamespace::pg_catalog.regnamespace, ${RIGHTS}, x.xmin, x.ctid, ${parts.join(', ')})
       FROM pg_catalog.pg_class x WHERE x.oid OPERATOR(pg_catalog.=) ${oid}::pg_catalog.oid),
    ${CIRCUMSTANCES})`;
}

export const briefQuery = (oid: number, lacking: Lacking): string => `SELECT ${brief(`'${oid}'`, lacking)}`;

/** The table, in what is asked besides. */
export const THE_TABLE = '$3';

/**
 * Fails, by a division by zero, where that is another text than it was ($2); gives what is asked besides. It is one text for
 * all tables that lack the same, so that the server may keep it as it has read it.
 */
export const stillSoQuery = (lacking: Lacking, besides: string): string => `
SELECT ${besides}, 1 OPERATOR(pg_catalog./) CASE
  WHEN ${brief(THE_TABLE, lacking)} COLLATE pg_catalog."C" OPERATOR(pg_catalog.=) $2::pg_catalog.text THEN 1 ELSE 0 END`;
