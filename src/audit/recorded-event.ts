import type { Decision, Draft } from '../policy/decision.ts';
import type { Risk } from '../sql/effects.ts';
import { decodeSqlstate } from './block-format.ts';
import type { BlockReader, StoredText } from './block-reader.ts';
import type { RowsCounted } from './dictionary.ts';
import type { AuditEnd, AuditEntry } from './event.ts';

/** One event as the API and `holdfast audit` show it. */
export interface RecordedEvent {
  /** The sequence number, in decimal: events are numbered in the order in which they ended. */
  readonly id: string;
  /** When the statement was taken up, RFC 3339 in UTC with microseconds. */
  readonly time: string;
  readonly session: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  readonly client: string;
  readonly sql: string | null;
  readonly sql_truncated: boolean;
  /** Of all of the text in UTF-8, masked where `sql` is, also where `sql` was cut. */
  readonly sql_sha256: string | null;
  readonly statement_index: number;
  readonly parameters: number;
  readonly protocol: AuditEntry['protocol'];
  readonly operation: string;
  readonly operations: readonly string[];
  readonly tables: readonly string[];
  readonly risk: Risk;
  readonly reasons: readonly string[];
  /** Why the text was not understood, or null where it was. */
  readonly problem: string | null;
  readonly action: Decision['action'];
  readonly would_be: Decision['wouldBe'];
  /** What a rule that is only a draft would have done. */
  readonly draft: Draft | null;
  /** How many rows it was decided by, where that hung on their number. */
  readonly rows_counted: RowsCounted | null;
  readonly rule: string;
  readonly reason: string;
  readonly snapshot: string | null;
  readonly approval_id: string | null;
  readonly hold_ms: number;
  readonly end: AuditEnd;
  readonly rows: number | null;
  readonly sqlstate: string | null;
  /** Null where the outcome was never learnt. */
  readonly duration_ms: number | null;
  readonly transaction_status: 'I' | 'T' | 'E' | null;
  readonly context: Readonly<Record<string, string>>;
}

export function recordedEvent(block: BlockReader, index: number): RecordedEvent {
  const record = block.record(index);
  const session = block.session(record.session);
  const facts = block.facts(record.facts);
  const decision = block.decision(record.decision);
  const text: StoredText | null = block.text(record.text);
  return {
    id: String(record.seq),
    time: timeText(record.startedAtMs),
    session: session.id,
    role: session.role,
    database: session.database,
    application: session.application,
    client: session.client,
    sql: text?.sql ?? null,
    sql_truncated: text?.truncated ?? false,
    sql_sha256: text?.sha256 ?? null,
    statement_index: record.statementIndex,
    parameters: record.parameters,
    protocol: record.protocol,
    operation: facts.operation,
    operations: facts.operations,
    tables: facts.tables,
    risk: decision.risk,
    reasons: facts.reasons,
    problem: facts.problem === '' ? null : facts.problem,
    action: decision.action,
    would_be: decision.would_be,
    draft: decision.draft ?? null,
    rows_counted: decision.rows_counted ?? null,
    rule: decision.rule,
    reason: decision.reason,
    snapshot: decision.snapshot ?? (decision.action === 'snapshot' ? 'not yet taken' : null),
    approval_id: block.approval(record.approval),
    hold_ms: milliseconds(record.holdMs),
    end: record.end,
    rows: record.rows < 0 ? null : record.rows,
    sqlstate: decodeSqlstate(record.sqlstate),
    duration_ms: record.durationMs < 0 ? null : milliseconds(record.durationMs),
    transaction_status: record.transactionStatus === '?' ? null : record.transactionStatus,
    context: facts.context,
  };
}

export function timeText(timeMs: number): string {
  const wholeMs = Math.floor(timeMs);
  const micros = Math.min(999, Math.floor((timeMs - wholeMs) * 1000));
  return new Date(wholeMs).toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`);
}

/** To the microsecond, which is as far as what was stored can be trusted. */
function milliseconds(value: number): number {
  return Math.round(value * 1000) / 1000;
}
