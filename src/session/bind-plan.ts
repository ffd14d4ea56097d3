import { asKept, foreseePlan } from '../snapshot/foresee.ts';
import { planCapture } from '../snapshot/plan.ts';
import { lockTarget } from './begun-capture.ts';
import { parametersOf } from './bound-parameters.ts';
import { runsCalledCode } from './called-code-run.ts';
import { isDrop, problemOfBoundDrop, problemOfOne } from './capturable.ts';
import { type CaptureOutcome, withoutPlan } from './capture-run.ts';
import type { HiddenQueries } from './hidden-queries.ts';
import { planRequest } from './prepared-text.ts';
import type { BindToPlan, BoundDrop, BoundPortal } from './snapshot-desk.ts';
import type { SessionState } from './state.ts';
import { isReadAlike, NOT_ASCII } from './text-encoding.ts';

/** What its Execute is going to capture, or why nothing; null where its Bind fails at the server. */
export async function planBind(
  state: SessionState,
  hidden: HiddenQueries,
  request: BindToPlan,
): Promise<BoundPortal | BoundDrop | CaptureOutcome | null> {
  const { name, portal, decision, bind, sent } = request;
  if (isDrop(portal.analysis)) return planDrop(state, request);
  const services = state.services.snapshots!;
  const { text: sql } = portal.statement;
  if (state.called.isToAsk(portal.analysis))
    return await runsCalledCode(state, hidden.ending('flush'), portal.analysis, decision);
  const problem = sql === null ? 'its text is a part of another' : problemOfOne(state, portal.analysis);
  if (problem !== null || sql === null) return withoutPlan(decision, problem!);
  const text = Buffer.from(sql, 'utf8');
  if (!isReadAlike(state, portal.statement.facts, text)) return withoutPlan(decision, NOT_ASCII);
  const slice = await services.slice(text);
  if (slice.kind === 'inexact') return withoutPlan(decision, slice.reason);
  const describing = bind.parameters.length > 0 ? hidden.describe(request.statement) : NO_TYPES;
  describing.catch(() => {});
  const asked = planRequest(state, slice);
  const foreseen = foreseePlan(services.catalog, asked);
  const locking = lockTarget(hidden, slice, foreseen);
  locking.catch(() => {});
  const planning = planCapture(hidden.ending('flush'), services.catalog, asked);
  planning.catch(() => {});
  const isLocked = await locking;
  const types = await describing;
  const planned = asKept(await planning, isLocked ? foreseen : null);
  if (planned.kind === 'needless') return { kind: 'without', why: planned.reason };
  if (planned.kind === 'none') return withoutPlan(decision, planned.reason);
  const parameters = parametersOf(bind, types);
  if (parameters === null) return null;
  // Those of an EXECUTE stand in its text.
  const plan = slice.kind === 'execute' ? planned.plan : { ...planned.plan, parameters };
  return { name, portal, decision, text, request: { ...asked, parameters }, plan, sent };
}

function planDrop(
  state: SessionState,
  { name, portal, decision, statement, sent }: BindToPlan,
): BoundDrop | CaptureOutcome {
  const problem = problemOfBoundDrop(portal.statement, portal.analysis);
  if (problem !== null) return withoutPlan(decision, problem);
  const text = Buffer.from(portal.statement.text!, 'utf8');
  if (!isReadAlike(state, portal.statement.facts, text)) return withoutPlan(decision, NOT_ASCII);
  return { drop: true, sent, name, portal, decision, text, statement };
}

const NO_TYPES: Promise<readonly number[]> = Promise.resolve([]);
