import { LIMITS } from '../base/limits.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { quoteName, quoteQualified } from '../catalog/quote.ts';
import type { DropColumns } from '../sql/named/drop-target.ts';
import { makeCopy } from './column-copy.ts';
import { COLUMN_FACTS, type ColumnFacts } from './column-facts.ts';
import { type ColumnValues, giveRestBack, giveValuesBack, removeCopy, sameTable } from './column-values.ts';
import { comment, grants, named, optionList, TRASH_SCHEMA } from './definitions.ts';
import {
  CHANGED,
  type Changed,
  foundOf,
  MAKE_TRASH,
  type MoveOutcome,
  NOTHING_DROPPED,
  orAsBefore,
  precheckOf,
  problemToMove,
  problemToTry,
  sameRoots,
  untilUnchanged,
} from './move.ts';
import { json, type TrashSession } from './session.ts';
import { withStates } from './standing.ts';
import type { RestoreStep } from './steps.ts';
import { given, goneOf, reachOf, runDrop, type Trial, textArray, tryDrop } from './trial.ts';

export interface ColumnsRequest {
  /** The client's own statement. */
  readonly text: string;
  readonly drop: DropColumns;
  readonly id: string;
  /** Up to how large a table is copied, where not as ever. */
  readonly bytesMax?: number | undefined;
}

/**
 * Runs an ALTER TABLE … DROP COLUMN with its values kept: the rows are copied into a table in the trash, under the lock
 * that the statement takes. The values are given back to the rows that they are of, in a column made anew.
 */
export async function dropColumns(
  connection: HiddenConnection,
  request: ColumnsRequest,
): Promise<MoveOutcome> {
  return await orAsBefore(connection, (session) =>
    untilUnchanged(session, () => attempt(connection, session, request)),
  );
}

/**
 * Invariant: the statement finds by itself which table its name means, so that by the OID that was locked and copied it
 * is seen afterwards to have changed that one, and to have taken no more than in the trial.
 */
async function attempt(
  connection: HiddenConnection,
  session: TrashSession,
  { text, drop, id, bytesMax }: ColumnsRequest,
): Promise<MoveOutcome | Changed> {
  const name = quoteQualified(drop.table.schema, drop.table.name);
  const check = () => precheckOf(session, [name], 'relation');
  const precheck = await check();
  const problem = problemToTry(precheck, 'ALTER');
  if (problem !== null) return { kind: 'none', reason: problem };
  const roots = foundOf(precheck);
  const reach = await reachOf(session, roots);
  if (reach.length > LIMITS.trashObjectsMax) return { kind: 'none', reason: 'too many objects depend on it' };
  const trial = await tryDrop(connection, session, text, reach);
  if (trial.kind === 'refused') return trial;
  const { tag, notices } = trial;
  const [root] = roots;
  if (root === undefined) {
    if (!sameRoots(await check(), precheck)) return CHANGED;
    return { kind: 'harmless', why: NOTHING_DROPPED, tag, notices };
  }
  if (trial.lost.length > 0) await session.query(`LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`);
  const facts = await json<ColumnFacts>(session, COLUMN_FACTS, [
    ...given(trial.gone),
    String(root[1]),
    textArray(drop.columns),
  ]);
  if (!sameRoots(await check(), precheck)) return CHANGED;
  const losing = facts.columns.length;
  if (lostBy(trial, root) !== losing) return CHANGED;
  if (losing === 0) return { kind: 'harmless', why: NOTHING_DROPPED, tag, notices };
  const differs = async () => {
    const run = await runDrop(connection, session, text, reach);
    if (run.kind === 'refused') return run;
    return lostBy(run, root) === losing && sameObjects(run.gone, trial.gone) ? null : CHANGED;
  };
  if (root[2] === true && facts.strangers === null && !facts.table.related) {
    return (await differs()) ?? { kind: 'harmless', why: 'the table is temporary', tag, notices };
  }
  const reason = problemToMove(precheck) ?? problemOf(facts, bytesMax);
  if (reason !== null) return { kind: 'none', reason };
  if (precheck.trash === null) for (const sql of MAKE_TRASH) await session.query(sql);
  const plan = await copyColumns(session, facts, id);
  const otherwise = await differs();
  if (otherwise !== null) return otherwise;
  return {
    kind: 'moved',
    tag,
    notices,
    moved: { moves: [], ...(await keptOf(session, facts, drop.columns, plan)), binds: [] },
  };
}

