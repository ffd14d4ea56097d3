import type { AuditEntry } from '../audit/event.ts';
import { LIMITS } from '../base/limits.ts';
import type { Decision } from '../policy/decision.ts';
import type { Analysis } from '../sql/effects.ts';
import type { ErrorFields } from '../wire/backend.ts';
import type { PlainPart } from './capturing/split/plain-part.ts';
import type { StatementGate } from './capturing/statement-gate.ts';
import type { Exchange } from './hidden/hidden-exchange.ts';
import type { Portal, PreparedStatement, SqlNameChange } from './known/names.ts';
import type { PlainExecution } from './plain-execution.ts';

/** What a message that was sent upstream is owed. */
export const ReplyKind = {
  Parse: 1,
  Bind: 2,
  Describe: 3,
  Execute: 4,
  Close: 5,
  /** Owed a ReadyForQuery, unless the server swallowed it while copying in. */
  Sync: 6,
  Query: 7,
  FunctionCall: 8,
  /** CopyDone or CopyFail: owed nothing, it ends copy-in mode or is ignored. */
  CopyEnd: 9,
  /** A query of the gateway's own: all the messages of it, and all the replies to them. */
  Hidden: 10,
} as const;
export type ReplyKind = (typeof ReplyKind)[keyof typeof ReplyKind];

/** It ends a segment, and is owed a ReadyForQuery. */
export function endsSegment(kind: ReplyKind): boolean {
  return kind === ReplyKind.Sync || kind === ReplyKind.Query || kind === ReplyKind.FunctionCall;
}

/** One message sent upstream and not answered in full. Objects are kept and used again by the queue. */
export class Reply {
  kind: ReplyKind = ReplyKind.Sync;
  /** The reply belongs to a message of the gateway's own: the client sees nothing of it but its error. */
  hidden = false;
  /** The message replaced one that was refused: its error is rewritten into this one. */
  poison: ErrorFields | null = null;
  /** A Sync that the server may have swallowed in copy-in mode, so that its ReadyForQuery may never come. */
  swallowed = false;
  /** A Sync behind which data of a COPY was sent. */
  dataBehind = false;
  failed = false;
  /** The server has answered with CopyInResponse. */
  copyIn = false;
  audit: AuditEntry | null = null;
  /** The event of the statement that ended last, from which a Query makes its next. */
  lastAudit: AuditEntry | null = null;
  /** For a Query: what is needed to audit its later statements. */
  analysis: Analysis | null = null;
  decision: Decision | null = null;
  statementsDone = 0;
  // What a Parse, Bind or Close changes, as plain fields because they come with every statement.
  of: 'statement' | 'portal' | 'nothing' = 'nothing';
  name = '';
  statement: PreparedStatement | null = null;
  portal: Portal | null = null;
  /** The segment that it belongs to. */
  segment = 0;
  /** The token of a statement that sets a search_path to be trusted, if it proves to have taken effect; else -1. */
  trustsPath = -1;
  /** What SQL text changes (PREPARE, DEALLOCATE), which comes seldom. */
  sqlNames: readonly SqlNameChange[] | null = null;
  /** How many of those are behind what has been answered. */
  sqlNamesDone = 0;
  /** Of a hidden query: who takes its replies. */
  exchange: Exchange | null = null;
  /** What stands between a captured statement and its commit. */
  gate: StatementGate | null = null;
  /** Of a Query that is a part of one of the client's. */
  part: PlainPart | null = null;

  reset(): void {
    this.hidden = false;
    this.poison = null;
    this.swallowed = false;
    this.dataBehind = false;
    this.failed = false;
    this.copyIn = false;
    this.audit = null;
    this.lastAudit = null;
    this.analysis = null;
    this.decision = null;
    this.statementsDone = 0;
    this.of = 'nothing';
    this.name = '';
    this.statement = null;
    this.portal = null;
    this.segment = 0;
    this.sqlNames = null;
    this.sqlNamesDone = 0;
    this.exchange = null;
    this.gate = null;
    this.part = null;
    this.trustsPath = -1;
  }
}

/** The replies owed by upstream, oldest first: a ring that grows and never allocates in the steady state. */
export class ReplyQueue {
  private ring: Reply[] = Array.from({ length: 16 }, () => new Reply());
  private first = 0;
  private count = 0;
  /** The last message that was pushed belongs to a segment that no Sync has closed yet. */
  segmentOpen = false;
  /** An execution that stands for its messages. Whoever asks for what is owed has those put into the queue instead. */
  folded: PlainExecution | null = null;
  /** How many Queries have been pushed, each of which takes the unnamed statement away. */
  queries = 0;

  get length(): number {
    if (this.folded !== null) this.unfold();
    return this.count;
  }

  get head(): Reply | null {
    if (this.folded !== null) this.unfold();
    return this.count === 0 ? null : this.ring[this.first]!;
  }

  /** Whether no more should be sent before something is answered. */
  get isFull(): boolean {
    return this.count >= LIMITS.repliesMax;
  }

  /** The reply owed last. */
  get tail(): Reply | null {
    return this.length === 0 ? null : this.at(this.count - 1);
  }

  at(index: number): Reply {
    if (this.folded !== null) this.unfold();
    return this.ring[(this.first + index) & (this.ring.length - 1)]!;
  }

  /** Takes an execution for sent, where nothing is owed. */
  fold(execution: PlainExecution): void {
    this.segmentOpen = false;
    this.folded = execution;
  }

  unfold(): void {
    const { folded } = this;
    this.folded = null;
    folded?.unfold(this);
  }

  push(kind: ReplyKind): Reply {
    if (this.folded !== null) this.unfold();
    if (this.count === this.ring.length) this.grow();
    const reply = this.ring[(this.first + this.count) & (this.ring.length - 1)]!;
    this.count++;
    if (kind !== ReplyKind.CopyEnd) this.segmentOpen = !endsSegment(kind);
    if (kind === ReplyKind.Query) this.queries++;
    reply.kind = kind;
    return reply;
  }

  /** Removes the head; the object may be used again by the next push. */
  shift(): void {
    if (this.folded !== null) this.unfold();
    // At once, because texts and statements would be kept by objects that may not be used again for long.
    this.ring[this.first]!.reset();
    this.count--;
    // An empty queue starts over, so that the same few objects are used, and stay in the processor's cache.
    this.first = this.count === 0 ? 0 : (this.first + 1) & (this.ring.length - 1);
  }

  /** Removes the `count` replies behind the head. */
  removeBehindHead(count: number): void {
    if (this.folded !== null) this.unfold();
    const mask = this.ring.length - 1;
    const head = this.ring[this.first]!;
    const to = (this.first + count) & mask;
    this.ring[this.first] = this.ring[to]!;
    this.ring[to] = head;
    for (let i = 0; i < count; i++) this.at(i).reset();
    this.first = to;
    this.count -= count;
  }

  private grow(): void {
    const grown: Reply[] = [];
    for (let i = 0; i < this.count; i++) grown.push(this.at(i));
    while (grown.length < this.ring.length * 2) grown.push(new Reply());
    this.ring = grown;
    this.first = 0;
  }
}

export function isSync(reply: Reply): boolean {
  return reply.kind === ReplyKind.Sync;
}
