import type { ErrorFields } from '../wire/backend.ts';
import { encodeSync } from '../wire/frontend.ts';
import { Frontend } from '../wire/message-type.ts';
import { BindMessages } from './bind-messages.ts';
import { besideBound, closeBound } from './capturing/bound-beside.ts';
import { giveBack, runCaptured } from './capturing/captured-query.ts';
import { CommitRecord } from './capturing/commit-record.ts';
import { DeferredDrops } from './capturing/deferred-drops.ts';
import { SnapshotDesk } from './capturing/snapshot-desk.ts';
import { countDecision, startOfMessage } from './decision-time.ts';
import { ExecuteMessages } from './execute-messages.ts';
import { HiddenQueries } from './hidden/hidden-queries.ts';
import { beforeUnnamed } from './hidden/kept-closed.ts';
import { ApprovedPortals } from './holding/approved-portals.ts';
import { HoldDesk } from './holding/hold.ts';
import { PreviewDesk } from './holding/preview-desk.ts';
import { mayBeHeld } from './holding/sent.ts';
import { sentCall } from './holding/sent-call.ts';
import { awaitsCopy, PART_OF_COPY, waitForCopy } from './known/copy-doubt.ts';
import { Doubts } from './known/doubts.ts';
import { calledBy } from './known/large-object-call.ts';
import { newEntry } from './new-entry.ts';
import { PlainExecutions } from './plain-executions.ts';
import { QueryMessages } from './query-messages.ts';
import { ReplyKind } from './replies.ts';
import { readByItsEnd } from './ruling/large-object-end.ts';
import { isAtEase } from './ruling/plain-query.ts';
import { NOTHING, POISON_EXECUTE, poison } from './ruling/poison.ts';
import { auditFailedError, internalError, tooLargeError } from './ruling/refusal.ts';
import { failRestrainedCopy } from './ruling/restrained-copy.ts';
import { RowCounts } from './ruling/row-counts.ts';
import { ruleUncaptured } from './ruling/ruling.ts';
import type { SessionState } from './state.ts';
import { StatementMessages } from './statement-messages.ts';
import type { Answer, Verdict } from './verdict.ts';
import { waitForCapture } from './waits.ts';

const SYNC = encodeSync();

/** In front of these the server may be asked something, once for each. */
const ASKS = new Uint8Array(256);
for (const type of [Frontend.Query, Frontend.Parse, Frontend.Bind, Frontend.Execute, Frontend.FunctionCall])
  ASKS[type] = 1;

/** Of these it is recorded that they ended while the server was asked about them. */
const RULED: ReadonlySet<number> = new Set([Frontend.Query, Frontend.Bind, Frontend.Execute]);

/** A reading that is older than what the server has told since is none; what came of a hold stays. */
function current(state: SessionState, answer: Answer | null): Answer | null {
  if (answer?.facts === undefined || answer.facts === state.textFacts) return answer;
  const { outcome } = answer;
  if (outcome?.kind !== 'held') return null;
  return outcome.end.kind === 'approved' ? { analysis: null, outcome } : answer;
}

/**
 * What each frontend message means to the session: which replies it is owed, what it does to the names, and what
 * policy says of it. The stream above it sees to the bytes.
 */
export class FrontendMessages {
  private readonly state: SessionState;
  private readonly holds: HoldDesk;
  readonly hidden: HiddenQueries;
  private readonly snapshots: SnapshotDesk;
  private readonly approved: ApprovedPortals;
  private readonly statements: StatementMessages;
  private readonly binds: BindMessages;
  private readonly executions: ExecuteMessages;
  private readonly deferred: DeferredDrops;
  private readonly doubts: Doubts;
  private readonly records: CommitRecord;
  private readonly counts: RowCounts;
  private readonly queries: QueryMessages;
  private readonly plain: PlainExecutions;

  constructor(state: SessionState) {
    this.state = state;
    this.hidden = new HiddenQueries(state);
    this.holds = new HoldDesk(state, this.hidden, new PreviewDesk(state, this.hidden));
    this.snapshots = new SnapshotDesk(state, this.hidden);
    this.doubts = new Doubts(state, this.hidden);
    this.records = new CommitRecord(state);
    this.counts = new RowCounts(state, this.hidden);
    this.approved = new ApprovedPortals(state, this.hidden);
    const { holds, hidden, snapshots, records, doubts, counts, approved } = this;
    this.binds = new BindMessages(state, holds, snapshots, doubts, counts, approved);
    this.executions = new ExecuteMessages(state, hidden, holds, snapshots, records, doubts, approved);
    this.queries = new QueryMessages(state, hidden, holds, snapshots, records, doubts, counts);
    this.statements = new StatementMessages(state, this.holds, this.approved);
    this.plain = new PlainExecutions(state, hidden, this.statements);
    this.deferred = new DeferredDrops(state, this.snapshots, this.holds, this.records);
  }

