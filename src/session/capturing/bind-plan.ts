import { readCounts } from '../../snapshot/counts.ts';
import { asKept, foreseePlan, isForeseen } from '../../snapshot/foresee.ts';
import { type CapturePlan, type PlanRequest, planCapture } from '../../snapshot/plan.ts';
import type { WriteSlice } from '../../sql/slices/slice.ts';
import { mayBeTold, runsCalledCode, runsToldCode } from '../code/called-code-run.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { parametersOf } from '../known/bound-parameters.ts';
import { planRequest } from '../known/prepared-text.ts';
import { isReadAlike, NOT_ASCII } from '../known/text-encoding.ts';
import type { SessionState } from '../state.ts';
import { askAhead, isAnswered } from './asked-ahead.ts';
import { notePlanned } from './begun-capture.ts';
import { isDrop, problemOfBoundDrop, problemOfOne } from './capturable.ts';
import { type CaptureOutcome, withoutPlan } from './capture-run.ts';
import { beginBoundInBlock } from './early/bound-in-block.ts';
import { runBound, TAKEN_BACK } from './early/bound-run.ts';
import { beginAtBind, guessedParameters, mayBeginAtBind, noteTypes } from './early/early-capture.ts';
import type { BindToPlan, BoundDrop, BoundPortal } from './snapshot-desk.ts';

/** What its Execute is going to capture, or why nothing; null where its Bind fails at the server. */
export async function planBind(
  state: SessionState,
  hidden: HiddenQueries,
  request: BindToPlan,
): Promise<BoundPortal | BoundDrop | CaptureOutcome | null> {
  const { portal, decision } = request;
  const isTold = mayBeTold(state, portal.analysis, decision);
  if (!isTold && isDrop(portal.analysis)) return planDrop(state, request);
  // The server refuses the Bind, whatever it is of.
  if (state.transactionStatus === 'E' && state.executedIn !== state.segment) return null;
  const services = state.services.snapshots!;
  const { text: sql } = portal.statement;
  if (isTold) return await runsToldCode(state, hidden.ending('flush'), portal.analysis, decision);
  if (state.called.isToAsk(portal.analysis))
    return await runsCalledCode(state, hidden.ending('flush'), portal.analysis, decision);
  const problem = sql === null ? 'its text is a part of another' : problemOfOne(state, portal.analysis);
  if (problem !== null || sql === null) return withoutPlan(decision, problem!);
  const text = Buffer.from(sql, 'utf8');
  if (!isReadAlike(state, portal.statement.facts, text)) return withoutPlan(decision, NOT_ASCII);
  const slice = await services.slice(text);
  if (slice.kind === 'inexact') return withoutPlan(decision, slice.reason);
  const uncounted = await state.called.askUncounted(hidden.ending('flush'), portal.analysis);
  if (uncounted !== null) return withoutPlan(decision, uncounted);
  const bound: BoundText = {
    ...request,
    text,
    slice,
    asked: { ...planRequest(state, slice), wasRead: true },
  };
  const begun = await beginBoundInBlock(state, hidden, bound);
  if (begun !== null) return begun;
  const ran = state.isInBlock ? null : await runBound(state, hidden, bound);
  if (ran !== null && ran !== TAKEN_BACK) return ran;
  const planned = ran ?? (await planText(state, hidden, bound, true));
  return planned === TAKEN_BACK ? await planText(state, hidden, bound, false) : planned;
}

export interface BoundText extends BindToPlan {
  readonly text: Buffer;
  readonly slice: WriteSlice;
  readonly asked: PlanRequest;
}

type PlannedText = BoundPortal | CaptureOutcome | null;

