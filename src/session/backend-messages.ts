import type { AuditEnd } from '../audit/event.ts';
import type { Analysis } from '../sql/effects.ts';
import {
  decodeParameterStatus,
  encodeErrorResponse,
  encodeReadyForQuery,
  isFatalError,
  rowsOfCommandTag,
  sqlstateOf,
} from '../wire/backend.ts';
import { Backend } from '../wire/message-type.ts';
import type { PlainPart } from './capturing/split/plain-part.ts';
import type { StatementGate } from './capturing/statement-gate.ts';
import { HiddenQueryEnded } from './hidden/hidden-exchange.ts';
import { ASYNCHRONOUS, verdictOfNotice } from './hidden/hidden-replies.ts';
import { endCopyIn, endCopyInOfQuery, leavesDoubt, swallowSyncs } from './known/copy-doubt.ts';
import { charsOf } from './known/names.ts';
import { discardedAll } from './known/session-effects.ts';
import { Outcomes } from './outcomes.ts';
import { PlainReplies, transactionStatusOf } from './plain-replies.ts';
import { endsSegment, isSync, type Reply, ReplyKind } from './replies.ts';
import { COPY_FAILED } from './ruling/restrained-copy.ts';
import type { SessionState } from './state.ts';
import type { ReplyVerdict } from './verdict.ts';

/** SQLSTATEs with which a poisoned message fails: no such portal, and a syntax error. */
const POISON_STATES = new Set(['34000', '42601']);

/** The tags of statements that make or drop prepared statements. */
const NAMING_TAGS = new Set(['PREPARE', 'DEALLOCATE', 'DEALLOCATE ALL', 'DISCARD ALL']);

/**
 * What each reply means to the session: which message it answers, how a statement ended, what of the names has
 * come to pass. It follows the server's own rules: after an error in the extended protocol everything up to the
 * next Sync is discarded; ReadyForQuery is owed by a Sync, a Query or a FunctionCall and by nothing else.
 */
export class BackendMessages {
  private readonly state: SessionState;
  private readonly outcomes: Outcomes;
  readonly plain: PlainReplies;
  /** Called after each ReadyForQuery. */
  onReady: () => void = () => {};
  /** Called where the server discards what the client has yet to send, up to its next Sync. */
  onDiscarding: () => void = () => {};
  /**
   * A ReadyForQuery was taken for the answer to a Sync that the server may have swallowed, and the Sync now at the head
   * may be the one that it answered. Such a Sync has nothing to commit, so any other reply is not its own.
   */
  private spareSync = false;

  constructor(state: SessionState) {
    this.state = state;
    this.outcomes = new Outcomes(state);
    this.plain = new PlainReplies(state, this.outcomes, () => {
      this.statusTold(true, -1);
      this.segmentEnded();
    });
    state.owesNothing = () => this.owesNothing;
    state.releaseEnded = (status) => this.outcomes.release(status);
  }

  /** Takes one reply whose body is `bytes[start, end)`; incomplete where only its header matters. */
  receive(type: number, bytes: Buffer, start: number, end: number): ReplyVerdict {
    switch (type) {
      case Backend.ParseComplete:
        return this.complete(ReplyKind.Parse);
      case Backend.BindComplete:
        return this.complete(ReplyKind.Bind);
      case Backend.CloseComplete:
        return this.state.copyDoubt === 'asked' ? this.doubtEnds() : this.complete(ReplyKind.Close);
      case Backend.NoData:
      case Backend.RowDescription:
        return this.described();
      case Backend.ParameterDescription:
        return this.head()?.hidden ? 'skip' : 'forward';
      case Backend.CommandComplete:
        return this.statementEnds('completed', rowsOfCommandTag(bytes, start, end), bytes, start, end - 1);
      case Backend.EmptyQueryResponse:
        return this.statementEnds('completed', -1, bytes, 0, 0);
      case Backend.PortalSuspended:
        return this.statementEnds('suspended', -1, bytes, 0, 0);
      case Backend.ErrorResponse:
        return this.error(bytes.subarray(start, end));
      case Backend.ReadyForQuery:
        return this.ready(bytes[start]!);
      case Backend.CopyInResponse:
        this.copyIn();
        return 'forward';
      case Backend.FunctionCallResponse:
        // It shows, as any reply does, that no Sync in front of its message is waited for.
        this.head();
        return 'forward';
      case Backend.NoticeResponse:
        return verdictOfNotice(this.state.replies.head, bytes.subarray(start, end));
      case Backend.ParameterStatus:
        return this.parameterStatus(bytes.subarray(start, end));
      default:
        return 'forward';
    }
  }

