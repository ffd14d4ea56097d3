import type { Decision, Mode, SessionFacts } from '../../policy/decision.ts';
import type { ColumnPattern } from '../../policy/name-pattern.ts';
import type { ByRows, Count, RowBand } from '../../policy/row-bands.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { ErrorFields } from '../../wire/backend.ts';

/** Policy as it stands for sessions with the same facts. */
export interface SessionPolicy {
  decide(analysis: Analysis): Decision;
  /** Whether tables, columns or functions are told apart by their names; false only where they surely are not. */
  readonly goesByNames?: boolean;
  /** Null where no rule compares numbers of rows. */
  readonly byRows?: Pick<ByRows, 'bands' | 'decide' | 'undecided'> | null;
}

/** The policy in force. `forSession` gives the same object for equal facts until the policy is replaced. */
export interface PolicySource {
  readonly current: {
    readonly mode: Mode;
    /** Columns whose values are kept from previews. */
    readonly masks?: readonly ColumnPattern[];
    forSession(facts: SessionFacts): SessionPolicy;
  };
}

export type EndedCount =
  | { readonly kind: 'canceled' | 'disconnected' }
  | { readonly kind: 'refused'; readonly error: ErrorFields };

/** How many rows the statement of a message writes, as they were counted for it. */
export interface CountedMessage {
  readonly analysis: Analysis;
  readonly count: Count;
  /** Why the statement does not run, whatever its number: the client has given up, or the server ended it. */
  readonly ended: EndedCount | null;
}

/** The policy in force, as it decides the statements of one session. */
export class BoundPolicy {
  /** What was counted of the message that is dealt with; null where it does not hang on that, or not yet. */
  counted: CountedMessage | null = null;
  private readonly source: PolicySource;
  private readonly replication: boolean;
  private facts: SessionFacts;
  private bound: SessionPolicy;
  private boundTo: PolicySource['current'];
  /** What was decided last, which is asked for several times while a message is dealt with. */
  private decidedLast: Analysis | null = null;
  private lastDecision: Decision = REPLICATION;

  constructor(source: PolicySource, facts: SessionFacts, replication: boolean) {
    this.source = source;
    this.replication = replication;
    this.facts = facts;
    this.boundTo = source.current;
    this.bound = this.boundTo.forSession(facts);
  }

  /** Decides by these facts from now on. */
  bind(facts: SessionFacts): void {
    this.facts = facts;
    this.decidedLast = null;
    this.boundTo = this.source.current;
    this.bound = this.boundTo.forSession(facts);
  }

  /** Policy as it stands for the session now. */
  get inForce(): SessionPolicy {
    if (this.source.current !== this.boundTo) this.bind(this.facts);
    return this.bound;
  }

  decide(analysis: Analysis): Decision {
    if (this.replication) return REPLICATION;
    if (this.source.current !== this.boundTo) this.bind(this.facts);
    if (this.counted !== null && this.counted.analysis === analysis) return this.decideCounted(this.counted);
    if (analysis === this.decidedLast) return this.lastDecision;
    const decision = this.bound.decide(analysis);
    // What was read of a text of many statements would be kept for as long as the session is idle.
    this.decidedLast = analysis.statements.length > 1 ? null : analysis;
    this.lastDecision = decision;
    return decision;
  }

  /** How it decides the statement by the number of its rows; null where that does not matter. */
  rowBands(analysis: Analysis): readonly RowBand[] | null {
    if (this.replication) return null;
    if (this.source.current !== this.boundTo) this.bind(this.facts);
    return this.bound.byRows?.bands(analysis) ?? null;
  }

  private decideCounted({ analysis, count, ended }: CountedMessage): Decision {
    const decision = this.bound.decide(analysis);
    if (ended !== null && 'reason' in count)
      return this.bound.byRows?.undecided(analysis, count.reason, decision) ?? decision;
    return this.bound.byRows?.decide(analysis, count, decision) ?? decision;
  }
}

const REPLICATION: Decision = Object.freeze({
  action: 'allow',
  rule: 'startup.replication',
  reason: 'The configuration lets replication connections pass.',
  risk: 'forbidden',
  wouldBe: null,
});
