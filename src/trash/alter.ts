import { LIMITS } from '../base/limits.ts';
import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import { quoteLiteral, quoteQualified } from '../catalog/quote.ts';
import type { AlterStatement } from '../sql/alter-target.ts';
import { planAlterBack, type SequencePlaces } from './alter-plan.ts';
import { type Altered, changesBetween, describeChange, deviations } from './definition-changes.ts';
import { named } from './definitions.ts';
import {
  CHANGED,
  type Changed,
  foundOf,
  given,
  type MoveOutcome,
  orAsBefore,
  precheckOf,
  problemToTry,
  reachOf,
  runDrop,
  sameRoots,
  type Trial,
  untilUnchanged,
} from './move.ts';
import { emptyingPath, GIVEN, IS, LIST, pinned } from './queries.ts';
import { hiddenQuery, json, type TrashSession } from './session.ts';
import type { RestoreStep } from './steps.ts';
import { DEFINITIONS, definitionsOf, type TableDefinition } from './table-definition.ts';

export interface AlterRequest {
  /** The client's own statement. */
  readonly text: string;
  readonly alter: AlterStatement;
  readonly id: string;
}

const NOTHING_LOST = 'it takes nothing away';

/**
 * Runs an ALTER TABLE with all that it takes away kept: the definitions of the table, and of what is below it, are
 * compared before it and after it, and the way back is made from what differs. Where the table is small that way is
 * gone, and what comes of it compared with what was, before anything is committed.
 */
export async function alterKept(connection: HiddenConnection, request: AlterRequest): Promise<MoveOutcome> {
  return await orAsBefore(connection, (session) =>
    untilUnchanged(session, () => attempt(connection, session, request)),
  );
}

/**
 * Invariant: the table, and what is below it, is locked from before its definition is read until the statement has run,
 * and its name means the same then; all that has gone is a part of a definition that was read.
 */
async function attempt(
  connection: HiddenConnection,
  session: TrashSession,
  { text, alter, id }: AlterRequest,
): Promise<MoveOutcome | Changed> {
  const name = quoteQualified(alter.table.schema, alter.table.name);
  const check = () => precheckOf(session, [name], false);
  const precheck = await check();
  const problem = problemToTry(precheck);
  if (problem !== null) return { kind: 'none', reason: problem };
  const roots = foundOf(precheck);
  const [root] = roots;
  const [mine] = root === undefined ? [] : await definitionsOf(session, [root[1]]);
  // What the server refuses, or finds nothing to do for, it says itself.
  if (root === undefined || mine === undefined || !mine.owned) {
    const run = await runDrop(connection, session, text, []);
    if (run.kind === 'refused') return run;
    if (root !== undefined || !sameRoots(await check(), precheck)) return CHANGED;
    return { kind: 'harmless', why: NOTHING_LOST, tag: run.tag, notices: run.notices };
  }
  if (!'rp'.includes(mine.kind)) return { kind: 'none', reason: 'only what is done to tables is kept' };
  await session.query(`LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`);
  const reach = await reachOf(session, roots);
  if (reach.length > LIMITS.trashObjectsMax) return { kind: 'none', reason: 'too many objects depend on it' };
  const before = await definitionsOf(session, [root[1]]);
  if (!sameRoots(await check(), precheck)) return CHANGED;
  const strangers = await strangersAmong(session, reach, before);
  const places = alter.unnumbers ? await placesOf(session, before) : new Map();
  const run = await runDrop(connection, session, text, reach);
  if (run.kind === 'refused') return run;
  if (!sameRoots(await check(), precheck)) return CHANGED;
  const gone = run.gone.flatMap((each) => strangers.get(keyOf(each)) ?? []);
  // Each relation has a type of its name, which says less.
  const [stranger] = [...gone.filter((each) => !each.startsWith('type ')), ...gone];
  if (stranger !== undefined)
    return { kind: 'none', reason: `it would take along ${stranger}, which is not kept` };
  return await keep({ connection, session, alter, id, before, places, run });
}

interface Kept {
  readonly connection: HiddenConnection;
  readonly session: TrashSession;
  readonly alter: AlterStatement;
  readonly id: string;
  readonly before: readonly TableDefinition[];
  readonly places: SequencePlaces;
  readonly run: Trial;
}

async function keep({ connection, session, alter, before, places, run }: Kept): Promise<MoveOutcome> {
  const { tag, notices } = run;
  const after = await definitionsOf(session, before.map(oidOf));
  const changes = changesBetween(before, after);
  if (before[0]!.temporary) return { kind: 'harmless', why: 'the table is temporary', tag, notices };
  if (changes.every((change) => change.before === null))
    return { kind: 'harmless', why: NOTHING_LOST, tag, notices };
  const planned = planAlterBack(before, changes, { adds: alter.adds, places, retype: () => [] });
  if (typeof planned === 'string') return { kind: 'none', reason: planned };
  const altered: Altered = { tables: [tableOf(before[0]!)], types: [], changes };
  const wrong = await rehearse(connection, session, planned.steps, altered, before);
  if (wrong !== null) return { kind: 'none', reason: wrong };
  const { steps, notes } = planned;
  const moved = { moves: [], restores: steps, objects: [], notes, binds: [], altered };
  return { kind: 'moved', tag, notices, moved };
}

