import type { Metrics } from '../base/metrics.ts';
import type { Decision } from '../policy/decision.ts';
import { RISKS, type Risk } from '../sql/effects.ts';
import { ENDS } from './block-format.ts';
import type { AuditEnd, AuditEntry } from './event.ts';

const ACTIONS = ['allow', 'snapshot', 'hold', 'block'] as const satisfies readonly Decision['action'][];

/** Counts statements as they are audited, so that metrics and audit cannot tell different stories. */
export class StatementCounts {
  readonly #metrics: Metrics;
  readonly #cells: Record<Risk, Record<Decision['action'], Record<AuditEnd, number>>>;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.#cells = each(RISKS, (risk) =>
      each(ACTIONS, (action) => each(ENDS, (end) => metrics.statements.cellOf(risk, action, end))),
    );
  }

  count(entry: AuditEntry): void {
    const { risk, action } = entry.decision;
    const metrics = this.#metrics;
    metrics.statements.add(this.#cells[risk][action][entry.end]);
    if (entry.end === 'completed' || entry.end === 'failed')
      metrics.relaySeconds.observe(entry.durationMs / 1000);
    if (entry.holdMs > 0) metrics.holdSeconds.observe(entry.holdMs / 1000);
  }
}

function each<Key extends string, Value>(
  keys: readonly Key[],
  value: (key: Key) => Value,
): Record<Key, Value> {
  return Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<Key, Value>;
}
