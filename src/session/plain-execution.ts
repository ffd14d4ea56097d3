import type { AuditEntry } from '../audit/event.ts';
import type { Names, Portal, PreparedStatement } from './known/names.ts';
import { ReplyKind, type ReplyQueue } from './replies.ts';

/** What an execution awaits next. */
export const Awaited = {
  ParseComplete: 0,
  BindComplete: 1,
  Description: 2,
  Completion: 3,
  ReadyForQuery: 4,
} as const;
export type Awaited = (typeof Awaited)[keyof typeof Awaited];

/**
 * The messages of one execution (wire/execution.ts), sent and owed their replies, as one: most of what a server answers is
 * what such an execution awaits, one after another. Whatever else comes, from either side, is for the single messages.
 *
 * Invariant: while it stands in the queue, nothing else is owed there, and what it asks of the names is not told to them.
 */
export class PlainExecution {
  awaited: Awaited = Awaited.ReadyForQuery;
  /** What its Parse makes of the unnamed statement; null where there is none. */
  statement: PreparedStatement | null = null;
  /** What its Bind makes of the unnamed portal. */
  portal: Portal | null = null;
  describes = false;
  audit: AuditEntry | null = null;
  private readonly statements: Names<PreparedStatement>;
  private readonly portals: Names<Portal>;

  constructor(statements: Names<PreparedStatement>, portals: Names<Portal>) {
    this.statements = statements;
    this.portals = portals;
  }

  /** Puts the messages that are not answered into the queue, and tells the names of them. */
  unfold(replies: ReplyQueue): void {
    const { awaited, statement, portal, statements, portals } = this;
    if (statement !== null && awaited <= Awaited.ParseComplete) {
      const reply = replies.push(ReplyKind.Parse);
      reply.of = 'statement';
      reply.statement = statement;
      statements.owe('');
    }
    if (awaited <= Awaited.BindComplete) {
      const reply = replies.push(ReplyKind.Bind);
      reply.of = 'portal';
      reply.portal = portal;
      portals.owe('');
    }
    if (this.describes && awaited <= Awaited.Description) replies.push(ReplyKind.Describe);
    if (awaited <= Awaited.Completion) replies.push(ReplyKind.Execute).audit = this.audit;
    replies.push(ReplyKind.Sync);
    this.clear();
  }

  clear(): void {
    this.statement = null;
    this.portal = null;
    this.audit = null;
  }
}
