import type { AuditEntry } from '../audit/event.ts';
import { keepLiterals } from '../audit/kept-literals.ts';
import type { Analysis } from '../sql/effects.ts';
import type { RecentShape } from '../sql/recent/recent-shapes.ts';
import { queryTextEnd } from '../wire/frontend.ts';
import { Frontend } from '../wire/message-type.ts';
import { besideBound } from './capturing/bound-beside.ts';
import { runCaptured } from './capturing/captured-query.ts';
import type { CommitRecord } from './capturing/commit-record.ts';
import { type Lossless, losslessOf } from './capturing/lossless.ts';
import type { SnapshotDesk } from './capturing/snapshot-desk.ts';
import { noteRead } from './code/called-code-run.ts';
import { countAlike, countDecision, startOfAlike } from './decision-time.ts';
import type { HiddenQueries } from './hidden/hidden-queries.ts';
import { isWatched } from './holding/approved-rows.ts';
import { watchQuery } from './holding/approved-run.ts';
import type { HoldDesk } from './holding/hold.ts';
import { exactText, mayBeHeld } from './holding/sent.ts';
import type { Doubts } from './known/doubts.ts';
import { resolveExecute, statementsSent } from './known/session-effects.ts';
import { executes, executesUnsettled } from './known/understanding.ts';
import { newEntry } from './new-entry.ts';
import { ReplyKind } from './replies.ts';
import { isAtRest, keepPlainQuery, type PlainQuery, plainQueryOf } from './ruling/plain-query.ts';
import { poison } from './ruling/poison.ts';
import { auditFailedError } from './ruling/refusal.ts';
import type { RowCounts } from './ruling/row-counts.ts';
import { rule } from './ruling/ruling.ts';
import { SureRefusals } from './ruling/sure-refusal.ts';
import { UnreadTexts } from './ruling/unread-text.ts';
import type { SessionState } from './state.ts';
import type { Answer, Verdict } from './verdict.ts';
import { settle, waitForAnalysis, waitForCapture } from './waits.ts';

/** What a Query means to the session: its text is read, decided, and run. */
export class QueryMessages {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly holds: HoldDesk;
  private readonly snapshots: SnapshotDesk;
  private readonly records: CommitRecord;
  private readonly doubts: Doubts;
  private readonly counts: RowCounts;
  private readonly unread: UnreadTexts;
  private readonly refusals: SureRefusals;
  /** In how many ways it was found that the message may lose something. */
  private loses = 0;
  /** What is known of the text that is looked at, since one of its shape was here lately. */
  private recent: RecentShape | null = null;

  constructor(
    state: SessionState,
    hidden: HiddenQueries,
    holds: HoldDesk,
    snapshots: SnapshotDesk,
    records: CommitRecord,
    doubts: Doubts,
    counts: RowCounts,
  ) {
    this.state = state;
    this.hidden = hidden;
    this.holds = holds;
    this.snapshots = snapshots;
    this.records = records;
    this.doubts = doubts;
    this.counts = counts;
    this.unread = new UnreadTexts(state, hidden);
    this.refusals = new SureRefusals(state, hidden);
  }

  /** A message of the client's is looked at for the first time. */
  begins(): void {
    this.loses = 0;
    this.unread.begins();
    this.refusals.begins();
  }