  /** The client has given up waiting, or is gone. */
  giveUp(how: 'canceled' | 'disconnected'): boolean {
    // A query of ours that is to be cancelled is for the server to end, as one of the client's is; and whoever only
    // sends no more is owed the answer to what it has sent.
    if (how === 'disconnected' && this.state.client.socket.destroyed) this.snapshots.giveUp();
    this.counts.giveUp(how);
    if (how === 'canceled') this.doubts.cancel();
    return this.holds.giveUp(how);
  }

  /** Where the execution ends that begins at `at`, if it is plain, and has been taken for sent; else 0. */
  runsPlain(bytes: Buffer, at: number, end: number): number {
    return this.approved.areOpen ? 0 : this.plain.take(bytes, at, end);
  }

  /**
   * Decides the message whose body is `bytes[start, end)`. Only a Bind may be incomplete there. `answer` is what
   * an earlier `wait` of the same message has brought.
   */
  decide(
    type: number,
    bytes: Buffer,
    start: number,
    end: number,
    answer: Answer | null,
    missingBytes = 0,
  ): Verdict {
    // The names know nothing of an execution that stands for its messages.
    if (this.state.replies.folded !== null) this.state.replies.unfold();
    if (type === Frontend.Query && answer === null)
      if (this.queries.runsPlain(bytes, start, end, this.approved.areOpen)) return null;
    const { state } = this;
    if (answer === null && ASKS[type] === 1) this.begins(type);
    state.settings.beforeMessage(state.replies.length > 0 || state.replies.segmentOpen);
    const mayBeSwallowed = PART_OF_COPY[type] !== 1 && awaitsCopy(state.replies);
    if (mayBeSwallowed || !isAtEase(state) || this.approved.areOpen || this.hidden.kept.mayStand) {
      const verdict = this.before(type, bytes, start, end, answer);
      if (verdict !== undefined) return verdict;
    }
    if (answer?.outcome?.kind === 'fault') return this.fault(type, answer.outcome.error);
    if (answer?.outcome?.kind === 'ended' && !RULED.has(type)) return this.refuse(type, answer.outcome.error);
    return this.understand(type, bytes, start, end, current(state, answer), missingBytes);
  }

  /** One of those messages is looked at for the first time. */
  private begins(type: number): void {
    this.doubts.begins(type);
    this.counts.begins();
    this.queries.begins();
  }

  /** What becomes of a message because of what came before it; undefined where it is to be understood by itself. */
  private before(
    type: number,
    bytes: Buffer,
    start: number,
    end: number,
    answer: Answer | null,
  ): Verdict | undefined {
    const { state } = this;
    if (state.discarding && type !== Frontend.Sync && type !== Frontend.Terminate) {
      if (answer?.outcome?.kind === 'capture') giveBack(state, answer.outcome.captured);
      return { kind: 'replace', bytes: NOTHING };
    }
    if (state.answeredAhead.length > 0) {
      // They have been seen, so that any other is a fault of ours, and what they have done must not be committed.
      if (state.answeredAhead.shift() !== type) state.fail(new Error('another message has been answered'));
      return { kind: 'replace', bytes: NOTHING };
    }
    if (state.gateAtSync !== null && type !== Frontend.Sync) {
      // Its Sync has been seen, so that this is a fault of ours, and what was captured would never be looked at.
      state.fail(new Error('no Sync follows an Execute that is looked at behind it'));
      return { kind: 'replace', bytes: NOTHING };
    }
    if (state.deferred !== null) {
      const verdict = this.deferred.before(type, bytes, start, end, answer);
      if (verdict !== null) return verdict;
    }
    if (PART_OF_COPY[type] !== 1) {
      // While it copies in, the server takes this for a loss of synchronization, and says so at the header.
      if (state.copyingIn) {
        if (answer?.outcome?.kind === 'capture') giveBack(state, answer.outcome.captured);
        return { kind: 'break' };
      }
      const wait = waitForCopy(state, answer);
      if (wait !== null) return wait;
      if (state.inDoubt && this.doubts.mayAsk(answer)) {
        const asking = this.doubts.before(type, bytes, start, end);
        if (asking !== null) return asking;
      }
    }
    if (this.hidden.kept.mayStand) {
      const closing = beforeUnnamed(state, this.hidden, type, bytes, start, end);
      if (closing !== null) return closing;
    }
    // What it was asked about before has closed none.
    if ((answer === null || answer.outcome === null) && this.approved.areOpen) {
      const closing = this.approved.before(type, bytes, start, end);
      if (closing !== null) return closing;
    }
    return undefined;
  }

