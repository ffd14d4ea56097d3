import type { HiddenConnection } from '../../catalog/connection.ts';
import type { Capture } from '../../snapshot/capture.ts';
import type { ServerFacts } from '../../snapshot/counts.ts';
import type { TableName } from '../../snapshot/elsewhere.ts';
import type { CapturePlan } from '../../snapshot/plan.ts';
import type { SnapshotFacts, SnapshotWriter } from '../../snapshot/snapshot-writer.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import type { SeenRows } from '../holding/approved-rows.ts';
import type { LooksNext } from './ending.ts';
import type { StatementGate } from './statement-gate.ts';

/**
 * Whose transaction a captured statement runs in. `own`: a Query, in one that the gateway has begun and commits.
 * `block`: a Query, in the client's. `segment`: an Execute, in that of its segment.
 */
export type CaptureWay = 'own' | 'block' | 'segment';

/** What was captured of a statement that is about to run. */
export interface PreparedSnapshot {
  readonly plan: CapturePlan;
  readonly capture: Capture;
  readonly writer: SnapshotWriter;
  readonly folder: string;
  readonly facts: (read: ServerFacts) => SnapshotFacts;
  readonly required: boolean;
  /** What it has changed besides will be looked at the next time. */
  readonly remember?: (tables: readonly TableName[]) => void;
}

/** A statement that is about to run, and is looked at before what it does is committed. */
export interface Prepared {
  /** Null where only its rows are counted, against those that were approved. */
  readonly snapshot: PreparedSnapshot | null;
  /** The rows that it was approved for, as they were seen where nothing is captured. */
  readonly seen: SeenRows | null;
  readonly way: CaptureWay;
  readonly hidden: HiddenQueries;
  /** Whose queries end as the way asks for. */
  readonly connection: HiddenConnection;
  /** It is one of several statements of a Query, which is answered as a whole by whoever sends them. */
  readonly part: CapturedPart | null;
  /** Captures it once more, in another transaction of ours; null where there is none to begin. */
  readonly again: ((looks?: LooksNext) => Promise<Again | null>) | null;
  /** The transaction is one of ours that reads by one snapshot, which the client has not asked for. */
  readonly sharesSnapshot: boolean;
}

/** What is about to run once more, and what sends it. */
export interface Again {
  readonly prepared: Prepared;
  readonly send: (gate: StatementGate) => void;
}

export interface CapturedPart {
  /** What tells that it succeeded is kept from the client. */
  readonly keepsTag: boolean;
}