  /**
   * Whether the Query is plain, and has been taken for sent. Nothing is changed where it is not, but that what was found of
   * its text is at hand for `query`. With approved portals open, none is.
   */
  runsPlain(bytes: Buffer, start: number, end: number, areApproved: boolean): boolean {
    const { state } = this;
    this.recent = null;
    if (areApproved || !isAtRest(state) || bytes[end - 1] !== 0) return false;
    state.settings.beforeMessage(false);
    const { services } = state;
    const recent = services.analyzer.recent?.(bytes, start, end - 1, state.textFacts) ?? null;
    if (recent === null) return false;
    this.recent = recent;
    const { shape } = recent;
    const plain = plainQueryOf(state, shape);
    if (plain === null) return false;
    const literals = shape.text === null ? keepLiterals(bytes, shape) : null;
    const began = startOfAlike(state);
    if (!this.standsPlain(plain, began)) return false;
    services.analyzer.usedRecent?.();
    countAlike(state, began);
    const { analysis, decision } = plain;
    const entry = newEntry(state, 'simple', analysis, shape.text, 0, plain, began);
    entry.shape = shape;
    entry.literals = literals;
    state.closeSegment();
    const reply = state.replies.push(ReplyKind.Query);
    reply.analysis = analysis;
    reply.decision = decision;
    reply.audit = entry;
    services.audit.begin(entry);
    if (plain.writes || plain.isFollowed) statementsSent(state, analysis, reply, null, began);
    return true;
  }

  /** Whether what changes by the moment is as it was when the like of it was let through. */
  private standsPlain(
    { analysis, writes, mayLeadToCode, isFollowed, onlyReads }: PlainQuery,
    now: number,
  ): boolean {
    const { state } = this;
    const { services, reads } = state;
    if (services.recordsFirst && !(onlyReads && services.audit.isRecorded(state.identity))) return false;
    if (writes && state.written.unknown(analysis, now).length > 0) return false;
    if (mayLeadToCode || isFollowed) reads.begins();
    if (!mayLeadToCode) return true;
    return !reads.isToAsk(analysis, now) && reads.understood(analysis, now) === analysis;
  }

