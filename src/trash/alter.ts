import { LIMITS } from '../base/limits.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { quoteQualified } from '../catalog/quote.ts';
import type { RelationName } from '../sql/effects.ts';
import type { AlterStatement } from '../sql/named/alter-target.ts';
import type { DropPart } from '../sql/named/drop-target.ts';
import { placesOf, strangersAmong } from './alter-facts.ts';
import { planAlterBack, type SequencePlaces } from './alter-plan.ts';
import { rehearse } from './alter-rehearsal.ts';
import {
  copyBefore,
  pairingOf,
  problemOfCopy,
  problemOfSize,
  retypeBack,
  retypedIn,
  retypeUnchanged,
} from './column-retype.ts';
import { type Altered, type Change, changesBetween, givesDefault, isSame } from './definition-changes.ts';
import {
  CHANGED,
  type Changed,
  foundOf,
  MAKE_TRASH,
  type MoveOutcome,
  orAsBefore,
  type Precheck,
  precheckOf,
  problemToMove,
  problemToTry,
  sameRoots,
  untilUnchanged,
} from './move.ts';
import type { TrashSession } from './session.ts';
import { withStates } from './standing.ts';
import type { RestoreStep, TrashedObject } from './steps.ts';
import { definitionsOf, type Section, type TableDefinition } from './table-definition.ts';
import { reachOf, runDrop, type Trial } from './trial.ts';

export interface AlterRequest {
  /** The client's own statement. */
  readonly text: string;
  readonly alter: AlterStatement;
  readonly id: string;
  /** What it only adds is to be taken back as well. */
  readonly keepsAll?: boolean;
  /** It is no ALTER, but drops this part of the table. */
  readonly part?: DroppedPart;
}

/** A part of a table that has to be gone, and its schema where that is not the table's. */
interface DroppedPart {
  readonly section: Section;
  readonly name: RelationName;
}

const NOTHING_LOST = 'it takes nothing away';
const SAVEPOINT = 'holdfast_alter';

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

const SECTION_OF = { index: 'indexes', trigger: 'triggers', rule: 'rules', policy: 'policies' } as const;

/** As `alterKept`, of a statement that drops an index, a trigger, a rule or a policy: to its table that is an ALTER like others. */
export async function dropPartKept(
  connection: HiddenConnection,
  { text, part, id }: { readonly text: string; readonly part: DropPart; readonly id: string },
): Promise<MoveOutcome> {
  const attemptOne = async (session: TrashSession): Promise<MoveOutcome | Changed> => {
    const at = part.table === null ? await placeOfIndex(session, part.name) : null;
    const table = part.table ?? at?.table ?? part.name;
    const alter = { table, retyped: [], loses: true, adds: false, added: [], unnumbers: false };
    const dropped = { section: SECTION_OF[part.of], name: at?.index ?? part.name };
    return await attempt(connection, session, { text, alter, id, part: dropped });
  };
  return await orAsBefore(connection, (session) => untilUnchanged(session, () => attemptOne(session)));
}

const PLACE_OF_INDEX = `SELECT tn.nspname, t.relname, kn.nspname, k.relname
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) i.indrelid
    JOIN pg_catalog.pg_namespace tn ON tn.oid OPERATOR(pg_catalog.=) t.relnamespace
    JOIN pg_catalog.pg_class k ON k.oid OPERATOR(pg_catalog.=) i.indexrelid
    JOIN pg_catalog.pg_namespace kn ON kn.oid OPERATOR(pg_catalog.=) k.relnamespace
 WHERE i.indexrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid`;

/** Which index is meant, and of which table; null where there is none of the name. */
async function placeOfIndex(
  session: TrashSession,
  { schema, name }: RelationName,
): Promise<{ readonly table: RelationName; readonly index: RelationName } | null> {
  const [row] = await session.query(PLACE_OF_INDEX, [quoteQualified(schema, name)]);
  if (row === undefined) return null;
  return { table: { schema: row[0]!, name: row[1]! }, index: { schema: row[2]!, name: row[3]! } };
}

const isGone = ({ section, name }: DroppedPart, changes: readonly Change[]): boolean =>
  changes.some(
    ({ section: of, key, before, after }) =>
      of === section &&
      key === name.name &&
      after === null &&
      (section !== 'indexes' || before?.['schema'] === name.schema),
  );

/**
 * Invariant: the table, and what is below it, is locked from before its definition is read until the statement has run,
 * and its name means the same then; all that has gone is a part of a definition that was read.
 */