async function keptOf(
  session: TrashSession,
  { table }: ColumnFacts,
  columns: readonly string[],
  { copy, restores, rest }: ColumnsPlan,
) {
  const { schema, oid } = table;
  const object = {
    oid,
    kind: 'column',
    schema,
    name: `${table.name}.${columns.join(', ')}`,
    trash_name: copy,
  };
  return {
    restores,
    rest,
    objects: await withStates(session, [object]),
    notes: [`the columns of ${named(table)} come back as its last ones`],
  };
}

const SAVEPOINT = 'holdfast_columns';

/**
 * The same for whatever drops columns of a table that is locked, such as the undo of an undo; a reason where they cannot
 * be kept. `run` is called twice, and says whether it has dropped them.
 */
export async function keepColumns(
  session: TrashSession,
  {
    oid,
    columns,
    id,
    run,
  }: {
    readonly oid: number;
    readonly columns: readonly string[];
    readonly id: string;
    readonly run: () => Promise<boolean>;
  },
): Promise<Awaited<ReturnType<typeof keptOf>> | string> {
  const [row] = await session.query(`SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid`);
  const reach = await reachOf(session, [[Number(row![0]), oid, false]]);
  await session.query(`SAVEPOINT ${SAVEPOINT}`);
  if (!(await run())) return 'they could not be dropped';
  const gone = await goneOf(session, reach);
  await session.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  const facts = await json<ColumnFacts>(session, COLUMN_FACTS, [
    ...given(gone),
    String(oid),
    textArray(columns),
  ]);
  const reason = problemOf(facts);
  if (reason !== null) return reason;
  const plan = await copyColumns(session, facts, id);
  if (!(await run())) return 'they could not be dropped';
  if (!sameObjects(await goneOf(session, reach), gone)) return 'what goes with them keeps changing';
  return await keptOf(session, facts, columns, plan);
}

/** How many columns the table itself has lost. */
function lostBy({ lost }: Trial, [classid, objid]: readonly [number, number, ...unknown[]]): number {
  return lost.find((each) => each[0] === classid && each[1] === objid)?.[2] ?? 0;
}

function sameObjects(some: Trial['gone'], others: Trial['gone']): boolean {
  const keys = (each: Trial['gone']) => JSON.stringify(each.map(([classid, objid]) => [classid, objid]));
  return keys(some) === keys(others);
}

function problemOf(
  { table, columns, key, strangers, storedRows }: ColumnFacts,
  bytesMax: number = LIMITS.trashCopyBytes,
): string | null {
  if (strangers !== null) return `it would take along ${strangers[0]}`;
  if (table.kind !== 'r' || table.related) return 'the table has partitions, parents or children';
  if (storedRows !== null) return `${storedRows} has values of the type of its rows, which would lose a part`;
  if (table.rowSecurity) return 'row security hides rows of the table from the role';
  if (table.bytes > bytesMax) return `the table takes ${table.bytes} bytes, and is copied up to ${bytesMax}`;
  if (columns.some(({ identity }) => identity !== '')) return 'it drops an identity';
  if (key === null)
    return 'the table has no key of plain types that stays, by which values could be put back';
  return null;
}

interface ColumnsPlan {
  readonly copy: string;
  readonly restores: readonly RestoreStep[];
  readonly rest: readonly RestoreStep[];
}

