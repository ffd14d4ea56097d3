/** Where PostgreSQL's regression SQL is, as `src/test/regress/sql` of its sources, or null where it is not given. */
export function regressionFolder(): string | null {
  return process.env['POSTGRES_REGRESS_SQL'] ?? null;
}
