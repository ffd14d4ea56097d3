import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import { hasLockedElse, namesStanding, ownAndLocked } from '../../catalog/temporary.ts';
import { type CountsReading, countsSince, isNone, readCounts } from '../../snapshot/counts.ts';
import { planCapture } from '../../snapshot/plan.ts';
import { mayBeOfAnother } from '../../snapshot/plan-stale.ts';
import type { Analysis, StatementEffects } from '../../sql/effects.ts';
import { hiddenQuery } from '../../trash/session.ts';
import { endsStatements } from '../../trash/trial.ts';
import { encodeMessage } from '../../wire/backend.ts';
import type { Bind } from '../../wire/bind.ts';
import { Backend } from '../../wire/message-type.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { isAsciiName, type PreparedStatement } from '../known/names.ts';
import { typesOf } from '../known/parameter-types.ts';
import { planRequest } from '../known/prepared-text.ts';
import type { SessionState } from '../state.ts';
import { asTemporary, isDefinition } from './as-temporary.ts';
import type { Lossless } from './lossless.ts';
import { type Attempted, runLossless } from './lossless-run.ts';

/**
 * Statements on nothing but temporary tables of the session itself. No other session can read those, they end with it, and
 * nothing but what is as temporary may refer to them. What their names stand for is asked of the server right before, in the
 * transaction in which they run, and what they have changed is asked behind them.
 */

const WHY = 'temporary tables end with their session, and no other can read them';

/** What a portal runs. */
export interface OfPortal {
  readonly bind: Bind;
  readonly statement: PreparedStatement;
  /** Of the statement, as it is on the wire. */
  readonly name: Buffer;
  /** Whether its names were looked up right in front of it, so that they stand for the same. */
  readonly isFresh: boolean;
}

/** Texts of portals that have been found to lose something only as they ran. Sent again, they are decided as any other. */
const LOSING = new WeakMap<SessionState, Set<string>>();
const LOSING_MAX = 100;

function losing(state: SessionState): Set<string> {
  let texts = LOSING.get(state);
  if (texts !== undefined) return texts;
  texts = new Set();
  LOSING.set(state, texts);
  return texts;
}

/** Null where it is decided as any other by what its text tells. */
export function onTemporary(analysis: Analysis, text: string, of: OfPortal | null): Lossless | null {
  const known = asTemporary(analysis, text);
  const [statement] = analysis.statements;
  if (known === null || statement === undefined) return null;
  if (of !== null && !isAsciiName(of.bind.statement)) return null;
  const given = { statement, utf8: Buffer.from(text, 'utf8'), text, of };
  return {
    analysis: known,
    isSo: async (connection, state, hidden) => {
      if (losing(state).has(text) || losing(state).size >= LOSING_MAX) return false;
      if (of !== null && !(await areBoundByPostgres(state, hidden, of))) return false;
      if (!(await areTemporary(connection, given))) return false;
      return isDefinition(given.statement) || (await planOf(state, connection, given.utf8)).kind !== 'more';
    },
    run: async (state, hidden, entry) => {
      const outcome = await runLossless(state, hidden, entry, (connection) =>
        attempt(state, hidden, connection, given),
      );
      if (outcome === null && of !== null && losing(state).size < LOSING_MAX) losing(state).add(text);
      return outcome;
    },
  };
}

/** Every type that is not PostgreSQL's has a greater OID. */
const OWN_OIDS = 16_384;

/** Whether the Bind, which is sent as it is, runs no code of the user's, such as the check of a parameter's domain. */
async function areBoundByPostgres(
  state: SessionState,
  hidden: HiddenQueries,
  { bind, statement, name }: OfPortal,
): Promise<boolean> {
  if (bind.parameters.length === 0) return true;
  const types = await typesOf(hidden, statement, name, state.replies.segmentOpen ? 'flush' : 'sync');
  return types.every((type) => type < OWN_OIDS);
}

interface Given {
  readonly statement: StatementEffects;
  readonly utf8: Buffer;
  readonly text: string;
  /** Null where it is a Query. */
  readonly of: OfPortal | null;
}

/** Null where the names stand for anything else, or something else was changed, which is to be taken back. */
async function attempt(
  state: SessionState,
  hidden: HiddenQueries,
  connection: HiddenConnection,
  given: Given,
): Promise<Attempted> {
  if (!(await areTemporary(connection, given))) return null;
  return isDefinition(given.statement)
    ? await define(state, connection, given)
    : await write(state, hidden, connection, given);
}

