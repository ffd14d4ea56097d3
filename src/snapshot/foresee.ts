import type { Catalog, SureAnswer } from '../catalog/catalog.ts';
import type { WriteSlice } from '../sql/slices/slice.ts';
import { capturedColumns } from './capture-sql.ts';
import type { HiddenQuery } from './connection.ts';
import { maySayOwnCode } from './implied-code.ts';
import { type CapturePlan, type PlanOutcome, type PlanRequest, planRows } from './plan.ts';

/** What is planned where the catalog says again what it has said. */
export interface ForeseenRow {
  readonly plan: CapturePlan;
  readonly sure: SureAnswer;
}

/**
 * The plan of a statement of one row that may be run behind its capture, in one transaction with the question whether the
 * catalog still says what it has said; null where more than that would have to be known before.
 */
export function foreseeOneRow(catalog: Catalog, request: PlanRequest): ForeseenRow | null {
  const { scope, slice, parameters, asciiNames } = request;
  if (slice.kind !== 'rows' || asciiNames === true) return null;
  const question = { scope, relations: [slice.target], allReferrers: false, functions: slice.calls };
  const sure = catalog.sure(question);
  const target = sure?.answer.relations.get(sure.answer.roots[0] ?? 0);
  if (sure === null || target?.kind !== 'table') return null;
  // It may be run once more, its values as well.
  if (maySayOwnCode(slice, target, sure.answer)) return null;
  const planned = planRows(slice, sure.answer, parameters);
  return planned.kind === 'exact' && isOfOneRow(planned.plan, slice.equated)
    ? { plan: keptPlan(planned.plan), sure }
    : null;
}

/**
 * Asks for the row that a statement of one row has left, right behind it: by its own condition, which says nothing but which
 * key the row has, and which the statement leaves as it is. Null where it may not.
 */
export function rowLeft(slice: WriteSlice, plan: CapturePlan): HiddenQuery | null {
  const [source] = plan.sources;
  if (slice.kind !== 'rows' || slice.operation !== 'update' || source === undefined) return null;
  const { target, where, equated, assigned } = slice;
  if (!slice.equatesOnly || slice.with !== null || where === null) return null;
  if (assigned.some(({ column }) => equated.includes(column))) return null;
  const sql = `SELECT ${capturedColumns(target.reference, source.columns)} FROM ${target.text} WHERE ${where}`;
  const { types, values, formats } = plan.parameters;
  return {
    sql,
    parameterTypes: types,
    parameters: values,
    parameterFormats: formats,
    resultFormats: source.resultFormats,
  };
}

function isOfOneRow(plan: CapturePlan, equated: readonly string[]): boolean {
  const { operation, tables, sources, ownRowOnly, keptByTargetLock, watchesAll } = plan;
  const [table] = tables;
  if (operation !== 'update' && operation !== 'delete') return false;
  if (!ownRowOnly || !keptByTargetLock || watchesAll || sources.length > 1) return false;
  if (table === undefined || tables.length > 1 || !table.direct || table.mayGainRows) return false;
  return table.key?.every((column) => equated.includes(column)) === true;
}

/** The plan of a statement if the catalog still says what it said last, which it has yet to be asked; null where none is known. */
export function foreseePlan(catalog: Catalog, request: PlanRequest): CapturePlan | null {
  const { scope, slice, parameters, asciiNames } = request;
  if (slice.kind !== 'rows' || asciiNames === true) return null;
  const question = { scope, relations: [slice.target], allReferrers: false, functions: slice.calls };
  const answer = catalog.recall(question);
  if (answer === null || answer.relations.get(answer.roots[0] ?? 0)?.kind === 'view') return null;
  const planned = planRows(slice, answer, parameters);
  return planned.kind === 'exact' ? planned.plan : null;
}

/** Whether a plan is the one that was foreseen, but for what it is given: both come of one answer of the catalog. */
export function isForeseen(plan: CapturePlan, foreseen: CapturePlan | null): boolean {
  return foreseen !== null && plan.sources === foreseen.sources;
}

/**
 * A plan that was foreseen before its table was locked as the statement locks it, and is true behind that, without what
 * it rests on: that stays as it is, but for children that the table is given, whose rows the command tag counts.
 */
export function keptPlan(plan: CapturePlan): CapturePlan {
  return plan.keptByTargetLock ? { ...plan, bases: [], basesUncounted: plan.bases } : plan;
}

/** The same of what has come of planning; `foreseen` is null where nothing was locked. */
export function asKept(planned: PlanOutcome, foreseen: CapturePlan | null): PlanOutcome {
  if (planned.kind !== 'exact' || !isForeseen(planned.plan, foreseen)) return planned;
  return { kind: 'exact', plan: keptPlan(planned.plan) };
}