  /** Whether a reply of that type, if it comes next, belongs to a hidden query. */
  isHidden(type: number): boolean {
    if (ASYNCHRONOUS[type] === 1) return false;
    const head = type === Backend.ReadyForQuery ? this.state.replies.head : this.head();
    return head?.kind === ReplyKind.Hidden;
  }

  /**
   * Nothing is under way at the server. The answers to Syncs may have come already in the name of others that were
   * swallowed; if not, they have nothing to tell.
   */
  get owesNothing(): boolean {
    const { replies } = this.state;
    let syncs = 0;
    for (let i = 0; i < replies.length; i++) {
      const reply = replies.at(i);
      if (isSync(reply)) syncs++;
      else if (reply.kind !== ReplyKind.CopyEnd) return false;
    }
    return syncs === 0 || this.spareSync;
  }

  /** The connection is gone: what has not been answered never will be. */
  abandon(): void {
    const { replies } = this.state;
    this.state.fates.connectionLost(replies.length === 0);
    for (const giveUp of this.state.whenLost) giveUp();
    for (let i = 0; i < replies.length; i++) {
      const reply = replies.at(i);
      reply.exchange?.fail(new HiddenQueryEnded('lost'));
      (reply.gate ?? reply.part)?.lost();
      this.outcomes.finish(reply, reply.poison === null ? 'lost' : 'not-run', null);
    }
    while (replies.length > 0) replies.shift();
    this.state.hiddenQueued = 0;
    this.state.dropEarly();
    this.outcomes.release('?');
    this.state.copyDoubt = 'none';
    this.state.answered();
  }

  /**
   * The message that a reply other than ReadyForQuery belongs to. Markers that are owed nothing are passed over, and
   * so are Syncs whose ReadyForQuery came in the name of one that the server had swallowed.
   */
  private head(): Reply | null {
    const { replies } = this.state;
    while (replies.length > 1) {
      const { kind, swallowed } = replies.head!;
      const spare = kind === ReplyKind.Sync && this.spareSync;
      if (kind !== ReplyKind.CopyEnd && !swallowed && !spare) break;
      replies.shift();
    }
    if (replies.head?.kind !== ReplyKind.Sync) this.spareSync = false;
    return replies.head;
  }

  private complete(kind: ReplyKind): ReplyVerdict {
    const head = this.head();
    if (head?.kind !== kind) return 'forward';
    const { hidden } = head;
    this.answerNames(head, true);
    this.state.replies.shift();
    this.state.answered();
    return hidden ? 'skip' : 'forward';
  }

  /** What the message has asked of the names is made, or is not. */
  private answerNames(reply: Reply, wasMade: boolean): void {
    const { statements, portals, segment } = this.state;
    if (reply.of === 'statement') statements.answer(reply.name, reply.statement, wasMade);
    else if (reply.of === 'portal') portals.answer(reply.name, reply.portal, wasMade);
    reply.of = 'nothing';
    if (reply.sqlNames === null) return;
    reply.sqlNames = null;
    statements.answerSql(reply.kind === ReplyKind.Execute && reply.segment === segment);
  }

  /** The statement of that index has run, and what its text does to the names is made. */
  private makeSqlNames(reply: Reply, statementIndex: number, tag: string): void {
    // What runs under a portal's name may be a cursor instead, which changes no name.
    if (!NAMING_TAGS.has(tag)) return;
    if (tag === 'DISCARD ALL') discardedAll(this.state);
    const changes = reply.sqlNames ?? [];
    // They are in the order of their statements, of which a text may have very many.
    for (; reply.sqlNamesDone < changes.length; reply.sqlNamesDone++) {
      const change = changes[reply.sqlNamesDone]!;
      if (change.statementIndex > statementIndex) return;
      if (change.statementIndex < statementIndex) continue;
      const { name, value } = change;
      const { statements } = this.state;
      // One that is not remembered is refused like any that the gateway does not know.
      const isFull = name !== null && value !== null && statements.fullFor(name, charsOf(value)) !== null;
      statements.make(name, isFull ? null : value);
    }
  }

  private described(): ReplyVerdict {
    const head = this.head();
    return head?.kind === ReplyKind.Describe ? this.complete(ReplyKind.Describe) : 'forward';
  }

