import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { nowMs } from '../base/clock.ts';
import type { CounterGrid, Histogram, Metrics } from '../base/metrics.ts';
import type { AdminDeps } from './deps.ts';

/** The registry that /metrics shows: the gateway's own numbers, read when asked, and those of the process. */
export function metricsRegistry(deps: Pick<AdminDeps, 'metrics' | 'status' | 'policy'>): Registry {
  const registry = new Registry();
  for (const metric of gatewayMetrics(deps)) registry.registerMetric(metric as unknown as Metric);
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  return registry;
}

type Kind = 'counter' | 'gauge' | 'histogram';

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Where it is not that of the metric: a histogram's samples have names of their own. */
  readonly metricName?: string;
}

/** What prom-client asks of a metric when it writes the page. */
interface ReadMetric {
  readonly name: string;
  get(): { name: string; help: string; type: Kind; aggregator: 'sum'; values: Sample[] };
  reset(): void;
}

function gatewayMetrics({
  metrics,
  status,
  policy,
}: Pick<AdminDeps, 'metrics' | 'status' | 'policy'>): ReadMetric[] {
  const m = metrics;
  return [
    grid('statements_total', 'Statements by risk, action and outcome.', m.statements),
    grid(
      'draft_statements_total',
      'Statements that a rule which is a draft would have decided, by what it would have done and what was done.',
      m.drafts,
    ),
    grid('refusals_total', 'Sessions refused or ended by the gateway, by the code of the error.', m.refusals),
    grid('approvals_total', 'Held statements by how the hold ended.', m.approvals),
    grid('undos_total', 'Undos over the admin API by how they ended.', m.undos),
    grid('snapshots_removed_total', 'Snapshots that were removed, and why.', m.snapshotsRemoved),
    grid('webhook_messages_total', 'Attempts to tell webhooks, and what was given up.', m.webhookMessages),
    number('gauge', 'outbox_messages', 'Messages that webhooks have not taken yet.', () => m.outboxMessages),
    histogram(
      'decision_seconds',
      'Time to read or decide a Query, Parse, Bind or FunctionCall.',
      m.decisionSeconds,
    ),
    histogram('relay_seconds', 'Time from sending a statement upstream to its answer.', m.relaySeconds),
    histogram('hold_seconds', 'Time that statements were held.', m.holdSeconds),
    number('counter', 'sessions_total', 'Sessions accepted.', () => m.sessionsTotal),
    number('gauge', 'sessions_open', 'Sessions that are open.', () => m.sessionsOpen),
    number('gauge', 'statements_held', 'Statements that wait for approval.', () => m.statementsHeld),
    number('gauge', 'paused', 'Whether the gateway is paused.', () => m.paused),
    number('gauge', 'quarantined', 'Quarantines in force.', () => m.quarantined),
    number('counter', 'client_received_bytes_total', 'Bytes from clients.', () => m.bytesFromClients),
    number('counter', 'client_sent_bytes_total', 'Bytes to clients.', () => m.bytesToClients),
    number('counter', 'cancel_requests_total', 'Cancel requests relayed.', () => m.cancelRequests),
    number(
      'counter',
      'protocol_errors_total',
      'Sessions ended for breaking the protocol.',
      () => m.protocolErrors,
    ),
    number('counter', 'policy_reloads_total', 'Policies that were put in force.', () => m.policyReloads),
    number(
      'counter',
      'policy_reload_failures_total',
      'Policies that did not load.',
      () => m.policyReloadFailures,
    ),
    number('gauge', 'snapshots_kept', 'Snapshots that the last sweep has found.', () => m.snapshotsKept),
    number(
      'gauge',
      'snapshots_kept_bytes',
      'Bytes of all that is kept for snapshots.',
      () => m.snapshotsKeptBytes,
    ),
    number(
      'counter',
      'snapshots_removed_bytes_total',
      'Bytes that sweeps have removed.',
      () => m.snapshotsRemovedBytes,
    ),
    number(
      'counter',
      'snapshot_sweep_failures_total',
      'Sweeps of snapshots that failed.',
      () => m.snapshotSweepFailures,
    ),
    number(
      'gauge',
      'snapshot_storage_failing',
      'Whether nothing can be written where the snapshots are.',
      () => m.snapshotStorageFailing,
    ),
    number(
      'counter',
      'snapshot_storage_failures_total',
      'Writes to the storage of the snapshots that failed.',
      () => m.snapshotStorageFailures,
    ),
    number('counter', 'audit_events_total', 'Audit events handed to the store.', () => m.auditEvents),
    number('counter', 'audit_blocks_total', 'Audit blocks handed to the store.', () => m.auditBlocks),
    number('counter', 'audit_failures_total', 'Writes of the audit that failed.', () => m.auditFailures),
    number('counter', 'audit_heads_total', 'Heads of the audit that were signed.', () => m.auditHeads),
    number('counter', 'audit_anchors_total', 'Heads of the audit that were anchored.', () => m.auditAnchors),
    number(
      'counter',
      'audit_anchor_failures_total',
      'Attempts to anchor a head that failed.',
      () => m.auditAnchorFailures,
    ),
    number('gauge', 'audit_queue_bytes', 'Audit events that are not yet durable.', () => m.auditQueueBytes),
    number('gauge', 'audit_lag_seconds', 'Age of the oldest event that is not yet durable.', () =>
      auditLagS(m),
    ),
    info('build_info', 'The version that runs.', () => ({
      version: status().version,
      node: process.version,
    })),
    info('policy_info', 'The policy in force.', () => {
      const { revision, mode } = policy.current();
      return { revision, mode };
    }),
  ];
}

function auditLagS({ auditQueuedSinceMs }: Metrics): number {
  return auditQueuedSinceMs === null ? 0 : Math.max(0, nowMs() - auditQueuedSinceMs) / 1000;
}

function metric(type: Kind, name: string, help: string, values: (fullName: string) => Sample[]): ReadMetric {
  const fullName = `holdfast_${name}`;
  return {
    name: fullName,
    get: () => ({ name: fullName, help, type, aggregator: 'sum', values: values(fullName) }),
    reset() {},
  };
}

function number(type: 'counter' | 'gauge', name: string, help: string, read: () => number): ReadMetric {
  return metric(type, name, help, () => [{ value: read(), labels: {} }]);
}

function info(name: string, help: string, read: () => Record<string, string>): ReadMetric {
  return metric('gauge', name, help, () => [{ value: 1, labels: read() }]);
}

function grid(name: string, help: string, counters: CounterGrid): ReadMetric {
  return metric('counter', name, help, () =>
    Array.from(counters.cells, (value, cell) => ({ value, labels: counters.valuesOf(cell) })),
  );
}

function histogram(name: string, help: string, from: Histogram): ReadMetric {
  return metric('histogram', name, help, (fullName) => {
    const values: Sample[] = [];
    let count = 0;
    from.counts.forEach((inBucket, i) => {
      count += inBucket;
      const le = i < from.bounds.length ? String(from.bounds[i]) : '+Inf';
      values.push({ metricName: `${fullName}_bucket`, labels: { le }, value: count });
    });
    values.push({ metricName: `${fullName}_sum`, labels: {}, value: from.sum });
    values.push({ metricName: `${fullName}_count`, labels: {}, value: count });
    return values;
  });
}