  query(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const textEnd = queryTextEnd(bytes, start, end);
    if (textEnd < 0) {
      // The server refuses it as malformed before it runs anything.
      this.state.closeSegment();
      this.state.replies.push(ReplyKind.Query);
      return null;
    }
    const captured = answer?.outcome?.kind === 'capture' ? answer.outcome.captured : null;
    if (captured !== null && captured.kind !== 'unplanned')
      return runCaptured(this.state, Frontend.Query, captured);
    const { bound } = this.state;
    // A Query takes the place of an unnamed portal before it runs.
    if (bound !== null && bound.name !== '') {
      const beside = besideBound(this.state, Frontend.Query);
      if (beside !== null) return beside;
    }
    const began = startOfAlike(this.state);
    const { services, textFacts } = this.state;
    const recent = answer === null ? this.recent : null;
    // It is looked at once more where the server has told since that it reads texts otherwise.
    this.recent = null;
    if (recent !== null) services.analyzer.usedRecent?.();
    const read =
      answer?.analysis ?? recent?.analysis ?? services.analyzer.analyze(bytes, start, textEnd, textFacts);
    if (read instanceof Promise) return waitForAnalysis(this.state, read);
    const shape = answer === null ? (recent?.shape ?? services.analyzer.atHand ?? null) : null;
    if (read.touchesSession && executesUnsettled(this.state, read)) return settle(this.state, read);
    if (this.state.namesDoubted && this.doubts.mayAsk(answer) && executes(read))
      return this.doubts.ask('names');
    const resolved = read.touchesSession ? resolveExecute(this.state, read) : read;
    const { reads } = this.state;
    const isRead = reads.concerns(resolved);
    const looking = isRead ? this.doubts.beforeRead(resolved, answer, began) : null;
    if (looking !== null) return looking;
    const analysis = isRead ? reads.understood(resolved, began) : resolved;
    if (analysis.status === 'empty') {
      const wait = this.emptyQuery(answer);
      if (wait !== null) return wait;
    }
    if (this.unread.wants(analysis, answer))
      return this.unread.ask(read, Buffer.from(bytes.subarray(start, textEnd)));
    const learning = this.doubts.beforeWrite(analysis, answer, began);
    if (learning !== null) return learning;
    if (this.counts.wants(analysis)) {
      const text = bytes.utf8Slice(start, textEnd);
      return this.counts.count(analysis, read, { text, parameters: 0, bound: null, facts: textFacts });
    }
    const text = analysis.redacted === null ? (shape?.text ?? bytes.utf8Slice(start, textEnd)) : null;
    const lossless = answer?.outcome ? null : losslessOf(this.state, analysis, text, this.loses);
    if (lossless !== null)
      return this.runLossless(read, lossless, this.entryOf(lossless.analysis, text, began));
    const refusing = this.refusals.before(analysis, read, text, answer);
    if (refusing !== null) return refusing;
    const sent = mayBeHeld(this.state, this.state.decide(analysis))
      ? { text: exactText(bytes, start, textEnd), facts: null, types: '', bound: null }
      : null;
    const unseen = captured?.reason ?? null;
    const ruling = rule(this.state, this.holds, analysis, text, 0, answer, read, unseen, sent);
    if (shape !== null) countAlike(this.state, began);
    else countDecision(this.state, began);
    if (ruling.kind === 'wait') return ruling;
    const entry = newEntry(this.state, 'simple', analysis, text, 0, ruling, began);
    entry.shape = shape;
    if (ruling.kind === 'refuse') return poison(this.state, Frontend.Query, ruling.error, entry);
    const decision = this.snapshots.unlessNeedless(ruling.decision, analysis, began);
    if (decision !== ruling.decision) {
      entry.decision = decision;
      noteRead(entry);
    }
    if (this.snapshots.takes(decision)) {
      const utf8 = Buffer.from(bytes.subarray(start, textEnd));
      const capture = this.snapshots.capture(utf8, entry, decision);
      return waitForCapture(this.state, read, this.records.ofCaptured(Frontend.Query, capture));
    }
    if (isWatched(decision, analysis)) {
      const utf8 = Buffer.from(bytes.subarray(start, textEnd));
      const watched = watchQuery(this.state, this.hidden, utf8, entry);
      return waitForCapture(this.state, read, this.records.ofCaptured(Frontend.Query, watched));
    }
    if (this.records.isAwaited(Frontend.Query, entry))
      return waitForCapture(this.state, null, this.records.ofStatement(entry));
    if (shape !== null && read === analysis && decision === this.state.decide(analysis))
      keepPlainQuery(this.state, shape, analysis, decision, isRead);
    this.state.closeSegment();
    const reply = this.state.replies.push(ReplyKind.Query);
    reply.analysis = analysis;
    reply.decision = decision;
    if (analysis.status !== 'empty') {
      reply.audit = entry;
      this.state.services.audit.begin(entry);
    }
    statementsSent(this.state, analysis, reply, text, began);
    return null;
  }

  /** Of what policy lets run. */
  private entryOf(analysis: Analysis, text: string | null, began: number): AuditEntry {
    const ruling = { decision: this.state.decide(analysis), approvalId: null, holdMs: 0 };
    return newEntry(this.state, 'simple', analysis, text, 0, ruling, began);
  }

  /** Waits for whether it loses nothing, and has then been run; else it is decided as it was read. */
  private runLossless(read: Analysis, lossless: Lossless, entry: AuditEntry): Verdict {
    this.loses++;
    const { textFacts: facts } = this.state;
    const until = this.snapshots.captureNothing(lossless, entry).then((captured): Answer => {
      if (captured === null) return { analysis: read, facts, outcome: null };
      return { analysis: null, outcome: { kind: 'capture', captured } };
    });
    return { kind: 'wait', until };
  }

  /** Without a statement it still commits the segment that it ends. */
  private emptyQuery(answer: Answer | null): Verdict {
    const recorded = answer?.outcome?.kind === 'recorded' ? answer.outcome.recorded : null;
    if (recorded === false) return poison(this.state, Frontend.Query, auditFailedError(), null);
    const until = recorded === null ? this.records.ofSync() : null;
    return until === null ? null : { kind: 'wait', until };
  }
}
