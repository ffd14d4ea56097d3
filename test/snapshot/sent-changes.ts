import type { Random } from '../support/random.ts';
import { quoted, type TestSchema, type TestTable } from './random-schema.ts';

/** What others do to tables and what sessions set, between the statements that are captured. */

export function nameOf({ schema }: TestSchema, { name }: TestTable): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

/** What changes how a session reads its texts and values, and which tables its names mean. */
export function randomSetting(random: Random, schema: string, twin: string): string {
  const own = quoted(schema);
  const other = quoted(twin);
  return random.pick([
    `set search_path = ${other}, ${own}`,
    `set search_path = ${own}, ${other}`,
    `set search_path = ${own}`,
    `select set_config('search_path', '${other.replaceAll("'", "''")}', false)`,
    'set bytea_output = escape',
    "set datestyle = 'German, DMY'",
    'set intervalstyle = sql_standard',
    'set extra_float_digits = 0',
    'set row_security = off',
    'set session_replication_role = replica',
    'reset session_replication_role',
    'set plan_cache_mode = force_generic_plan',
    'set enable_seqscan = off',
    "set default_transaction_isolation = 'serializable'",
    'set default_transaction_read_only = on',
    'set default_transaction_read_only = off',
    'reset all; reset search_path',
    'discard plans',
    'deallocate all',
  ]);
}

/** What may be done to a table between two statements. */
export function randomChange(
  random: Random,
  schema: TestSchema,
  table: TestTable,
  another: TestTable,
  serial: number,
): string {
  const name = nameOf(schema, table);
  const other = nameOf(schema, another);
  const own = quoted(schema.schema);
  const column = random.pick(table.columns);
  const plain = table.key.includes(column.name) ? 'n' : column.name;
  return random.pick([
    `alter table ${name} add column "c${serial}" int default ${serial}`,
    `alter table ${name} add column "c${serial}" text`,
    `alter table ${name} drop column ${quoted(plain)} cascade`,
    `alter table ${name} rename column ${quoted(plain)} to "was ${serial}"`,
    `alter table ${name} alter column n type int8`,
    `alter table ${name} alter column n set default 5`,
    `alter table ${name} rename to "aside ${serial}"; alter table ${other} rename to ${quoted(table.name)}; alter table ${own}."aside ${serial}" rename to "other ${serial}"`,
    `create table ${own}."new ${serial}" (like ${name} including all); insert into ${own}."new ${serial}" select * from only ${name}; alter table ${name} rename to "old ${serial}"; alter table ${own}."new ${serial}" rename to ${quoted(table.name)}`,
    `create table ${own}."child ${serial}" () inherits (${name}); insert into ${own}."child ${serial}" select * from only ${name} limit 2`,
    `create table ${own}."part ${serial}" partition of ${name} for values from (50) to (60)`,
    `create trigger "nudge ${serial}" before update on ${name} for each row execute function ${own}.nudge()`,
    `create trigger "idle ${serial}" after delete or update on ${name} execute function ${own}.idle()`,
    `alter table ${name} disable trigger user`,
    `alter table ${name} disable trigger all`,
    `alter table ${name} enable trigger all`,
    `create index on ${name} (n)`,
    `create rule "r${serial}" as on delete to ${name} do also select 1`,
    `create rule "r${serial}" as on update to ${name} do instead nothing`,
    `alter table ${name} enable row level security`,
    `alter table ${name} add check (n is distinct from 4) not valid`,
    `create table ${own}."ref ${serial}" (x ${table.columns[0]!.type} references ${name} on delete cascade on update cascade); insert into ${own}."ref ${serial}" select ${quoted(table.columns[0]!.name)} from only ${name} limit 3`,
    `create function ${own}.same(int, int) returns bool language plpgsql as $$ begin return $1 operator(pg_catalog.=) $2; end $$; create operator ${own}.= (leftarg = int, rightarg = int, function = ${own}.same)`,
    `update ${name} set n = n + 1 where n < 3`,
    `delete from only ${name} where n = 2`,
    `insert into ${name} select * from ${name} limit 1`,
    `analyze ${name}`,
    `vacuum ${name}`,
    `grant all on ${name} to public`,
  ]);
}
