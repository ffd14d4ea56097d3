import { quoteLiteral, quoteName } from '../../src/catalog/quote.ts';
import { type Dropped, restoreWithin } from '../../src/trash/restore.ts';
import { onHidden } from '../../src/trash/session.ts';
import type { ColumnPart } from '../../src/trash/table-definition.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import type { Random } from '../support/random.ts';
import type { RawClient } from '../support/raw-client.ts';

/** Rows that are put in and changed after an ALTER, with values that a type of before may not hold; and their undo. */

const VALUES: readonly (readonly [RegExp, readonly string[]])[] = [
  [/\[\]$/, ['{1,2}', '{}', '{1.5,NULL}']],
  [/^(numeric|double|real)/, ['7', '2.5', '2.50', '1.23999', '0.1', '-0', 'NaN', '123456.789', '1e20']],
  [/^(bigint|integer|smallint|oid)/, ['7', '300', '70000', '5000000000', '-1']],
  [/^timestamp/, ['2026-01-01 10:00:00.6', '2026-01-01 10:00', '2026-01-01', 'infinity']],
  [/^(date|time)/, ['2026-01-01', '10:00:00.5']],
  [/^json/, ['{"a": 1, "a": 2}', '{"a": 1}', '5']],
  [/^bit/, ['101', '101010']],
  [/^bool/, ['true']],
  [/^(text|char|name|bytea)/, ['x', '007', 'so', 'abc   ', 'a text that is longer than twenty characters']],
];

const ATTEMPTS = 4;

/**
 * Whether an undo leaves every value that has come since as it was, or all as it was. It is tried with several changes,
 * each taken back before the next.
 */
export async function undoneSince(random: Random, client: RawClient, moved: Dropped): Promise<string[]> {
  const problems: string[] = [];
  for (let i = 0; i < ATTEMPTS; i++) {
    await client.rows('begin');
    problems.push(...(await attempt(random, client, moved)));
    await client.rows('rollback');
  }
  return problems;
}

async function attempt(random: Random, client: RawClient, moved: Dropped): Promise<string[]> {
  const columns = retypedColumns(moved);
  const [table] = moved.altered!.tables;
  const at = `${quoteName(table!.schema)}.${quoteName(table!.name)}`;
  const changes = await change(random, client, at, columns);
  if (changes.length === 0) return [];
  const texts = columns.map(({ after }) => `${quoteName(after.name)}::${after.type}::text`);
  const read = `select id::text, ${texts.join(', ')} from ${at} where id::text in ('1', '901', '902') order by 1`;
  const all = `select tableoid, t::text from ${at} t order by 1, 2`;
  const before = JSON.stringify(await client.rows(all));
  const was = await client.rows(read);
  const onConflict = random.chance(0.5) ? 'skip' : 'fail';
  const session = onHidden(new HiddenClient(client));
  const done = await restoreWithin(session, moved, { onConflict });
  const told = (problem: string) => `${changes.join('; ')}; undone with ${onConflict}: ${problem}`;
  if (done.kind === 'conflict')
    return before === JSON.stringify(await client.rows(all)) ? [] : [told('refused, and yet not as it was')];
  if (was.length === 0) return [];
  // A row that has not changed has its value of before, whatever USING made of it.
  const touched = (id: string) => id !== '1' || changes.some((sql) => sql.startsWith('update'));
  const is = new Map((await client.rows(read)).map((row) => [row[0], row]));
  return was
    .filter(([id]) => touched(id!))
    .filter((row) => !row.every((value, i) => isKept(value, is.get(row[0])?.[i] ?? null)))
    .map((row) => told(`${JSON.stringify(row)} has become ${JSON.stringify(is.get(row[0]))}`));
}

/** A numeric may get zeros behind it. */
function isKept(was: string | null, is: string | null): boolean {
  if (was === is) return true;
  if (was === null || is === null || !is.startsWith(was)) return false;
  return /^-?\d+(\.\d+)?$/.test(was) && (was.includes('.') ? /^0+$/ : /^\.0+$/).test(is.slice(was.length));
}

interface Retyped {
  readonly before: ColumnPart;
  readonly after: ColumnPart;
}

function retypedColumns({ altered }: Dropped): Retyped[] {
  const { tables, changes, retyped } = altered!;
  return changes.flatMap(({ table, section, before, after }) =>
    table === tables[0]!.oid &&
    section === 'columns' &&
    before !== null &&
    after !== null &&
    retyped?.includes(String(before['name']))
      ? [{ before: before as ColumnPart, after: after as ColumnPart }]
      : [],
  );
}

/** Those that PostgreSQL refuses are left out. */
async function change(
  random: Random,
  client: RawClient,
  at: string,
  columns: readonly Retyped[],
): Promise<string[]> {
  const made: string[] = [];
  const wanted = random.between(1, 2);
  const known = columns.flatMap(({ after }) => {
    const values = VALUES.find(([type]) => type.test(after.type))?.[1];
    return values === undefined || after.name === 'id' ? [] : [{ name: quoteName(after.name), values }];
  });
  // The first few may be refused, by a check or for their type.
  for (let i = 0; i < 8 && made.length < wanted && known.length > 0; i++) {
    const { name, values } = random.pick(known);
    const value = quoteLiteral(random.pick(values));
    const sql = random.chance(0.3)
      ? `update ${at} set ${name} = ${value} where id = 1`
      : `insert into ${at} (id, ${name}) overriding system value values (${901 + made.length}, ${value})`;
    await client.rows('savepoint change');
    const messages = await client.query(sql);
    if (messages.some(({ type }) => type === 'E')) await client.rows('rollback to change');
    else made.push(sql);
  }
  return made;
}