async function attempt(
  connection: HiddenConnection,
  session: TrashSession,
  request: AlterRequest,
): Promise<MoveOutcome | Changed> {
  const { text, alter, part } = request;
  const name = quoteQualified(alter.table.schema, alter.table.name);
  const check = () => precheckOf(session, [name], 'relation');
  const precheck = await check();
  const problem = problemToTry(precheck, 'ALTER');
  if (problem !== null) return { kind: 'none', reason: problem };
  const roots = foundOf(precheck);
  const [root] = roots;
  const [mine] = root === undefined ? [] : await definitionsOf(session, [root[1]]);
  const untouched = root === undefined || mine === undefined || !mine.owned;
  // What the server refuses, or finds nothing to do for, it says itself.
  if (untouched || !(alter.loses || request.keepsAll === true)) {
    const run = await runDrop(connection, session, text, []);
    if (run.kind === 'refused') return run;
    if ((untouched && root !== undefined) || !sameRoots(await check(), precheck)) return CHANGED;
    return part === undefined
      ? harmless(run, NOTHING_LOST)
      : { kind: 'none', reason: 'what it names is not there' };
  }
  if (!'rp'.includes(mine.kind)) return { kind: 'none', reason: 'only what is done to tables is kept' };
  await session.query(`LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`);
  const reach = await reachOf(session, roots);
  if (reach.length > LIMITS.trashObjectsMax) return { kind: 'none', reason: 'too many objects depend on it' };
  const before = await definitionsOf(session, [root[1]]);
  if (!sameRoots(await check(), precheck)) return CHANGED;
  const tooLarge = alter.retyped.length === 0 || before[0]!.temporary ? null : problemOfSize(before);
  if (tooLarge !== null) return { kind: 'none', reason: tooLarge };
  const strangers = await strangersAmong(session, reach, before);
  const places = alter.unnumbers ? await placesOf(session, before) : new Map();
  await session.query(`SAVEPOINT ${SAVEPOINT}`);
  const alterNow = async (): Promise<Altering> => {
    const run = await runDrop(connection, session, text, reach);
    if (run.kind === 'refused') return run;
    if (!sameRoots(await check(), precheck)) return { kind: 'changed' };
    const gone = run.gone.flatMap((each) => strangers.get(keyOf(each)) ?? []);
    // Each relation has a type of its name, which says less.
    const [stranger] = [...gone.filter((each) => !each.startsWith('type ')), ...gone];
    if (stranger !== undefined)
      return { kind: 'none', reason: `it would take along ${stranger}, which is not kept` };
    const after = await definitionsOf(session, before.map(oidOf));
    const changes = changesBetween(before, after);
    if (part !== undefined && !isGone(part, changes)) return { kind: 'changed' };
    return { kind: 'altered', run, after, changes };
  };
  return await keep({ connection, session, request, precheck, before, places, alterNow });
}

/** What has come of the statement. */
type Altering =
  | Extract<MoveOutcome, { readonly kind: 'refused' | 'none' }>
  | { readonly kind: 'changed' }
  | Done;

interface Done {
  readonly kind: 'altered';
  readonly run: Trial;
  readonly after: readonly TableDefinition[];
  readonly changes: readonly Change[];
}

interface Kept {
  readonly connection: HiddenConnection;
  readonly session: TrashSession;
  readonly request: AlterRequest;
  readonly precheck: Precheck;
  readonly before: readonly TableDefinition[];
  readonly places: SequencePlaces;
  /** Runs the statement. */
  readonly alterNow: () => Promise<Altering>;
}

async function keep(kept: Kept): Promise<MoveOutcome | Changed> {
  const { before, alterNow } = kept;
  const done = await alterNow();
  if (done.kind === 'changed') return CHANGED;
  if (done.kind !== 'altered') return done;
  const { run, after, changes } = done;
  const [root] = before;
  if (root!.temporary) return harmless(run, 'the table is temporary');
  const names = kept.request.alter.retyped.map(({ name }) => name);
  const retyped = retypedIn(before, after, names);
  if (typeof retyped === 'string') return { kind: 'none', reason: retyped };
  const { columns, values } = retyped;
  const onlyAdds = changes.every((change) => change.before === null || givesDefault(change));
  const isKept = kept.request.keepsAll === true && changes.length > 0;
  if (columns.length === 0 && onlyAdds && !isKept) return harmless(run, NOTHING_LOST);
  if (columns.some((column) => column.before?.['generated'] !== ''))
    return { kind: 'none', reason: 'it changes the type of a computed column' };
  if (columns.length > 0 && root!.rowSecurity)
    return { kind: 'none', reason: 'row security hides rows of the table from the role' };
  const retype = values || columns.length === 0 ? [] : retypeUnchanged(root!, columns);
  const planned = planBack(kept, changes, retype);
  if (typeof planned === 'string') return { kind: 'none', reason: planned };
  return columns.length > 0 && values
    ? await keepValues(kept, done, columns)
    : await conclude(kept, done, planned, [], columns);
}

