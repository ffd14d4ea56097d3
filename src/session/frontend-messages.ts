import type { AuditEntry } from '../audit/event.ts';
import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Analysis } from '../sql/effects.ts';
import type { Reading } from '../sql/recent-texts.ts';
import type { ErrorFields } from '../wire/backend.ts';
import { bindParameterCount, isParseTailValid, queryTextEnd, stringEnd } from '../wire/frontend.ts';
import { Frontend } from '../wire/message-type.ts';
import { runCaptured } from './captured-query.ts';
import { awaitsCopy, PART_OF_COPY, waitForCopy } from './copy-doubt.ts';
import { HiddenQueries } from './hidden-queries.ts';
import { HoldDesk } from './hold.ts';
import { nameKey, type Portal, UNSETTLED } from './names.ts';
import { newEntry } from './new-entry.ts';
import { FUNCTION_CALL, NO_PORTAL, NO_STATEMENT, UNKNOWN_PORTAL, UNKNOWN_STATEMENT } from './opaque.ts';
import { NOTHING, POISON_EXECUTE, poison, probeUnknown } from './poison.ts';
import { internalError, tooLargeError, unreadableNameError } from './refusal.ts';
import { type Reply, ReplyKind } from './replies.ts';
import { rule, ruleUncaptured } from './ruling.ts';
import { applySessionEffects, resolveExecute } from './session-effects.ts';
import { SnapshotDesk } from './snapshot-desk.ts';
import type { SessionState } from './state.ts';
import { currentAnalysis, executedBy, isAsDecided } from './understanding.ts';
import type { Answer, Verdict } from './verdict.ts';
import { settle, waitForAnalysis, waitForCapture } from './waits.ts';

/**
 * What each frontend message means to the session: which replies it is owed, what it does to the names, and what
 * policy says of it. The stream above it sees to the bytes.
 */
export class FrontendMessages {
  private readonly state: SessionState;
  private readonly holds: HoldDesk;
  readonly hidden: HiddenQueries;
  private readonly snapshots: SnapshotDesk;

  constructor(state: SessionState) {
    this.state = state;
    this.holds = new HoldDesk(state);
    this.hidden = new HiddenQueries(state);
    this.snapshots = new SnapshotDesk(state, this.hidden);
  }

  /** The client has given up waiting, or is gone. */
  giveUp(how: 'canceled' | 'disconnected'): boolean {
    // A query of ours that is to be cancelled is for the server to end, as one of the client's is.
    if (how === 'disconnected') this.snapshots.giveUp();
    return this.holds.giveUp(how);
  }

  /**
   * Decides the message whose body is `bytes[start, end)`. Only a Bind may be incomplete there. `answer` is what
   * an earlier `wait` of the same message has brought.
   */
  decide(type: number, bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const { state } = this;
    state.settings.beforeMessage(state.replies.length > 0 || state.replies.segmentOpen);
    if (state.discarding && type !== Frontend.Sync && type !== Frontend.Terminate) {
      return { kind: 'replace', bytes: NOTHING };
    }
    if (PART_OF_COPY[type] !== 1) {
      // While it copies in, the server takes this for a loss of synchronization, and says so at the header.
      if (state.copyingIn) return { kind: 'break' };
      const wait = waitForCopy(state, answer);
      if (wait !== null) return wait;
    }
    if (answer?.outcome?.kind === 'fault') return this.fault(type, answer.outcome.error);
    // A reading that is older than what the server has told since is none.
    const isStale = answer?.facts !== undefined && answer.facts !== state.textFacts;
    return this.understand(type, bytes, start, end, isStale ? null : answer);
  }