  /** Its tag is `bytes[start, end)`, of which seldom anything is read. */
  private statementEnds(
    how: AuditEnd,
    rows: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): ReplyVerdict {
    const head = this.head();
    if (head?.kind === ReplyKind.Execute) {
      if (head.gate !== null)
        return this.capturedEnds(head, head.gate, how === 'suspended' ? null : bytes.latin1Slice(start, end));
      if (this.state.fates.areOpen)
        this.tellFates(bytes.latin1Slice(start, end), head.audit?.analysis ?? null, 0);
      this.outcomes.finish(head, how, null, rows);
      const { copyIn } = head;
      if (head.sqlNames !== null) this.makeSqlNames(head, 0, bytes.latin1Slice(start, end));
      this.answerNames(head, true);
      this.state.replies.shift();
      if (copyIn) endCopyIn(this.state.replies);
      this.state.answered();
    } else if (head?.kind === ReplyKind.Query) {
      if (head.gate !== null) {
        head.gate.completed(bytes.latin1Slice(start, end));
        return 'skip';
      }
      if (this.state.fates.areOpen)
        this.tellFates(bytes.latin1Slice(start, end), head.analysis, head.statementsDone);
      this.outcomes.finish(head, how, null, rows);
      if (head.sqlNames !== null) this.makeSqlNames(head, head.statementsDone, bytes.latin1Slice(start, end));
      head.statementsDone++;
      if (head.copyIn) endCopyInOfQuery(this.state.replies);
      if (head.part?.isOver(head.statementsDone) === true)
        return head.part.completed(bytes.latin1Slice(start, end), head.lastAudit);
      this.outcomes.nextStatement(head);
    }
    return 'forward';
  }

  private tellFates(tag: string, analysis: Analysis | null, statementIndex: number): void {
    this.state.fates.statementEnded(tag, analysis?.statements[statementIndex] ?? null);
  }

  /** A statement of the client's has failed, after it may have committed. */
  private doubtFates({ kind, poison, copyIn, gate, audit, analysis, statementsDone }: Reply): void {
    if ((poison !== null && !copyIn) || gate !== null) return;
    if (kind === ReplyKind.Execute) this.state.fates.doubt(audit?.analysis.statements[0] ?? null);
    if (kind === ReplyKind.Query) this.state.fates.doubt(analysis?.statements[statementsDone] ?? null);
  }

  /** A captured Execute has run; what tells the client so is kept until the capture is proved and stored. */
  private capturedEnds(head: Reply, gate: StatementGate, tag: string | null): ReplyVerdict {
    this.answerNames(head, true);
    this.state.replies.shift();
    gate.executed(tag);
    return 'skip';
  }

  private copyIn(): void {
    const { state } = this;
    const head = this.head();
    if (head !== null) head.copyIn = true;
    state.copyingIn = swallowSyncs(state.replies);
    state.answered();
  }

  private error(body: Buffer): ReplyVerdict {
    const { state } = this;
    if (isFatalError(body)) state.fatal = true;
    const sqlstate = sqlstateOf(body);
    const head = this.head();
    state.copyingIn = false;
    state.fates.failedOnce();
    if (state.fates.areOpen && head !== null) this.doubtFates(head);
    if (head === null || head.kind === ReplyKind.CopyEnd) return 'forward';
    const fails =
      sqlstate !== null && (POISON_STATES.has(sqlstate) || (head.copyIn && sqlstate === COPY_FAILED));
    const poisoned = head.poison !== null && fails && !state.fatal;
    const told = poisoned ? encodeErrorResponse(head.poison!, state.clientEncoding) : 'forward';
    const reported = poisoned ? (head.poison!['C'] ?? null) : sqlstate;
    this.outcomes.finish(head, poisoned ? 'blocked' : 'failed', reported);
    const verdict = head.gate?.failed(sqlstate, body) === false ? 'skip' : told;
    if (head.gate === null) head.part?.failed(sqlstate);
    switch (head.kind) {
      case ReplyKind.Query:
      case ReplyKind.FunctionCall:
        this.answerNames(head, false);
        head.failed = true;
        break;
      case ReplyKind.Sync:
        // The commit failed; its ReadyForQuery is still to come.
        break;
      default:
        if (head.copyIn && leavesDoubt(state.replies)) state.copyDoubt = 'open';
        this.discardToSync();
    }
    state.answered();
    return verdict;
  }

