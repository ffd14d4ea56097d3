import { ERROR_CATALOGUE, type ErrorCode } from './errors.ts';

const APPROVAL_OUTCOMES = [
  'approved',
  'denied',
  'canceled',
  'disconnected',
  'timeout',
  'superseded',
  'abandoned',
];

/**
 * What the gateway counts, as plain numbers: counting costs a few nanoseconds, and whoever exposes them reads
 * them when asked. All labels are known beforehand, so that no client can make them grow.
 */
export class Metrics {
  readonly statements = new CounterGrid([
    { name: 'risk', values: ['safe', 'low', 'high', 'critical', 'forbidden'] },
    { name: 'action', values: ['allow', 'snapshot', 'hold', 'block'] },
    { name: 'outcome', values: ['completed', 'suspended', 'failed', 'blocked', 'not-run', 'lost'] },
  ]);
  /** Statements that rules which are drafts would have decided, and how they were. */
  readonly drafts = new CounterGrid([
    { name: 'draft', values: ['allow', 'snapshot', 'hold', 'block'] },
    { name: 'action', values: ['allow', 'snapshot', 'hold', 'block'] },
  ]);
  /** Sessions refused or ended by the gateway, by the code of the error. */
  readonly refusals = new CounterGrid([
    { name: 'reason', values: Object.keys(ERROR_CATALOGUE).map((code) => code.toLowerCase()) },
  ]);
  readonly approvals = new CounterGrid([{ name: 'outcome', values: APPROVAL_OUTCOMES }]);
  readonly webhookMessages = new CounterGrid([
    { name: 'outcome', values: ['delivered', 'failed', 'given up'] },
  ]);
  readonly decisionSeconds = new Histogram(FAST_SECONDS);
  readonly relaySeconds = new Histogram(QUERY_SECONDS);
  readonly holdSeconds = new Histogram(WAIT_SECONDS);

  /** Undos over the admin API. */
  readonly undos = new CounterGrid([{ name: 'outcome', values: ['done', 'conflicts', 'refused', 'failed'] }]);
  /** Snapshots that were removed: because somebody asked, by age or the size of all, or as of no use. */
  readonly snapshotsRemoved = new CounterGrid([
    { name: 'reason', values: ['asked', 'age', 'size', 'rolled back'] },
  ]);

  sessionsTotal = 0;
  sessionsOpen = 0;
  statementsHeld = 0;
  /** 1 while everything that is not safe is refused. */
  paused = 0;
  quarantined = 0;
  /** What webhooks have not taken yet. */
  outboxMessages = 0;
  bytesFromClients = 0;
  bytesToClients = 0;
  cancelRequests = 0;
  protocolErrors = 0;
  policyReloads = 0;
  policyReloadFailures = 0;

  /** As the last sweep has found them. */
  snapshotsKept = 0;
  snapshotsKeptBytes = 0;
  snapshotsRemovedBytes = 0;
  snapshotSweepFailures = 0;
  /** 1 while nothing can be written where the snapshots are. */
  snapshotStorageFailing = 0;
  snapshotStorageFailures = 0;

  auditEvents = 0;
  auditBlocks = 0;
  auditFailures = 0;
  auditHeads = 0;
  auditAnchors = 0;
  auditAnchorFailures = 0;
  /** The last event that a head outside the store covers. */
  auditAnchoredSeq = 0;
  auditQueueBytes = 0;
  /** When the oldest event that is not yet durable was queued, or null where all are durable. */
  auditQueuedSinceMs: number | null = null;

  refused(code: ErrorCode): void {
    this.refusals.add(this.refusals.cellOf(code.toLowerCase()));
  }
}

export interface Label {
  readonly name: string;
  readonly values: readonly string[];
}

/** Counters for each combination of labels. The hot path keeps the number of the cell it counts in. */
export class CounterGrid {
  readonly labels: readonly Label[];
  readonly cells: Float64Array;

  constructor(labels: readonly Label[]) {
    this.labels = labels;
    this.cells = new Float64Array(labels.reduce((size, label) => size * label.values.length, 1));
  }

  cellOf(...values: readonly string[]): number {
    return this.labels.reduce((cell, label, i) => {
      const index = label.values.indexOf(values[i] ?? '');
      if (index < 0) throw new Error(`${label.name} has no value ${values[i]}`);
      return cell * label.values.length + index;
    }, 0);
  }

  add(cell: number, by = 1): void {
    this.cells[cell]! += by;
  }

  /** The values of the labels that a cell stands for. */
  valuesOf(cell: number): Record<string, string> {
    const values: [string, string][] = [];
    let rest = cell;
    for (const label of this.labels.toReversed()) {
      values.unshift([label.name, label.values[rest % label.values.length]!]);
      rest = Math.floor(rest / label.values.length);
    }
    return Object.fromEntries(values);
  }
}

/** Counts of observations up to each bound. */
export class Histogram {
  readonly bounds: readonly number[];
  /** One more than the bounds: the last is for what is above all of them. Not cumulative. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** `times` where the value stands for as many that were not measured. */
  observe(value: number, times = 1): void {
    const bounds = this.bounds;
    let i = 0;
    while (i < bounds.length && value > bounds[i]!) i++;
    this.counts[i]! += times;
    this.sum += value * times;
  }
}

const FAST_SECONDS = [0.000_001, 0.000_005, 0.000_025, 0.000_1, 0.000_5, 0.002_5, 0.01, 0.05, 0.25, 1];
const QUERY_SECONDS = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60,
];
const WAIT_SECONDS = [0.1, 1, 5, 15, 60, 300, 900, 1800, 3600];
