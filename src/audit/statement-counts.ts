import { assert } from '../base/assert.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Decision } from '../policy/decision.ts';
import { RISKS, type Risk } from '../sql/effects.ts';
import { ENDS, placeOf } from './block-format.ts';
import type { AuditEnd, AuditEntry } from './event.ts';

const ACTIONS = ['allow', 'snapshot', 'hold', 'block'] as const satisfies readonly Decision['action'][];

/** Counts statements as they are audited, so that metrics and audit cannot tell different stories. */
export class StatementCounts {
  readonly #metrics: Metrics;
  /** Of what was counted last: most is decided and ends as what came before. */
  #decision: Decision | null = null;
  #end: AuditEnd = 'lost';
  #cell = 0;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    // Cells are counted off as the grid does it, which is compared once.
    const last = cellOf(RISKS.at(-1)!, ACTIONS.at(-1)!, ENDS.at(-1)!);
    assert(
      last === metrics.statements.cells.length - 1 &&
        last === metrics.statements.cellOf(RISKS.at(-1)!, ACTIONS.at(-1)!, ENDS.at(-1)!),
      'the grid of statements has the labels that the audit has',
    );
  }

  count(entry: AuditEntry): void {
    const { decision, end } = entry;
    const { draft, action } = decision;
    const metrics = this.#metrics;
    if (decision !== this.#decision || end !== this.#end) {
      this.#cell = cellOf(decision.risk, action, end);
      this.#decision = decision;
      this.#end = end;
    }
    metrics.statements.add(this.#cell);
    if (draft !== undefined) metrics.drafts.add(metrics.drafts.cellOf(draft.action, action));
    if (end === 'completed' || end === 'failed') metrics.relaySeconds.observe(entry.durationMs / 1000);
    if (entry.holdMs > 0) metrics.holdSeconds.observe(entry.holdMs / 1000);
  }
}

/** By search, which for names that mostly come first is faster than a table of them. */
function cellOf(risk: Risk, action: Decision['action'], end: AuditEnd): number {
  return (
    (placeOf(risk, RISKS) * ACTIONS.length + placeOf(action, ACTIONS)) * ENDS.length + placeOf(end, ENDS)
  );
}