  private understand(
    type: number,
    bytes: Buffer,
    start: number,
    end: number,
    answer: Answer | null,
  ): Verdict {
    const { state } = this;
    switch (type) {
      case Frontend.Query:
        return this.query(bytes, start, end, answer);
      case Frontend.Parse:
        return this.parse(bytes, start, end, answer);
      case Frontend.Bind:
        return this.bind(bytes, start, end, answer);
      case Frontend.Execute:
        return this.execute(bytes, start, end, answer);
      case Frontend.Describe:
        this.state.replies.push(ReplyKind.Describe);
        return null;
      case Frontend.Close:
        return this.close(bytes, start, end);
      case Frontend.Sync:
        state.discarding = false;
        state.copyDoubt = 'none';
        this.state.closeSegment();
        this.state.replies.push(ReplyKind.Sync).swallowed = this.state.copyingIn;
        return null;
      case Frontend.FunctionCall:
        return this.functionCall(answer);
      case Frontend.CopyData:
        this.copyData();
        return null;
      case Frontend.CopyDone:
      case Frontend.CopyFail:
        if (this.state.replies.length > 0) this.state.replies.push(ReplyKind.CopyEnd);
        this.state.copyingIn = false;
        return null;
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

  private query(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const textEnd = queryTextEnd(bytes, start, end);
    if (textEnd < 0) {
      // The server refuses it as malformed before it runs anything.
      this.state.closeSegment();
      this.state.replies.push(ReplyKind.Query);
      return null;
    }
    if (answer?.outcome?.kind === 'capture') return runCaptured(this.state, answer.outcome.captured);
    const began = nowMs();
    const { services, textFacts } = this.state;
    const read = answer?.analysis ?? services.analyzer.analyze(bytes, start, textEnd, textFacts);
    if (read instanceof Promise) return waitForAnalysis(this.state, read);
    if (read.touchesSession && this.executesUnsettled(read)) return settle(this.state, read);
    const analysis = read.touchesSession ? resolveExecute(this.state, read) : read;
    const text = analysis.redacted === null ? bytes.utf8Slice(start, textEnd) : null;
    const ruling = rule(this.state, this.holds, analysis, text, 0, answer, read);
    this.countDecision(began);
    if (ruling.kind === 'wait') return ruling;
    const entry = newEntry(this.state, 'simple', analysis, text, 0, ruling, began);
    if (ruling.kind === 'refuse') return poison(this.state, Frontend.Query, ruling.error, entry);
    const { decision } = ruling;
    if (this.snapshots.takes(decision)) {
      const utf8 = Buffer.from(bytes.subarray(start, textEnd));
      return waitForCapture(this.snapshots.capture(utf8, entry, decision));
    }
    this.state.closeSegment();
    const reply = this.state.replies.push(ReplyKind.Query);
    reply.analysis = analysis;
    reply.decision = decision;
    if (analysis.status !== 'empty') this.begin(reply, entry);
    if (analysis.touchesSession) applySessionEffects(this.state, analysis, reply);
    return null;
  }

  private parse(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const { replies, statements, textFacts } = this.state;
    const nameEnd = stringEnd(bytes, start, end);
    const textEnd = nameEnd < 0 ? -1 : stringEnd(bytes, nameEnd + 1, end);
    if (textEnd < 0 || !isParseTailValid(bytes, textEnd + 1, end)) {
      replies.push(ReplyKind.Parse);
      return null;
    }
    const began = nowMs();
    const reading = this.reading(bytes, nameEnd + 1, textEnd, answer);
    if (reading instanceof Promise) return waitForAnalysis(this.state, reading);
    this.countDecision(began);
    const name = this.key(bytes, start, nameEnd);
    if (name === null) return this.refuse(Frontend.Parse, unreadableNameError());
    if (statements.size >= LIMITS.namesMax && statements.peek(name) === null) {
      return this.refuse(Frontend.Parse, tooLargeError('the number of prepared statements', LIMITS.namesMax));
    }
    const reply = replies.push(ReplyKind.Parse);
    reply.of = 'statement';
    reply.name = name;
    reply.statement = {
      text: reading.text,
      analysis: reading.analysis,
      facts: textFacts,
      epoch: this.state.epoch,
    };
    statements.ask(name, reply.statement);
    return null;
  }

  /**
   * The decision is made here and not at Execute, because planning already runs functions. It holds for every
   * Execute of the portal that runs what was decided.
   */
  private bind(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const { replies, portals, statements } = this.state;
    const portalEnd = stringEnd(bytes, start, end);
    const nameEnd = portalEnd < 0 ? -1 : stringEnd(bytes, portalEnd + 1, end);
    if (nameEnd < 0) {
      if (end - start >= LIMITS.nameBytes - 5)
        return this.refuse(Frontend.Bind, tooLargeError('a name', LIMITS.nameBytes));
      replies.push(ReplyKind.Bind);
      return null;
    }
    const portal = this.key(bytes, start, portalEnd);
    const name = this.key(bytes, portalEnd + 1, nameEnd);
    if (portal === null || name === null) return this.refuse(Frontend.Bind, unreadableNameError());
    if (portals.size >= LIMITS.namesMax && portals.peek(portal) === null) {
      return this.refuse(Frontend.Bind, tooLargeError('the number of portals', LIMITS.namesMax));
    }
    const statement = statements.lookup(name);
    if (statement === UNSETTLED) return settle(this.state, null);
    const read =
      answer?.analysis ?? (statement === null ? UNKNOWN_STATEMENT : currentAnalysis(this.state, statement));
    if (read instanceof Promise) return waitForAnalysis(this.state, read);
    if (read.touchesSession && this.executesUnsettled(read)) return settle(this.state, read);
    const analysis = read.touchesSession ? resolveExecute(this.state, read) : read;
    const text = statement === null || analysis.redacted !== null ? null : statement.text;
    const parameters = Math.max(bindParameterCount(bytes, nameEnd + 1, end), 0);
    if (statement === null) {
      const decision = this.state.decide(analysis);
      if (decision.action !== 'allow')
        return probeUnknown(this.state, bytes.toString('latin1', portalEnd + 1, nameEnd));
    }
    const began = nowMs();
    const ruling = ruleUncaptured(this.state, this.holds, analysis, text, parameters, answer, read);
    this.countDecision(began);
    if (ruling.kind === 'wait') return ruling;
    if (ruling.kind === 'refuse') {
      const entry = newEntry(this.state, 'extended', analysis, text, parameters, ruling, began);
      return poison(this.state, Frontend.Bind, ruling.error, entry);
    }
    const reply = replies.push(ReplyKind.Bind);
    reply.of = 'portal';
    reply.name = portal;
    reply.portal = {
      statement: statement ?? NO_STATEMENT,
      read,
      executed: executedBy(this.state, read),
      epoch: this.state.epoch,
      analysis,
      decision: ruling.decision,
      parameters,
      approvalId: ruling.approvalId,
      holdMs: ruling.holdMs,
    };
    portals.ask(reply.name, reply.portal);
    return null;
  }

  private execute(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const nameEnd = stringEnd(bytes, start, end);
    if (nameEnd < 0 || end - nameEnd !== 5) {
      this.state.replies.push(ReplyKind.Execute);
      return null;
    }
    const name = this.key(bytes, start, nameEnd);
    if (name === null) return this.refuse(Frontend.Execute, unreadableNameError());
    const known = this.state.portals.lookup(name);
    if (known === UNSETTLED) return settle(this.state, null);
    const portal = known === null ? this.unknownPortal(answer) : this.decided(known, answer);
    if (!('analysis' in portal)) return portal;
    const { analysis } = portal;
    const text = analysis.redacted === null ? portal.statement.text : null;
    const reply = this.state.replies.push(ReplyKind.Execute);
    const entry = newEntry(this.state, 'extended', analysis, text, portal.parameters, portal, nowMs());
    if (analysis.status !== 'empty') this.begin(reply, entry);
    if (analysis.touchesSession) applySessionEffects(this.state, analysis, reply);
    return null;
  }

  private unknownPortal(answer: Answer | null): Portal | Exclude<Verdict, null> {
    const ruling = ruleUncaptured(this.state, this.holds, UNKNOWN_PORTAL, null, 0, answer, UNKNOWN_PORTAL);
    if (ruling.kind === 'wait') return ruling;
    if (ruling.kind === 'refuse') {
      const entry = newEntry(this.state, 'extended', UNKNOWN_PORTAL, null, 0, ruling, nowMs());
      return poison(this.state, Frontend.Execute, ruling.error, entry);
    }
    return { ...NO_PORTAL, ...ruling };
  }

  /** The portal if it runs what was decided at Bind, or with a decision of what it has come to mean since. */
  private decided(portal: Portal, answer: Answer | null): Portal | Exclude<Verdict, null> {
    if (isAsDecided(this.state, portal)) return portal;
    const read = answer?.analysis ?? currentAnalysis(this.state, portal.statement);
    if (read instanceof Promise) return waitForAnalysis(this.state, read);
    if (read.touchesSession && this.executesUnsettled(read)) return settle(this.state, read);
    const analysis = read.touchesSession ? resolveExecute(this.state, read) : read;
    const text = analysis.redacted === null ? portal.statement.text : null;
    const ruling = ruleUncaptured(this.state, this.holds, analysis, text, portal.parameters, answer, read);
    if (ruling.kind === 'wait') return ruling;
    if (ruling.kind === 'refuse') {
      const entry = newEntry(this.state, 'extended', analysis, text, portal.parameters, ruling, nowMs());
      return poison(this.state, Frontend.Execute, ruling.error, entry);
    }
    return { ...portal, read, analysis, ...ruling };
  }

  private close(bytes: Buffer, start: number, end: number): Verdict {
    const { replies, statements, portals } = this.state;
    const nameEnd = stringEnd(bytes, start + 1, end);
    const name = nameEnd === end - 1 ? this.key(bytes, start + 1, nameEnd) : '';
    if (name === null) return this.refuse(Frontend.Close, unreadableNameError());
    const reply = replies.push(ReplyKind.Close);
    if (nameEnd !== end - 1) return null;
    if (bytes[start] === 0x53 /* S */) {
      reply.of = 'statement';
      reply.name = name;
      statements.ask(name, null);
    } else if (bytes[start] === 0x50 /* P */) {
      reply.of = 'portal';
      reply.name = name;
      portals.ask(name, null);
    }
    return null;
  }

  /** The key of a name; null where the server may take it for another, so that its message has to be refused. */
  private key(bytes: Buffer, start: number, end: number): string | null {
    if (start === end) return '';
    const key = this.state.nameKey(bytes, start, end);
    // Where what is unknown may run, there is nothing to be wrong about but the audit.
    if (key !== null || this.state.decide(UNKNOWN_STATEMENT).action !== 'allow') return key;
    return nameKey(bytes, start, end);
  }

  private functionCall(answer: Answer | null): Verdict {
    const began = nowMs();
    const ruling = ruleUncaptured(this.state, this.holds, FUNCTION_CALL, null, 0, answer, FUNCTION_CALL);
    this.countDecision(began);
    if (ruling.kind === 'wait') return ruling;
    const entry = newEntry(this.state, 'function', FUNCTION_CALL, null, 0, ruling, began);
    if (ruling.kind === 'refuse') return poison(this.state, Frontend.FunctionCall, ruling.error, entry);
    this.state.closeSegment();
    this.begin(this.state.replies.push(ReplyKind.FunctionCall), entry);
    return null;
  }

  /** A Parse's text comes again byte for byte, as a Query's does not, and so is looked for as it is. */
  private reading(
    bytes: Buffer,
    start: number,
    end: number,
    answer: Answer | null,
  ): Reading | Promise<Analysis> {
    const { services, textFacts } = this.state;
    if (answer === null || answer.analysis === null)
      return services.analyzer.read(bytes, start, end, textFacts);
    return { analysis: answer.analysis, text: bytes.utf8Slice(start, end) };
  }

  /** Whether an EXECUTE in the text names what an earlier segment, not answered yet, may have changed. */
  private executesUnsettled(read: Analysis): boolean {
    return executedBy(this.state, read).includes(UNSETTLED);
  }

  private countDecision(startedAtMs: number): void {
    this.state.services.metrics.decisionSeconds.observe((nowMs() - startedAtMs) / 1000);
  }

  private begin(reply: Reply, entry: AuditEntry): void {
    reply.audit = entry;
    this.state.services.audit.begin(entry);
  }
}
