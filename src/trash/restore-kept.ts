import { placesOf } from './alter-facts.ts';
import { planAlterBack, type SequencePlaces } from './alter-plan.ts';
import {
  copyBefore,
  pairingOf,
  problemOfCopy,
  problemOfSize,
  retypeBack,
  retypedIn,
} from './column-retype.ts';
import { type Altered, type Change, changesBetween, describeChange } from './definition-changes.ts';
import { named } from './definitions.ts';
import { keepColumns } from './drop-columns.ts';
import { MAKE_TRASH } from './move.ts';
import { type Replaced, stepsBack } from './replace-routine.ts';
import { type Dropped, type RestoreOptions, type RestoreOutcome, restoreWithin } from './restore.ts';
import { routinesByOid } from './routines.ts';
import type { TrashSession } from './session.ts';
import { withStates } from './standing.ts';
import type { RestoreStep, TrashedObject } from './steps.ts';
import { definitionsOf, type TableDefinition } from './table-definition.ts';

/** The way back of a restore, which is an ALTER as much as what it takes back. */
export interface KeptRestore {
  readonly objects: readonly TrashedObject[];
  readonly restores: readonly RestoreStep[];
  readonly notes: readonly string[];
  readonly altered?: Altered;
  readonly replaced?: Replaced;
  readonly rest?: readonly RestoreStep[];
}

export type RestoreKept =
  | { readonly kind: 'restored'; readonly outcome: RestoreOutcome; readonly kept: KeptRestore | null }
  /** It has no exact way back; nothing has been changed. A clause that reads well behind "because". */
  | { readonly kind: 'none'; readonly reason: string };

const SAVEPOINT = 'holdfast_kept';

/** Of what an ALTER has changed; a DROP is undone by a move, and a move by another DROP. */
export const isAlter = ({ altered, replaced, objects }: Dropped): boolean =>
  altered !== undefined || replaced !== undefined || objects.some(({ kind }) => kind === 'column');

/** Restores what an ALTER has changed, with all that this changes in its turn kept under another name. */
export async function restoreKept(
  session: TrashSession,
  dropped: Dropped,
  options: RestoreOptions,
  id: string,
): Promise<RestoreKept> {
  if (dropped.replaced !== undefined) return await replaceAgain(session, dropped, dropped.replaced, options);
  const oids = oidsOf(dropped);
  await lock(session, oids);
  const before = await definitionsOf(session, oids);
  const places = await placesOf(session, before);
  await session.query(`SAVEPOINT ${SAVEPOINT}`);
  const outcome = await restoreWithin(session, dropped, options);
  if (outcome.kind !== 'restored' || before.length === 0) return { kind: 'restored', outcome, kept: null };
  const after = await definitionsOf(session, oids);
  const changes = changesBetween(before, after);
  const again = { session, dropped, options, id, before, after, changes, places };
  const gone = changes.filter((change) => change.section === 'columns' && change.after === null);
  if (gone.length > 0) return await keepingColumns(again, gone);
  const retyped = retypedIn(before, after, dropped.altered?.retyped ?? []);
  if (typeof retyped === 'string') return { kind: 'none', reason: retyped };
  return retyped.columns.length > 0
    ? await keepingValues(again, retyped.columns)
    : planned(again, outcome, [], []);
}

/** What comes back replaces what is there, which may be otherwise than the statement had left it. */
async function replaceAgain(
  session: TrashSession,
  dropped: Dropped,
  { before: after, after: left, ...routine }: Replaced,
  options: RestoreOptions,
): Promise<RestoreKept> {
  const [now] = await routinesByOid(session, [routine.oid]);
  const outcome = await restoreWithin(session, dropped, options);
  if (outcome.kind !== 'restored') return { kind: 'restored', outcome, kept: null };
  const replaced = { ...routine, before: now?.definition ?? left, after };
  return {
    kind: 'restored',
    outcome,
    kept: { objects: [], restores: stepsBack(replaced), notes: [], replaced },
  };
}

interface Again {
  readonly session: TrashSession;
  readonly dropped: Dropped;
  readonly options: RestoreOptions;
  readonly id: string;
  readonly before: readonly TableDefinition[];
  readonly after: readonly TableDefinition[];
  readonly changes: readonly Change[];
  readonly places: SequencePlaces;
}

