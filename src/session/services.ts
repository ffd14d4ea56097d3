import type { ApprovalDesk } from '../approval/approval.ts';
import type { AuditEntry, AuditLog } from '../audit/event.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { PreviewSources } from '../preview/compute.ts';
import type { PreviewSink } from '../preview/results.ts';
import type { Turns } from '../preview/turns.ts';
import type { Restraints } from '../restraint/restraint.ts';
import type { Analysis, TextFacts } from '../sql/effects.ts';
import type { DropReading } from '../sql/named/drop-target.ts';
import type { Sought } from '../sql/named/if-exists.ts';
import type { PlpgsqlReading } from '../sql/parsing/plpgsql.ts';
import type { RecentShape } from '../sql/recent/recent-shapes.ts';
import type { Reading } from '../sql/recent/recent-texts.ts';
import type { WriteSlice } from '../sql/slices/slice.ts';
import type { PolicySource } from './ruling/bound-policy.ts';

/** Turns texts into effects; a promise where the text is too large to be parsed on this thread. */
export interface Analyzer {
  /** The shape of what was asked for last, where that was at hand, so that nothing was read for it. */
  readonly atHand?: AuditEntry['shape'];
  /** What texts of its shape say, where one was here lately; null, or left out, where that is not known. */
  recent?(bytes: Buffer, start: number, end: number, facts: TextFacts): RecentShape | null;
  /** What `recent` has given is gone by. */
  usedRecent?(): void;
  /** What `read` says of a text that was here lately; null, or left out, where it was not. */
  recentText?(bytes: Buffer, start: number, end: number, facts: TextFacts): Reading | null;
  read(bytes: Buffer, start: number, end: number, facts: TextFacts): Reading | Promise<Analysis>;
  analyze(bytes: Buffer, start: number, end: number, facts: TextFacts): Analysis | Promise<Analysis>;
  /** Reads a CREATE FUNCTION in PL/pgSQL, whose body is the text between its quotes. */
  readPlpgsql(definition: string, body: string): Promise<PlpgsqlReading>;
}

/** What is needed to take snapshots, where that is configured. */
export interface SnapshotServices {
  readonly store: BlobStore;
  readonly catalog: Catalog;
  /** The gateway's version, for the manifests. */
  readonly version: string;
  /** How long storing may keep a statement waiting. */
  readonly patienceMs: number;
  /** Whether the storage is known not to answer. */
  stalls(): boolean;
  /** Which rows the one statement of a text in UTF-8 changes. */
  slice(utf8: Buffer): Promise<WriteSlice>;
  /** What the one statement of a text in UTF-8 drops. */
  readDrop(utf8: Buffer): Promise<DropReading>;
  /** What the one statement of a text in UTF-8 names with IF EXISTS; null where that is not looked for. */
  readIfExists(utf8: Buffer): Promise<readonly Sought[] | null>;
}

/** What is needed to show approvers what a held statement would do. */
export interface PreviewServices {
  readonly sources: PreviewSources;
  readonly results: PreviewSink;
  readonly turns: Turns;
}

/** What a session needs of the rest of the program. */
export interface SessionServices {
  readonly analyzer: Analyzer;
  readonly policy: PolicySource;
  readonly audit: AuditLog;
  readonly approvals: ApprovalDesk;
  readonly restraints: Restraints;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** The longest Query, Parse or FunctionCall that is gathered to be decided. */
  readonly statementBytesMax: number;
  /** What approvals are bound to; null where they are not bound to the catalog. */
  readonly catalog: Catalog | null;
  /** Null where a decision to snapshot is only recorded. */
  readonly snapshots: SnapshotServices | null;
  /** Null where approvers are shown no more than the statement. */
  readonly previews: PreviewServices | null;
  /** What is needed to count rows before a statement is decided; null where they are not counted. */
  readonly counts: PreviewSources | null;
  /** Whether a commit waits until the records of what it commits are durable. */
  readonly recordsFirst: boolean;
}
