const LITERAL = /'(?:[^']|'')*'/g;
const QUOTED = /"(?:[^"]|"")*"/g;
const NAME = String.raw`[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*`;
/** Of a name or an operator. */
const QUALIFIER = new RegExp(`(${NAME})\\.(?=[^\\s\\d(),])`, 'g');
/** What is named there is a table, which runs nothing by being named. */
const TABLES = new RegExp(`\\b(ALTER TABLE|ON|REFERENCES)\\s+(?:ONLY\\s+)?${NAME}\\.${NAME}`, 'g');

/**
 * Whether a statement, written as the server prints it with an empty search_path, names anything but tables that is
 * not PostgreSQL's own: functions, operators, types and collations of others are qualified there, and its own are not.
 */
export function namesForeignCode(sql: string): boolean {
  const bare = sql.replace(LITERAL, "''").replace(QUOTED, 'quoted').replace(TABLES, '$1 t');
  return [...bare.matchAll(QUALIFIER)].some(([, schema]) => schema !== 'pg_catalog');
}