/** Where the server refuses to look them up, it is for the statement itself to be refused. */
async function areTemporary(connection: HiddenConnection, given: Given): Promise<boolean> {
  const { statement, of } = given;
  try {
    const { names, eventTriggers } = await namesStanding(connection, statement.writes);
    if (names.some((each) => each === 'other') || (isDefinition(given.statement) && eventTriggers))
      return false;
    // What is not planned is looked up as it runs.
    if (of === null || of.isFresh || isDefinition(given.statement) || statement.operation === 'truncate')
      return true;
    return !(await mayBeOfAnother(connection, statement.writes));
  } catch (error) {
    if (error instanceof HiddenQueryError && !endsStatements(error)) return false;
    throw error;
  }
}

/** Runs it, and asks whether it has locked anything but what is the session's own. */
async function define(
  state: SessionState,
  connection: HiddenConnection,
  { text }: Given,
): Promise<Attempted> {
  const before = await ownAndLocked(connection);
  const ran = await run(connection, text);
  if (ran.kind === 'refused') {
    inject(state, ran.notices);
    return { kind: 'refused', error: ran.error.fields };
  }
  return (await hasLockedElse(connection, before)) ? null : done(ran);
}

/** Runs it where there is no plan for want of anything to capture, and asks whether any other table has changed. */
async function write(
  state: SessionState,
  hidden: HiddenQueries,
  connection: HiddenConnection,
  { utf8, text, of }: Given,
): Promise<Attempted> {
  if (of === null) {
    // By that the server locks what it is to change, which nobody can drop from then on.
    const { error } = await hidden.parse(utf8);
    if (error !== null) return { kind: 'refused', error: error.fields };
  }
  const plan = await planOf(state, connection, utf8);
  if (plan.kind === 'missing') await plan.refuse?.(connection);
  if (plan.kind !== 'nothing') return null;
  const before = await readCounts(connection, EVERY_TABLE);
  const ran = of === null ? await run(connection, text) : await runPortal(hidden, of.bind);
  if (ran.kind === 'refused') {
    inject(state, ran.notices);
    return { kind: 'refused', error: ran.error.fields };
  }
  return isUnchanged(before, await readCounts(connection, EVERY_TABLE)) ? done(ran) : null;
}

type Plan =
  /** There is nothing to capture as things stand, code of the user's included. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'more' }
  /** What is not there is for the server to refuse. */
  | {
      readonly kind: 'missing';
      readonly refuse: ((connection: HiddenConnection) => Promise<never>) | undefined;
    };

async function planOf(state: SessionState, connection: HiddenConnection, utf8: Buffer): Promise<Plan> {
  const { slice: taken, catalog } = state.services.snapshots!;
  const slice = await taken(utf8);
  if (slice.kind === 'inexact') return { kind: 'more' };
  const planned = await planCapture(connection, catalog, planRequest(state, slice));
  if (planned.kind === 'none' && planned.missing === true) return { kind: 'missing', refuse: planned.refuse };
  return { kind: planned.kind === 'needless' ? 'nothing' : 'more' };
}

const EVERY_TABLE = { tables: [], watchesAll: true } as const;

function isUnchanged(before: CountsReading, after: CountsReading): boolean {
  const oids = new Set([...before.others.keys(), ...after.others.keys()]);
  for (const oid of oids) {
    if (!isNone(countsSince(before.others.get(oid)?.counts, after.others.get(oid)?.counts))) return false;
  }
  for (const name of after.locked.keys()) if (!before.locked.has(name)) return false;
  return before.began === after.began;
}

type Ran =
  | { readonly kind: 'ran'; readonly tag: string; readonly notices: readonly Buffer[] }
  | { readonly kind: 'refused'; readonly error: HiddenQueryError; readonly notices: readonly Buffer[] };

const run = async (connection: HiddenConnection, text: string): Promise<Ran> =>
  await running(async (takeNotice) => (await connection.run(hiddenQuery(text), noRows, takeNotice)).tag);

const runPortal = async (hidden: HiddenQueries, bind: Bind): Promise<Ran> =>
  await running(async (takeNotice) => await hidden.runBound(bind, takeNotice, 'sync'));

async function running(runs: (takeNotice: (notice: Buffer) => void) => Promise<string>): Promise<Ran> {
  const notices: Buffer[] = [];
  try {
    return { kind: 'ran', tag: await runs((notice) => void notices.push(Buffer.from(notice))), notices };
  } catch (error) {
    if (error instanceof HiddenQueryError) return { kind: 'refused', error, notices };
    throw error;
  }
}

function noRows(): void {
  throw new Error('a statement that gives no rows has given one');
}

function inject(state: SessionState, notices: readonly Buffer[]): void {
  for (const notice of notices) state.inject(encodeMessage(Backend.NoticeResponse, notice));
}

const done = ({ tag, notices }: Extract<Ran, { kind: 'ran' }>): Attempted => ({
  kind: 'done',
  done: { tag, notices, snapshotId: null, why: WHY },
});
