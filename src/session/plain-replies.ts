import { rowsOfCommandTag } from '../wire/backend.ts';
import { lengthAt } from '../wire/frame.ts';
import { Backend, HEADER_BYTES } from '../wire/message-type.ts';
import type { Outcomes } from './outcomes.ts';
import { Awaited, type PlainExecution } from './plain-execution.ts';
import type { SessionState } from './state.ts';

/** As ReadyForQuery tells the transaction status; there is one more, of a transaction that has failed. */
const IDLE = 0x49;
const IN_BLOCK = 0x54;

export function transactionStatusOf(status: number): SessionState['transactionStatus'] {
  return status === IDLE ? 'I' : status === IN_BLOCK ? 'T' : 'E';
}

/** What the server answers to an execution that stands for its messages, as long as it is what that awaits. */
export class PlainReplies {
  private readonly state: SessionState;
  private readonly outcomes: Outcomes;
  private readonly onReady: () => void;

  /** `onReady` is called when the transaction status has been told, with which all is answered. */
  constructor(state: SessionState, outcomes: Outcomes, onReady: () => void) {
    this.state = state;
    this.outcomes = outcomes;
    this.onReady = onReady;
  }

  /**
   * Takes the messages at the beginning of `bytes[at, end)` that such an execution awaits, as far as they are there whole,
   * and gives where the first one begins that is not.
   */
  receive(bytes: Buffer, at: number, end: number): number {
    const execution = this.state.replies.folded;
    if (execution === null) return at;
    let next = at;
    while (end - next >= HEADER_BYTES) {
      const length = lengthAt(bytes, next);
      const messageEnd = next + 1 + length;
      if (length < 4 || messageEnd > end) return next;
      const type = bytes[next];
      if (type !== Backend.DataRow) {
        if (!this.answers(execution, type!, bytes, next + HEADER_BYTES, messageEnd)) return next;
        if (type === Backend.ReadyForQuery) return messageEnd;
      } else if (execution.awaited !== Awaited.Completion) return next;
      next = messageEnd;
    }
    return next;
  }

  /** Whether the message whose body is `bytes[start, end)` is awaited; it has been taken then. */
  private answers(
    execution: PlainExecution,
    type: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): boolean {
    switch (execution.awaited) {
      case Awaited.ParseComplete:
        if (type !== Backend.ParseComplete) return false;
        this.state.statements.make('', execution.statement);
        execution.awaited = Awaited.BindComplete;
        return true;
      case Awaited.BindComplete:
        if (type !== Backend.BindComplete) return false;
        this.state.portals.make('', execution.portal);
        execution.awaited = execution.describes ? Awaited.Description : Awaited.Completion;
        return true;
      case Awaited.Description:
        if (type !== Backend.RowDescription && type !== Backend.NoData) return false;
        execution.awaited = Awaited.Completion;
        return true;
      case Awaited.Completion:
        if (type !== Backend.CommandComplete) return false;
        this.completed(execution, bytes, start, end);
        execution.awaited = Awaited.ReadyForQuery;
        return true;
      case Awaited.ReadyForQuery:
        if (type !== Backend.ReadyForQuery || end <= start) return false;
        this.ready(execution, bytes[start]!);
        return true;
      default:
        return execution.awaited satisfies never;
    }
  }

  /** Its statement has ended, as the tag in `bytes[start, end)` tells. */
  private completed(execution: PlainExecution, bytes: Buffer, start: number, end: number): void {
    const { audit } = execution;
    execution.audit = null;
    if (audit === null) return;
    const { fates } = this.state;
    if (fates.areOpen)
      fates.statementEnded(bytes.latin1Slice(start, end - 1), audit.analysis.statements[0] ?? null);
    this.outcomes.end(audit, 'completed', null, rowsOfCommandTag(bytes, start, end));
  }

  private ready(execution: PlainExecution, status: number): void {
    const { state } = this;
    state.replies.folded = null;
    execution.clear();
    state.transactionStatus = transactionStatusOf(status);
    this.onReady();
  }
}