/** Takes the statement back, copies what it is about to change, runs it once more, and joins the two. */
async function keepValues(
  kept: Kept,
  first: Done,
  retyped: readonly Change[],
): Promise<MoveOutcome | Changed> {
  const { session, request, precheck, before, alterNow } = kept;
  const { id, alter } = request;
  const problem = problemOfCopy(before) ?? problemToMove(precheck);
  if (problem !== null) return { kind: 'none', reason: problem };
  const [root, after] = [before[0]!, first.after.find(({ oid }) => oid === before[0]!.oid)!];
  const computed = new Set(alter.retyped.flatMap((each) => (each.computed ? [each.name] : [])));
  const pairing = await pairingOf(session, after, retyped, computed);
  if (typeof pairing === 'string') return { kind: 'none', reason: pairing };
  await session.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  if (precheck.trash === null) for (const sql of MAKE_TRASH) await session.query(sql);
  const join = await copyBefore(session, id, root, after, retyped, pairing);
  const done = await alterNow();
  if (done.kind === 'changed') return CHANGED;
  if (done.kind !== 'altered') return done;
  if (!isAlike(first.changes, done.changes)) return CHANGED;
  const values = await join();
  const planned = planBack(kept, done.changes, retypeBack(values));
  if (typeof planned === 'string') return { kind: 'none', reason: planned };
  const names = retyped.map((change) => String(change.before?.['name']));
  const { oid, schema, name } = root;
  const object = {
    oid,
    kind: 'column',
    schema,
    name: `${name}.${names.join(', ')}`,
    trash_name: `${id}_${oid}`,
  };
  return await conclude(kept, done, planned, await withStates(session, [object]), retyped);
}

async function conclude(
  {
    connection,
    session,
    before,
    request: {
      alter: { adds },
    },
  }: Kept,
  { run: { tag, notices }, changes }: Done,
  { steps, notes }: { readonly steps: readonly RestoreStep[]; readonly notes: readonly string[] },
  objects: readonly TrashedObject[],
  columns: readonly Change[],
): Promise<MoveOutcome> {
  const { oid, schema, name } = before[0]!;
  // What it has added and leaves is not looked at again.
  const isTakenBack = (change: Change) => change.before !== null || !(adds || change.section === 'columns');
  const altered: Altered = {
    tables: [{ oid, schema, name }],
    types: columns.map((column) => Number(column.before?.['typeOid'])),
    changes: changes.filter(isTakenBack),
    ...(columns.length === 0 ? {} : { retyped: columns.map((column) => String(column.before?.['name'])) }),
  };
  const wrong = await rehearse(connection, session, steps, altered, before);
  if (wrong !== null) return { kind: 'none', reason: wrong };
  const moved = { moves: [], restores: steps, objects, notes, binds: [], altered };
  return { kind: 'moved', tag, notices, moved };
}

const planBack = (
  { before, places, request }: Kept,
  changes: readonly Change[],
  retype: readonly RestoreStep[],
) => planAlterBack(before, changes, { adds: request.alter.adds, places, retype });

function isAlike(some: readonly Change[], others: readonly Change[]): boolean {
  const same = (a: Change, b: Change) =>
    a.table === b.table &&
    a.section === b.section &&
    a.key === b.key &&
    isSame(a.before, b.before) &&
    isSame(a.after, b.after);
  return some.length === others.length && some.every((each, i) => same(each, others[i]!));
}

const harmless = ({ tag, notices }: Trial, why: string): MoveOutcome => ({
  kind: 'harmless',
  why,
  tag,
  notices,
});
const keyOf = ([classid, objid]: readonly [number, number, ...unknown[]]): string => `${classid} ${objid}`;
const oidOf = ({ oid }: TableDefinition): number => oid;
