import type { AuditEntry } from '../../audit/event.ts';
import type { Analysis, TransactionVerb } from '../../sql/effects.ts';
import { Frontend } from '../../wire/message-type.ts';
import { noteRead } from '../code/called-code-run.ts';
import { endsSegment } from '../replies.ts';
import { noted } from '../ruling/noted.ts';
import { auditFailedError } from '../ruling/refusal.ts';
import { heldBackSince } from '../ruling/restrained.ts';
import type { SessionState } from '../state.ts';
import type { Answer } from '../verdict.ts';
import type { Captured } from './snapshot-desk.ts';

const COMMITS: ReadonlySet<TransactionVerb> = new Set(['commit', 'prepare', 'commit-prepared']);

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

export function commits(analysis: Analysis): boolean {
  return hasVerb(analysis, (verb) => COMMITS.has(verb));
}

/** Whether a transaction block may end in it with nothing committed. */
function rollsBack(analysis: Analysis): boolean {
  return hasVerb(analysis, (verb) => verb === 'rollback');
}

function hasVerb({ statements }: Analysis, isWanted: (verb: TransactionVerb) => boolean): boolean {
  return statements.some(({ session }) =>
    session.some((effect) => effect.kind === 'transaction' && isWanted(effect.verb)),
  );
}

/**
 * With `audit.durable_before_commit: on`, what may commit a change is sent only when the records of all that it may
 * commit are durable. So the records of a transaction are waited for once, in front of its COMMIT, and those of
 * a segment in front of its Sync; and a statement that commits by itself waits for its own.
 */
export class CommitRecord {
  private readonly state: SessionState;

  constructor(state: SessionState) {
    this.state = state;
  }

  /** Whether the statement has to be recorded before its message is sent. */
  isAwaited(type: number, entry: AuditEntry): boolean {
    const { services } = this.state;
    if (!services.recordsFirst || entry.analysis.status === 'empty') return false;
    const { risk, action } = entry.decision;
    const isRead = (risk === 'safe' && action === 'allow') || entry.onlyReads === true;
    const { analysis } = entry;
    const isCommit = commits(analysis);
    const commitsOthers = isCommit || this.hasExecuted;
    const isDue = !isRead || (commitsOthers && !services.audit.isRecorded(entry.session));
    if (!isDue && type !== Frontend.Execute) return false;
    const endsBlock = isCommit || rollsBack(analysis);
    if (type === Frontend.Execute && endsBlock) this.state.endsBlock = true;
    // A ROLLBACK alone commits nothing; in a text of several, what comes behind it commits by itself.
    if (endsBlock && !isCommit && analysis.statements.length === 1) return false;
    return isDue && (endsBlock || this.mayCommitItself(type, analysis));
  }

  /** Has it recorded; what has come of that is as what has come of a capture. */
  async ofStatement(entry: AuditEntry): Promise<Captured> {
    const { audit } = this.state.services;
    const areOthers = audit.isRecorded(entry.session);
    audit.begin(entry);
    const isRecorded = await audit.whenRecorded(entry.session);
    // It is never sent.
    if (!isRecorded && areOthers) audit.abandon(entry.session);
    const error = isRecorded ? heldBackSince(this.state, entry) : auditFailedError();
    return error === null ? { kind: 'recorded', entry } : { kind: 'refused', error, entry };
  }

  /** Has it recorded where it goes on without a snapshot; what is captured sees to that itself. */
  async ofCaptured(type: number, capture: Promise<Captured>): Promise<Captured> {
    const captured = await capture;
    if (captured.kind !== 'without' || captured.begun === true) return captured;
    const { entry, why } = captured;
    entry.decision = noted(entry.decision, null, why);
    noteRead(entry);
    return this.isAwaited(type, entry) ? await this.ofStatement(entry) : captured;
  }

  /** The wait for what a Sync commits; null where it commits nothing that is not recorded. */
  ofSync(): Promise<Answer> | null {
    const { services, identity } = this.state;
    if (!services.recordsFirst || services.audit.isRecorded(identity)) return null;
    if (this.isInBlock()) return null;
    return services.audit.whenRecorded(identity).then((recorded) => {
      // Then the segment is taken back, and what the session has begun before it is committed or was.
      if (!recorded) services.audit.abandon(identity);
      return { analysis: null, outcome: { kind: 'recorded', recorded } };
    });
  }

  /** Something has been executed that is committed by whatever ends its segment; what was before it has ended. */
  private get hasExecuted(): boolean {
    const { executedIn, segment, inImplicitBlock } = this.state;
    return executedIn === segment || inImplicitBlock;
  }

  private mayCommitItself(type: number, { statements }: Analysis): boolean {
    const isInBlock = this.isInBlock();
    if (isInBlock || type !== Frontend.Execute) return !isInBlock;
    return !statements.every(({ operations }) => operations.every((each) => COMMITTED_BY_SYNC.has(each)));
  }

  private isInBlock(): boolean {
    const { replies, isInBlock } = this.state;
    if (!isInBlock) return false;
    for (let i = 0; i < replies.length; i++) if (endsSegment(replies.at(i).kind)) return false;
    return true;
  }
}