  /**
   * The server has come to the Close of the question: as many Syncs in front of it as have been answered, but for
   * our own, were read behind the error. If there were none, it still discarded up to the client's next Sync.
   */
  private doubtEnds(): ReplyVerdict {
    const { state } = this;
    while (state.replies.head!.kind !== ReplyKind.Close) state.replies.shift();
    state.replies.shift();
    const answers = state.readyWhileAsked - 1;
    state.copyDoubt = 'none';
    state.discarding = answers <= 0;
    state.answered();
    if (answers <= 0) return 'skip';
    return Buffer.concat(Array.from({ length: answers }, () => encodeReadyForQuery(state.transactionStatus)));
  }

  /** What the server does after an error in the extended protocol. What stands there changes nothing. */
  private discardToSync(): void {
    const { replies } = this.state;
    let count = 0;
    while (count < replies.length && !isSync(replies.at(count))) count++;
    // A Parse of the unnamed statement drops the old one before it can fail.
    const head = replies.head!;
    if (head.kind === ReplyKind.Parse && head.of === 'statement' && head.name === '') {
      this.state.statements.make('', null);
    }
    for (let i = 0; i < count; i++) {
      // An Execute behind the error never ran, and what was refused behind it was not refused by us.
      if (i > 0) {
        this.outcomes.finish(replies.head!, 'not-run', null);
        replies.head!.gate?.discarded();
      }
      this.answerNames(replies.head!, false);
      if (replies.head!.kind === ReplyKind.Hidden) {
        replies.head!.exchange?.fail(new HiddenQueryEnded('discarded'));
        this.state.hiddenQueued--;
      }
      replies.shift();
    }
    if (replies.length === 0) {
      this.state.discarding = true;
      this.onDiscarding();
    }
  }

  private ready(status: number): ReplyVerdict {
    const { state } = this;
    const { replies } = state;
    if (state.copyDoubt === 'asked') {
      // It is the client's or our own, which is told where the Close is answered.
      state.readyWhileAsked++;
      return 'skip';
    }
    // Swallowed Syncs in front of a message that owes this ReadyForQuery have proved to be so.
    while (replies.length > 0 && replies.head!.kind === ReplyKind.CopyEnd) replies.shift();
    const head = replies.head;
    state.transactionStatus = transactionStatusOf(status);
    state.copyingIn = false;
    let hidden = false;
    let keeper: StatementGate | PlainPart | null = null;
    let trustedPath = -1;
    if (head !== null && endsSegment(head.kind)) {
      hidden = head.hidden;
      keeper = head.gate ?? head.part;
      const doubtful = head.kind === ReplyKind.Sync && (head.swallowed || this.spareSync);
      if (head.of !== 'nothing' || head.sqlNames !== null) this.answerNames(head, !head.failed);
      if (head.audit !== null) this.outcomes.finish(head, head.failed ? 'not-run' : 'completed', null);
      if (!head.failed) trustedPath = head.trustsPath;
      replies.shift();
      while (replies.length > 0 && replies.head!.kind === ReplyKind.CopyEnd) replies.shift();
      this.spareSync = doubtful && replies.head?.kind === ReplyKind.Sync;
    }
    state.copyDoubt = 'none';
    if (state.transactionStatus !== 'T') state.bound = null;
    this.statusTold(this.owesNothing, trustedPath);
    if (keeper !== null) {
      keeper.ready(state.transactionStatus);
      return 'skip';
    }
    this.segmentEnded();
    return hidden ? 'skip' : 'forward';
  }

  /** What follows from the transaction status, told to a message behind which nothing `isLast` is under way. */
  private statusTold(isLast: boolean, trustedPath: number): void {
    const { state } = this;
    const { transactionStatus: status } = state;
    if (status === 'I') state.portals.clearMade();
    if (state.early !== null) state.dropEarly();
    state.fates.ready(status);
    state.statusTold(isLast);
    if (state.settings.ready(status, isLast, trustedPath)) state.epoch++;
  }

  private segmentEnded(): void {
    this.outcomes.release(this.state.transactionStatus);
    this.state.answered();
    this.onReady();
  }

  private parameterStatus(body: Buffer): ReplyVerdict {
    const parameter = decodeParameterStatus(body);
    if (parameter === null) return 'forward';
    return this.state.parameterChanged(parameter.name, parameter.value) ? 'forward' : 'skip';
  }
}