async function planned(
  { before, changes, dropped, places }: Again,
  outcome: RestoreOutcome,
  retype: readonly RestoreStep[],
  objects: readonly TrashedObject[],
): Promise<RestoreKept> {
  const context = { adds: false, drops: true, places, retype };
  const plan = planAlterBack(before, changes, context);
  if (typeof plan === 'string') return { kind: 'none', reason: plan };
  const { oid, schema, name } = before[0]!;
  const types = (dropped.altered?.retyped ?? []).flatMap((column) =>
    Object.values(before[0]!.columns).flatMap((each) => (each.name === column ? [each.typeOid] : [])),
  );
  const retyped = dropped.altered?.retyped ?? [];
  const altered = { tables: [{ oid, schema, name }], types, changes, retyped };
  return {
    kind: 'restored',
    outcome,
    kept: { objects, restores: plan.steps, notes: plan.notes, altered },
  };
}

/** Takes the restore back, copies what it changes, and does it once more. */
async function keepingValues(again: Again, columns: readonly Change[]): Promise<RestoreKept> {
  const { session, dropped, options, id, before, after } = again;
  const problem = problemOfSize(before) ?? problemOfCopy(before);
  if (problem !== null) return { kind: 'none', reason: problem };
  const [root, made] = [before[0]!, after[0]!];
  const pairing = await pairingOf(session, made, columns, new Set());
  if (typeof pairing === 'string') return { kind: 'none', reason: pairing };
  await session.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  await makeTrash(session);
  const join = await copyBefore(session, id, root, made, columns, pairing);
  const outcome = await restoreWithin(session, dropped, options);
  if (outcome.kind !== 'restored') return { kind: 'restored', outcome, kept: null };
  const values = await join();
  const { oid, schema, name } = root;
  const names = columns.map((change) => String(change.before?.['name']));
  const object = {
    oid,
    kind: 'column',
    schema,
    name: `${name}.${names.join(', ')}`,
    trash_name: `${id}_${oid}`,
  };
  return await planned(again, outcome, retypeBack(values), await withStates(session, [object]));
}

/** What a dropped column takes along is kept with it. */
const GOES_WITH_COLUMNS: ReadonlySet<string> = new Set(['columns', 'constraints', 'indexes']);

async function keepingColumns(again: Again, gone: readonly Change[]): Promise<RestoreKept> {
  const { session, dropped, options, id, before, changes } = again;
  const others = changes.filter(({ section, after }) => after !== null || !GOES_WITH_COLUMNS.has(section));
  if (others.length > 0)
    return { kind: 'none', reason: `it drops columns, and changes ${describeChange(others[0]!)}` };
  await session.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  await makeTrash(session);
  let outcome: RestoreOutcome | null = null;
  const run = async () => {
    outcome = await restoreWithin(session, dropped, options);
    return outcome.kind === 'restored';
  };
  const columns = gone.map((change) => String(change.before?.['name']));
  const kept = await keepColumns(session, { oid: before[0]!.oid, columns, id, run });
  if (typeof kept === 'string') return { kind: 'none', reason: kept };
  return { kind: 'restored', outcome: outcome!, kept };
}

async function makeTrash(session: TrashSession): Promise<void> {
  const [row] = await session.query(`SELECT pg_catalog.to_regnamespace('holdfast_trash') IS NULL`);
  if (row?.[0] === 't') for (const sql of MAKE_TRASH) await session.query(sql);
}

function oidsOf({ altered, objects }: Dropped): number[] {
  const columns = objects.flatMap(({ kind, oid }) => (kind === 'column' ? [oid] : []));
  const tables = (altered?.tables ?? []).map(({ oid }) => oid);
  return [...new Set([...tables, ...columns, ...(altered?.changes ?? []).map(({ table }) => table)])];
}

async function lock(session: TrashSession, oids: readonly number[]): Promise<void> {
  const tables = await session.query(
    `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = ANY ($1::pg_catalog.oid[]) ORDER BY c.oid`,
    [`{${oids.join(',')}}`],
  );
  const names = tables.map(([schema, name]) => named({ schema: schema!, name: name! }));
  if (names.length > 0) await session.query(`LOCK TABLE ${names.join(', ')} IN ACCESS EXCLUSIVE MODE`);
}