/** Asks all that the plan depends on in one go, with the rows by the plan of last time where that may be taken back. */
async function planText(
  state: SessionState,
  hidden: HiddenQueries,
  bound: BoundText,
  mayBeEarly: false,
): Promise<PlannedText>;
async function planText(
  state: SessionState,
  hidden: HiddenQueries,
  bound: BoundText,
  mayBeEarly: boolean,
): Promise<PlannedText | typeof TAKEN_BACK>;
async function planText(
  state: SessionState,
  hidden: HiddenQueries,
  bound: BoundText,
  mayBeEarly: boolean,
): Promise<PlannedText | typeof TAKEN_BACK> {
  const { name, portal, decision, bind, sent, text, slice, asked } = bound;
  const { catalog } = state.services.snapshots!;
  const connection = hidden.ending('flush');
  const run = { ...bound, state, services: state.services.snapshots!, hidden, connection, request: asked };
  // What has been taken back once is asked for by what is so now.
  const foreseen = mayBeEarly ? foreseePlan(catalog, asked) : null;
  const guessed = foreseen === null ? null : guessedParameters(state, bound);
  const mayBegin = guessed !== null && mayBeginAtBind(run, foreseen!);
  const ahead = askAhead(state, hidden, bound, foreseen, mayBeEarly);
  const planning = planCapture(connection, catalog, asked);
  const counting = foreseen !== null && mayRunAtBind(foreseen) ? readCounts(connection, foreseen) : null;
  const early = mayBegin ? beginAtBind(run, foreseen!, guessed!) : null;
  const told = (async () => {
    // In the order in which they are asked: what fails first is why the others do.
    const types = await ahead.types;
    const isLocked = await ahead.isLocked;
    const planned = asKept(await planning, isLocked ? foreseen : null);
    return { types, planned };
  })();
  // What fails first is told; the others may fail with it, before anybody waits for them.
  for (const each of [ahead.types, ahead.isLocked, planning, counting, told]) each?.catch(() => {});
  const ranBefore = state.executedIn === state.segment || state.begunIn === state.segment;
  const found = { name, portal, decision, text, sent };
  if (ahead.takeBack !== null && !(await isAnswered(ahead))) {
    state.dropEarly();
    await ahead.takeBack();
    return TAKEN_BACK;
  }
  if (early !== null) {
    const standing = await early.stands(told, foreseen!);
    if (standing.kind !== 'stands') await hidden.takeBack();
    if (standing.kind === 'falls') return TAKEN_BACK;
    if (standing.kind === 'ends') {
      const { plan } = early.begun;
      const request = { ...asked, parameters: plan.parameters };
      return { ...found, request, plan, begun: null, counted: null, aloneIn: -1, ends: standing.error };
    }
  }
  const { types, planned } = await told;
  if (planned.kind === 'needless') return { kind: 'without', why: planned.reason };
  // Without its table the Bind fails at the server; where that has come by then, its Execute is refused.
  if (planned.kind === 'none' && planned.missing === true && isReadAtBind(bound)) return null;
  if (planned.kind === 'none' && planned.refuse === undefined) return withoutPlan(decision, planned.reason);
  const parameters = parametersOf(bind, types);
  if (parameters === null) return null;
  const request = { ...asked, parameters };
  if (planned.kind === 'none')
    return { ...found, request, plan: null, begun: null, counted: null, aloneIn: -1, ends: null };
  notePlanned(run, planned.plan);
  noteTypes(state, portal.statement, slice, planned.plan, types);
  // Those of an EXECUTE stand in its text.
  const plan = slice.kind === 'execute' ? planned.plan : { ...planned.plan, parameters };
  const begun = early?.begun ?? null;
  const known = isForeseen(planned.plan, foreseen) ? counting : null;
  const counted = mayRunAtBind(plan) ? await (known ?? readCounts(connection, plan)) : null;
  const aloneIn = ranBefore ? -1 : state.segment;
  return { ...found, request, plan, begun, counted, aloneIn, ends: null };
}

/**
 * Whether its Bind may run code of the user's, such as the check of a domain that a parameter is of. TRUNCATE has none, and
 * takes locks ahead of it that count as well.
 */
const mayRunAtBind = ({ watchesAll, lock }: CapturePlan): boolean => watchesAll && lock === null;

/** What stands inside COPY or EXPLAIN is read as that runs. */
const isReadAtBind = ({ slice, portal: { analysis } }: BoundText): boolean =>
  (slice.kind === 'rows' || slice.kind === 'upsert') && analysis.statements[0]?.operations.length === 1;

function planDrop(
  state: SessionState,
  { name, portal, decision, statement, sent }: BindToPlan,
): BoundDrop | CaptureOutcome {
  const problem = problemOfBoundDrop(portal.statement, portal.analysis);
  if (problem !== null) return withoutPlan(decision, problem);
  const text = Buffer.from(portal.statement.text!, 'utf8');
  if (!isReadAlike(state, portal.statement.facts, text)) return withoutPlan(decision, NOT_ASCII);
  return { drop: true, sent, name, portal, decision, lossless: null, text, statement };
}
