import { HiddenQueryError } from '../../catalog/connection.ts';
import type { CapturePlan } from '../../snapshot/plan.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { OwnTransaction } from '../hidden/own-transaction.ts';
import { mayEndSegment } from '../hidden/segment-fits.ts';
import { nameKey } from '../known/names.ts';
import { toldTypes, typesOf } from '../known/parameter-types.ts';
import type { SessionState } from '../state.ts';
import { hasRunNothing, lockTarget } from './begun-capture.ts';
import type { BoundText } from './bind-plan.ts';
import { endsStatement } from './early/early-capture.ts';

/**
 * What is asked ahead of a Bind, and fails where the Bind would fail as well: a Describe of a statement that gives other columns
 * by now, the reading of what locks a table that is gone. The Bind may fail for something else before that, such as a value.
 */
export interface AskedAhead {
  /** Of its parameters. */
  readonly types: Promise<readonly number[]>;
  /** Whether the table was locked as the statement will lock it. */
  readonly isLocked: Promise<boolean>;
  /** Takes back what has failed, and all behind it, so that the client is told by its own Bind; null where that cannot be. */
  readonly takeBack: (() => Promise<void>) | null;
}

/** Sends it; `mayTakeBack` says that it has not been taken back before. */
export function askAhead(
  state: SessionState,
  hidden: HiddenQueries,
  bound: BoundText,
  foreseen: CapturePlan | null,
  mayTakeBack: boolean,
): AskedAhead {
  const { portal, statement, slice, bind, entry } = bound;
  const ask = () => ({
    types: bind.parameters.length > 0 ? typesOf(hidden, portal.statement, statement, 'flush') : NO_TYPES,
    isLocked: lockTarget(hidden, slice, foreseen),
  });
  if (mayTakeBack && hasRunNothing(state)) return { ...ask(), takeBack: () => hidden.takeBack() };
  if (!mayTakeBack || !mayFailToDescribe(state, bound)) return { ...ask(), takeBack: null };
  const savepoint = OwnTransaction.inBlock(state, hidden, hidden.ending('flush'));
  const set = savepoint.begin(entry);
  const asked = ask();
  const kept = savepoint.keep();
  for (const each of [set, kept]) each.catch(() => {});
  const takeBack = async () => {
    await set;
    await hidden.takeBack();
    await OwnTransaction.inBlock(state, hidden, hidden.ending('sync')).takeBack();
  };
  return { ...asked, takeBack };
}

/** Whether others may have given its table other columns since it was parsed, in a block, which a failure would fail. */
function mayFailToDescribe(state: SessionState, { portal, statement, text, bind }: BoundText): boolean {
  const { begunIn, segment, endsBlock, inImplicitBlock } = state;
  const isBegun = begunIn === segment && !endsBlock && !inImplicitBlock;
  if (!(state.isInBlock || isBegun) || !mayEndSegment(state) || portal.approvalId !== null) return false;
  if (bind.parameters.length === 0 || toldTypes(portal.statement, statement) !== null) return false;
  // What was parsed in the segment has locked it since.
  return (
    GIVES_ROWS.test(text.toString('latin1')) &&
    !state.statements.isAsked(nameKey(statement, 0, statement.length))
  );
}

const GIVES_ROWS = /returning/i;

/** Whether it did not fail, or with what ends the wait of the Bind as well. */
export async function isAnswered({ types, isLocked }: AskedAhead): Promise<boolean> {
  return (await hasNotFailed(types)) && (await hasNotFailed(isLocked));
}

async function hasNotFailed(asked: Promise<unknown>): Promise<boolean> {
  return await asked.then(
    () => true,
    (error: unknown) => !(error instanceof HiddenQueryError) || endsStatement(error),
  );
}

const NO_TYPES: Promise<readonly number[]> = Promise.resolve([]);
