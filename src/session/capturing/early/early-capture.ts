import { HiddenQueryError } from '../../../catalog/connection.ts';
import { StalePlan } from '../../../snapshot/capture.ts';
import { isForeseen } from '../../../snapshot/foresee.ts';
import {
  type CapturePlan,
  NO_PARAMETERS,
  type PlanOutcome,
  type StatementParameters,
} from '../../../snapshot/plan.ts';
import type { WriteSlice } from '../../../sql/slices/slice.ts';
import type { Bind } from '../../../wire/bind.ts';
import { HiddenQueryEnded } from '../../hidden/hidden-exchange.ts';
import { parametersOf } from '../../known/bound-parameters.ts';
import type { PreparedStatement } from '../../known/names.ts';
import { toldTypes } from '../../known/parameter-types.ts';
import type { SessionState } from '../../state.ts';
import { type Begun, beginCapture, mayBeginEarly } from '../begun-capture.ts';
import type { BoundText } from '../bind-plan.ts';
import type { CaptureRun } from '../capture-run.ts';
import { runsAtOnce } from '../comes-next.ts';

/**
 * Captures the rows of what is being bound by the plan and the types of last time, in the round trip in which the server is
 * asked whether both are still so.
 */

interface Told {
  readonly types: readonly number[];
  /** What was planned by what the catalog said then. */
  readonly sources: CapturePlan['sources'];
}

/** Of the parameters of texts, and of statements, as the server has told them to this session last. */
const TYPES = new WeakMap<SessionState, WeakMap<WriteSlice | PreparedStatement, Told>>();

export function noteTypes(
  state: SessionState,
  statement: PreparedStatement,
  slice: WriteSlice,
  { sources }: CapturePlan,
  types: readonly number[],
): void {
  const known = TYPES.get(state) ?? new WeakMap<WriteSlice | PreparedStatement, Told>();
  const told = { types, sources };
  TYPES.set(state, known.set(slice, told).set(statement, told));
}

/**
 * The parameters by their types, or those that the same text had last; null where they are not known, or not PostgreSQL's own,
 * whose code would run.
 */
export function guessedParameters(
  state: SessionState,
  { portal, statement, slice, bind }: BoundText,
): StatementParameters | null {
  if (bind.parameters.length === 0) return NO_PARAMETERS;
  return parametersBy(toldTypes(portal.statement, statement) ?? TYPES.get(state)?.get(slice)?.types, bind);
}

/**
 * The same, only where they are its own, or were told of the same text while the catalog said what it is taken to say now: for
 * what cannot be taken back where they are others.
 */
export function toldParameters(
  state: SessionState,
  { portal, statement, bind }: BoundText,
  { sources }: CapturePlan,
): StatementParameters | null {
  if (bind.parameters.length === 0) return NO_PARAMETERS;
  const types = toldTypes(portal.statement, statement);
  if (types !== null) return parametersBy(types, bind);
  const last = TYPES.get(state)?.get(portal.statement);
  return last?.sources === sources ? parametersBy(last.types, bind) : null;
}

function parametersBy(types: readonly number[] | undefined, bind: Bind): StatementParameters | null {
  if (types?.every((oid) => oid > 0 && oid < FIRST_OWN_OID) !== true) return null;
  return parametersOf(bind, types);
}

/** What comes after initdb has a larger OID. */
const FIRST_OWN_OID = 16384;

type BindRun = Pick<
  CaptureRun,
  'state' | 'services' | 'hidden' | 'connection' | 'request' | 'text' | 'entry' | 'decision'
>;

export const inSegment = (run: BindRun): CaptureRun => ({
  ...run,
  analysis: run.entry.analysis,
  way: 'segment',
  part: null,
  gaveUp: () => false,
});

/** Only where its Execute has come as well: rows that others add until then would be changed, and are not captured. */
export function mayBeginAtBind(run: BindRun, plan: CapturePlan): boolean {
  return mayBeginEarly(inSegment(run), plan) && runsAtOnce(run.state.putBy());
}

export function beginAtBind(
  run: BindRun,
  foreseen: CapturePlan,
  parameters: StatementParameters,
): EarlyCapture {
  run.state.dropEarly();
  const begun = beginCapture(inSegment(run), { ...foreseen, parameters }, false);
  run.state.early = begun;
  return new EarlyCapture(run.state, begun);
}

interface ToldAtBind {
  readonly types: readonly number[];
  readonly planned: PlanOutcome;
}

export type Standing =
  | { readonly kind: 'stands' }
  | { readonly kind: 'falls' }
  /** What it has failed with would fail the statement as well, or was a cancel: of which the client reads at its Execute. */
  | { readonly kind: 'ends'; readonly error: HiddenQueryError };

/** A capture that was begun before it was known whether its plan is true. */
export class EarlyCapture {
  private readonly state: SessionState;
  readonly begun: Begun;

  constructor(state: SessionState, begun: Begun) {
    this.state = state;
    this.begun = begun;
  }

  /** Whether it is the capture of the statement. Where it is not, it is given up, and has to be taken back. */
  async stands(told: Promise<ToldAtBind>, foreseen: CapturePlan): Promise<Standing> {
    const why = await this.begun.capture.then(
      () => null,
      (error: unknown) => error,
    );
    try {
      const isTrue = await told.then(
        ({ types, planned }) => isAsForeseen(types, planned, this.begun.plan, foreseen),
        (error: unknown) => untrueOnly(error, why),
      );
      if (why instanceof HiddenQueryEnded) throw why;
      if (isTrue && !(why instanceof HiddenQueryError) && !(why instanceof StalePlan))
        return { kind: 'stands' };
    } catch (error) {
      this.state.dropEarly();
      throw error;
    }
    this.state.dropEarly();
    return why instanceof HiddenQueryError && endsStatement(why)
      ? { kind: 'ends', error: why }
      : { kind: 'falls' };
  }
}

function isAsForeseen(
  types: readonly number[],
  planned: PlanOutcome,
  { parameters }: CapturePlan,
  foreseen: CapturePlan,
): boolean {
  if (planned.kind !== 'exact' || !isForeseen(planned.plan, foreseen)) return false;
  const guessed = parameters.types;
  return types.length === guessed.length && types.every((oid, i) => oid === guessed[i]);
}

/** What was asked behind a capture that has failed is discarded with it. */
function untrueOnly(error: unknown, why: unknown): false {
  const isDiscarded = error instanceof HiddenQueryEnded && error.why === 'discarded';
  if (isDiscarded && why instanceof HiddenQueryError) return false;
  throw error;
}

/** Cancelled, or failed for locks: so the statement would be as well. */
export const endsStatement = ({ sqlstate }: HiddenQueryError): boolean => ENDS.has(sqlstate);

const ENDS: ReadonlySet<string> = new Set(['57014', '55P03', '40P01', '40001']);