/** The whole rows are copied, because a key alone does not tell later whether a row is still the same. */
async function copyColumns(session: TrashSession, facts: ColumnFacts, id: string): Promise<ColumnsPlan> {
  const { table, columns, key } = facts;
  const name = `${id}_${table.oid}`;
  const copy = quoteQualified(TRASH_SCHEMA, name);
  const values = columns.flatMap((each) => (each.generated === '' ? [each.name] : []));
  const copied = values.length > 0 ? [...facts.kept, ...values] : (key ?? []);
  const select = `SELECT ${copied.map(quoteName).join(', ')} FROM ONLY ${named(table)}`;
  const rows = await makeCopy(session, copy, select);
  const of = { table: named(table), oid: table.oid, copy, key: key ?? [], kept: facts.kept, values };
  return { copy: name, restores: restoresOf(facts, { ...of, rows }), rest: restOf({ ...of, rows }) };
}

/** For what a first undo has left over. */
function restOf(values: ColumnValues): readonly RestoreStep[] {
  if (values.values.length === 0) return [];
  const what = `the values of ${values.table} that were left over`;
  return [sameTable(values), giveRestBack(values)].map((sql) => ({ sql, what }));
}

function restoresOf(facts: ColumnFacts, values: ColumnValues): readonly RestoreStep[] {
  const { table, columns } = facts;
  const at = values.table;
  const restores: RestoreStep[] = [];
  const restore = (what: string, ...sqls: readonly string[]) => {
    for (const sql of sqls) restores.push({ sql, what });
  };
  restore(`the table ${at}`, sameTable(values));
  for (const { name, type, collation, generated, expression } of columns) {
    const collate = collation === null ? '' : ` COLLATE ${collation}`;
    const computed = generated === 's' ? ' STORED' : ' VIRTUAL';
    const as = generated === '' ? '' : ` GENERATED ALWAYS AS (${expression})${computed}`;
    restore(`the column ${name}`, `ALTER TABLE ${at} ADD COLUMN ${quoteName(name)} ${type}${collate}${as}`);
  }
  if (values.values.length > 0) restore(`the values of ${at}`, giveValuesBack(values));
  for (const { name, definition, comment: text } of facts.constraints ?? []) {
    const constraint = `CONSTRAINT ${quoteName(name)}`;
    restore(`the constraint ${name}`, `ALTER TABLE ${at} ADD ${constraint} ${definition}`);
    restore(`the constraint ${name}`, ...comment(`${constraint} ON ${at}`, text));
  }
  for (const { schema, name, definition, comment: text } of facts.indexes ?? []) {
    restore(`the index ${name}`, definition, ...comment(`INDEX ${named({ schema, name })}`, text));
  }
  for (const column of columns)
    restore(`the column ${column.name}`, ...propertiesOf(at, table.owner, column));
  restore('the copy', removeCopy(values));
  return restores;
}

/** What a column has beside its type and values. */
function propertiesOf(at: string, owner: string, column: ColumnFacts['columns'][number]): string[] {
  const name = quoteName(column.name);
  const alter = `ALTER TABLE ${at} ALTER COLUMN ${name}`;
  const hasDefault = column.generated === '' && column.expression !== null;
  return [
    ...(hasDefault ? [`${alter} SET DEFAULT ${column.expression}`] : []),
    ...(column.notNull ? [`${alter} SET NOT NULL`] : []),
    ...(column.storage === null ? [] : [`${alter} SET STORAGE ${column.storage}`]),
    ...(column.compression === null ? [] : [`${alter} SET COMPRESSION ${column.compression}`]),
    ...(column.statistics === null ? [] : [`${alter} SET STATISTICS ${column.statistics}`]),
    ...(column.options === null ? [] : [`${alter} SET (${optionList(column.options)})`]),
    ...comment(`COLUMN ${at}.${name}`, column.comment),
    ...grants(at, owner, true, column.acl, column.name),
  ];
}
