import type { CounterGrid, Histogram, Metrics } from '../base/metrics.ts';

/** What a chart of the gateway is drawn from: all counts since its start, so that a missed one does no harm. */
export function liveNumbers(metrics: Metrics) {
  return {
    time: new Date().toISOString(),
    sessions_open: metrics.sessionsOpen,
    statements_held: metrics.statementsHeld,
    statements: totals(metrics.statements),
    decision_seconds: buckets(metrics.decisionSeconds),
    relay_seconds: buckets(metrics.relaySeconds),
    audit_queue_bytes: metrics.auditQueueBytes,
  };
}

/** Of each value of each label: `{ risk: { safe: 12, … }, action: … }`. */
function totals(grid: CounterGrid): Record<string, Record<string, number>> {
  const sums = Object.fromEntries(
    grid.labels.map(({ name, values }) => [name, Object.fromEntries(values.map((value) => [value, 0]))]),
  );
  grid.cells.forEach((count, cell) => {
    for (const [name, value] of Object.entries(grid.valuesOf(cell))) sums[name]![value]! += count;
  });
  return sums;
}

/** Counts up to each bound and above the one before, the last above all of them. */
function buckets({ bounds, counts, sum }: Histogram) {
  return { bounds, counts: [...counts], sum };
}
