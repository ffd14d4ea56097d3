import type { AuditEntry } from '../audit/event.ts';
import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Portal } from './names.ts';
import type { SessionState } from './state.ts';

interface Approved {
  /** As they stood behind its Bind, and behind each Execute of it that was sent. */
  epoch: number;
  executions: number;
  names: number;
  readonly boundAtMs: number;
  /** Of its last Execute, until it has begun. */
  entry: AuditEntry | null;
  begun: boolean;
  /** All that it does has been done, and what is left are rows. */
  isDone: boolean;
}

/**
 * Portals that run because people have approved them, or that a hold has let go. What was approved was looked at when
 * they were bound, and what they name is looked up, and their rights are checked, when they are executed: so nothing
 * else may have run on the session between the two. A portal that has begun goes on whatever has run meanwhile, but for code
 * whose names are looked up as it runs: then nothing may have changed what they mean.
 */
export class ApprovedPortals {
  private readonly state: SessionState;
  private readonly known = new WeakMap<Portal, Approved>();

  constructor(state: SessionState) {
    this.state = state;
  }

  /** Its Bind is being sent. */
  bound(portal: Portal): void {
    if (portal.approvalId === null) return;
    const { epoch, replies, statements } = this.state;
    this.known.set(portal, {
      epoch,
      executions: replies.executions,
      names: statements.changes,
      boundAtMs: nowMs(),
      entry: null,
      begun: false,
      isDone: false,
    });
  }

  /** An Execute of it is being sent, whose own effects are counted by now: they came to be only if it has run. */
  executed(portal: Portal, entry: AuditEntry): void {
    const approved = this.known.get(portal);
    if (approved === undefined) return;
    approved.begun = hasBegun(approved);
    approved.entry = approved.begun ? null : entry;
    approved.epoch = this.state.epoch;
    approved.executions = this.state.replies.executions;
    approved.names = this.state.statements.changes;
  }

  /** The server has told that it has run. */
  hasRun(portal: Portal): void {
    const approved = this.known.get(portal);
    if (approved === undefined) return;
    approved.begun = true;
    approved.isDone = true;
  }

  /** Whether it may do something else by now than what was approved. */
  hasMoved(portal: Portal): boolean {
    if (portal.approvalId === null) return false;
    const approved = this.known.get(portal);
    if (approved === undefined) return true;
    const { epoch, replies, statements } = this.state;
    // Code may run what has a name by now.
    const isElse = approved.epoch !== epoch || approved.names !== statements.changes;
    if (hasBegun(approved)) return !approved.isDone && isElse && runsUnseenCode(portal);
    if (isElse || approved.executions !== replies.executions) return true;
    // Others may have altered what it names, and a client that waits for that is not let.
    return nowMs() - approved.boundAtMs > LIMITS.approvedBindMs;
  }
}

function runsUnseenCode({ analysis }: Portal): boolean {
  return analysis.statements.some(({ session }) => session.some(({ kind }) => kind === 'opaque-code'));
}

/** As far as the server has answered; what has not been answered may not have run. */
function hasBegun({ entry, begun }: Approved): boolean {
  return begun || entry?.end === 'completed' || entry?.end === 'suspended';
}