  private understand(
    type: number,
    bytes: Buffer,
    start: number,
    end: number,
    answer: Answer | null,
    missingBytes: number,
  ): Verdict {
    switch (type) {
      case Frontend.Query:
        return this.queries.query(bytes, start, end, answer);
      case Frontend.Parse:
        return this.statements.parse(bytes, start, end, answer);
      case Frontend.Bind:
        return this.binds.bind(bytes, start, end, answer, missingBytes);
      case Frontend.Execute:
        return this.executions.execute(bytes, start, end, answer);
      case Frontend.Describe:
        return this.statements.describe(bytes, start, end, answer);
      case Frontend.Close:
        return this.statements.close(bytes, start, end);
      case Frontend.Sync:
        return this.sync(answer);
      case Frontend.FunctionCall:
        return this.functionCall(bytes, start, end, answer);
      case Frontend.CopyData:
        this.copyData();
        return null;
      case Frontend.CopyDone:
      case Frontend.CopyFail: {
        const failed = type === Frontend.CopyDone ? failRestrainedCopy(this.state) : null;
        if (this.state.replies.length > 0) this.state.replies.push(ReplyKind.CopyEnd);
        this.state.copyingIn = false;
        return failed;
      }
      default:
        // Flush and Terminate are owed nothing.
        return null;
    }
  }

  /** A CopyData is sent, of which nothing but its header is looked at. */
  copyData(): void {
    const { tail } = this.state.replies;
    if (tail?.kind === ReplyKind.Sync) tail.dataBehind = true;
  }

  /** Whether a message other than those of COPY cannot be understood now, so that it cannot be refused either. */
  get isInCopy(): boolean {
    const { copyingIn, copyDoubt, replies } = this.state;
    return copyingIn || copyDoubt !== 'none' || awaitsCopy(replies);
  }

  private fault(type: number, error: unknown): Verdict {
    this.state.services.log.error(
      { err: error, session: this.state.identity.id },
      'failed to decide a statement',
    );
    return this.refuse(type, internalError(error instanceof Error ? error.message : String(error)));
  }

  /** Replaces a message by one that fails at the server, and has that failure read as `error`. */
  refuse(type: number, error: ErrorFields): Verdict {
    return poison(this.state, type, error, null);
  }

  tooLarge(type: number): Buffer {
    const error = tooLargeError(
      type === Frontend.FunctionCall ? 'function call' : 'statement',
      this.state.services.statementBytesMax,
    );
    const verdict = this.refuse(type, error);
    return verdict?.kind === 'replace' ? verdict.bytes : POISON_EXECUTE;
  }

  private sync(answer: Answer | null): Verdict {
    const { state } = this;
    const closing = closeBound(state, this.hidden);
    if (closing !== null) return closing;
    const recorded = answer?.outcome?.kind === 'recorded' ? answer.outcome.recorded : null;
    const wait = recorded === null ? this.records.ofSync() : null;
    if (wait !== null) return { kind: 'wait', until: wait };
    const refused = recorded === false ? poison(state, Frontend.Execute, auditFailedError(), null) : null;
    state.syncs();
    const { gateAtSync: gate } = state;
    if (gate !== null) {
      state.gateAtSync = null;
      state.replies.tail!.gate = gate;
      return { kind: 'gate', until: gate.over, behind: null, sent: () => gate.sent() };
    }
    return refused === null ? null : { kind: 'replace', bytes: Buffer.concat([refused.bytes, SYNC]) };
  }

  private functionCall(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    if (answer?.outcome?.kind === 'capture')
      return runCaptured(this.state, Frontend.FunctionCall, answer.outcome.captured);
    const beside = this.state.bound === null ? null : besideBound(this.state, Frontend.FunctionCall);
    if (beside !== null) return beside;
    const began = startOfMessage(this.state);
    const { state, holds } = this;
    const called = calledBy(bytes, start, end);
    const { writes } = called;
    if (
      answer === null &&
      writes !== null &&
      state.takesQueries &&
      state.decide(called.analysis).action !== 'allow'
    )
      return { kind: 'wait', until: readByItsEnd(state, this.hidden, called, writes) };
    const analysis = answer?.analysis ?? called.analysis;
    const sent = mayBeHeld(state, state.decide(analysis)) ? sentCall(bytes, start, end) : null;
    const ruling = ruleUncaptured(state, holds, analysis, null, 0, answer, analysis, sent);
    countDecision(this.state, began);
    if (ruling.kind === 'wait') return ruling;
    const entry = newEntry(this.state, 'function', analysis, null, 0, ruling, began);
    if (ruling.kind === 'refuse') return poison(this.state, Frontend.FunctionCall, ruling.error, entry);
    if (this.records.isAwaited(Frontend.FunctionCall, entry))
      return waitForCapture(this.state, null, this.records.ofStatement(entry));
    this.state.closeSegment();
    this.state.replies.push(ReplyKind.FunctionCall).audit = entry;
    this.state.services.audit.begin(entry);
    if (analysis.touchesSession) this.state.codeRuns();
    return null;
  }
}
