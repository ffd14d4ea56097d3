import type { AuditEntry } from '../audit/event.ts';
import type { Analysis, TransactionVerb } from '../sql/effects.ts';
import { Frontend } from '../wire/message-type.ts';
import { noted } from './noted.ts';
import { auditFailedError } from './refusal.ts';
import { ReplyKind } from './replies.ts';
import type { Captured } from './snapshot-desk.ts';
import type { SessionState } from './state.ts';
import type { Answer } from './verdict.ts';

export const COMMITS: ReadonlySet<TransactionVerb> = new Set(['commit', 'prepare', 'commit-prepared']);

/** What commits by nothing but its segment's Sync when it comes by an Execute. */
const COMMITTED_BY_SYNC: ReadonlySet<string> = new Set([
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'copy from',
  'copy to',
]);

const OWED_READY: ReadonlySet<ReplyKind> = new Set([ReplyKind.Sync, ReplyKind.Query, ReplyKind.FunctionCall]);

export function commits({ statements }: Analysis): boolean {
  return statements.some(({ session }) =>
    session.some((effect) => effect.kind === 'transaction' && COMMITS.has(effect.verb)),
  );
}

/**
 * With `audit.durable_before_commit: on`, what may commit a change is sent only when the records of all that it may
 * commit are durable. So the records of a transaction are waited for once, in front of its COMMIT, and those of
 * a segment in front of its Sync; and a statement that commits by itself waits for its own.
 */
export class CommitRecord {
  private readonly state: SessionState;
  /** The open segment has run what may end a transaction, so that its Sync may commit what came behind it. */
  private endsTransaction = false;

  constructor(state: SessionState) {
    this.state = state;
  }

  /** Whether the statement has to be recorded before its message is sent. */
  isAwaited(type: number, entry: AuditEntry): boolean {
    const { services } = this.state;
    if (!services.recordsFirst || entry.analysis.status === 'empty') return false;
    const { risk, action } = entry.decision;
    const isDue = risk !== 'safe' || action !== 'allow' || !services.audit.isRecorded(entry.session);
    if (!isDue && type !== Frontend.Execute) return false;
    const isCommit = commits(entry.analysis);
    const mayCommit = isCommit || this.mayCommitItself(type, entry.analysis);
    this.endsTransaction = type === Frontend.Execute && (this.endsTransaction || isCommit);
    return isDue && mayCommit;
  }

  /** Has it recorded; what has come of that is as what has come of a capture. */
  async ofStatement(entry: AuditEntry): Promise<Captured> {
    const { audit } = this.state.services;
    audit.begin(entry);
    if (await audit.whenRecorded(entry.session)) return { kind: 'recorded', entry };
    return { kind: 'refused', error: auditFailedError(), entry };
  }

  /** Has it recorded where it goes on without a snapshot; what is captured sees to that itself. */
  async ofCaptured(type: number, capture: Promise<Captured>): Promise<Captured> {
    const captured = await capture;
    if (captured.kind !== 'without' || captured.begun === true) return captured;
    const { entry, why } = captured;
    entry.decision = noted(entry.decision, null, why);
    return this.isAwaited(type, entry) ? await this.ofStatement(entry) : captured;
  }

  /** The wait for what a Sync commits; null where it commits nothing that is not recorded. */
  ofSync(): Promise<Answer> | null {
    const { services, transactionStatus, identity } = this.state;
    const { endsTransaction } = this;
    this.endsTransaction = false;
    if (!services.recordsFirst || services.audit.isRecorded(identity)) return null;
    if (transactionStatus === 'T' && !endsTransaction && !this.owesReady()) return null;
    return services.audit
      .whenRecorded(identity)
      .then((recorded) => ({ analysis: null, outcome: { kind: 'recorded', recorded } }));
  }

  private mayCommitItself(type: number, { statements }: Analysis): boolean {
    const isInBlock = this.state.transactionStatus === 'T' && !this.endsTransaction && !this.owesReady();
    if (isInBlock || type !== Frontend.Execute) return !isInBlock;
    return !statements.every(({ operations }) => operations.every((each) => COMMITTED_BY_SYNC.has(each)));
  }

  /** Whether the transaction status may have moved since the server has told it. */
  private owesReady(): boolean {
    const { replies } = this.state;
    for (let i = 0; i < replies.length; i++) if (OWED_READY.has(replies.at(i).kind)) return true;
    return false;
  }
}