const keyOf = ([classid, objid]: readonly [number, number, ...unknown[]]): string => `${classid} ${objid}`;
const oidOf = ({ oid }: TableDefinition): number => oid;
const tableOf = ({ oid, schema, name }: TableDefinition) => ({ oid, schema, name });

/** Those that are no part of the definitions, by what they are called. $3: the tables. */
const STRANGERS = pinned(
  emptyingPath(
    GIVEN,
    `coalesce((SELECT ${LIST(
      `pg_catalog.jsonb_build_array(o.classid::int8, o.objid::int8, pg_catalog.pg_describe_object(o.classid, o.objid, 0))`,
      'o.classid, o.objid',
    )} FROM given o WHERE e.now IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_constraint c WHERE o.classid = ${IS('pg_constraint')} AND c.oid = o.objid
            AND (c.conrelid = ANY ($3::oid[]) OR c.confrelid = ANY ($3::oid[])))
      AND NOT EXISTS (SELECT FROM pg_index i WHERE o.classid = ${IS('pg_class')} AND i.indexrelid = o.objid AND i.indrelid = ANY ($3::oid[]))
      AND NOT EXISTS (SELECT FROM pg_attrdef d WHERE o.classid = ${IS('pg_attrdef')} AND d.oid = o.objid AND d.adrelid = ANY ($3::oid[]))
      AND NOT EXISTS (SELECT FROM pg_trigger g WHERE o.classid = ${IS('pg_trigger')} AND g.oid = o.objid AND (g.tgisinternal OR g.tgparentid <> 0))
      AND NOT EXISTS (SELECT FROM pg_statistic_ext s WHERE o.classid = ${IS('pg_statistic_ext')} AND s.oid = o.objid AND s.stxrelid = ANY ($3::oid[]))
      AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attidentity <> ''
            WHERE o.classid = ${IS('pg_class')} AND d.classid = o.classid AND d.objid = o.objid AND d.refclassid = ${IS('pg_class')}
              AND d.deptype = 'i' AND d.refobjid = ANY ($3::oid[]))), '[]')`,
  ),
);

async function strangersAmong(
  session: TrashSession,
  reach: Awaited<ReturnType<typeof reachOf>>,
  tables: readonly TableDefinition[],
): Promise<ReadonlyMap<string, string>> {
  const oids = `{${tables.map(oidOf).join(',')}}`;
  const found = await json<readonly (readonly [number, number, string])[]>(session, STRANGERS, [
    ...given(reach),
    oids,
  ]);
  return new Map(found.map((each) => [keyOf(each), each[2]]));
}

async function placesOf(session: TrashSession, tables: readonly TableDefinition[]): Promise<SequencePlaces> {
  const places = new Map<number, { readonly last: string; readonly called: boolean }>();
  for (const { sequence } of tables.flatMap(({ columns }) => Object.values(columns))) {
    if (sequence === null || places.has(sequence.oid)) continue;
    const [row] = await session.query(`SELECT last_value, is_called FROM ${named(sequence)}`);
    places.set(sequence.oid, { last: row![0]!, called: row![1] === 't' });
  }
  return places;
}

const REHEARSAL = 'holdfast_rehearsal';
const REHEARSED = 'HF999';

/**
 * Goes the way back and says why it does not lead to where it ought to; null where it does, or where trying takes too
 * long. All of it is one statement, so that no setting that it needs is seen by the client.
 */
async function rehearse(
  connection: HiddenConnection,
  session: TrashSession,
  steps: readonly RestoreStep[],
  altered: Altered,
  before: readonly TableDefinition[],
): Promise<string | null> {
  const bytes = before.reduce((sum, table) => sum + table.bytes, 0);
  if (bytes > LIMITS.trashRehearsalBytes) return null;
  const literals = steps.map(({ sql }) => quoteLiteral(sql)).join(', ');
  const body = `DECLARE
  holdfast_step text;
  holdfast_found text;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);
  FOREACH holdfast_step IN ARRAY ARRAY[${literals}]::text[] LOOP
    EXECUTE holdfast_step;
  END LOOP;
  EXECUTE ${quoteLiteral(`SELECT r.facts FROM (${DEFINITIONS}) r(facts, path)`)} INTO holdfast_found USING ${quoteLiteral(`{${before.map(oidOf).join(',')}}`)}::text;
  RAISE EXCEPTION USING ERRCODE = '${REHEARSED}', MESSAGE = 'rehearsed', DETAIL = holdfast_found;
END`;
  await session.query(`SAVEPOINT ${REHEARSAL}`);
  const error = await connection
    .run(hiddenQuery(`DO LANGUAGE plpgsql ${quoteLiteral(body)}`), () => {})
    .then(() => new Error('the rehearsal of an undo was not taken back'))
    .catch((each: unknown) => each);
  if (!(error instanceof HiddenQueryError)) throw error;
  await session.query(`ROLLBACK TO SAVEPOINT ${REHEARSAL}`);
  await session.query(`RELEASE SAVEPOINT ${REHEARSAL}`);
  if (error.sqlstate !== REHEARSED) return `its undo was tried, and fails: ${error.message}`;
  const found = JSON.parse(error.fields['D'] ?? '[]') as readonly TableDefinition[];
  const [other] = deviations(altered, found, 'before');
  return other === undefined ? null : `its undo was tried, and ${describeChange(other)} is not as it was`;
}
