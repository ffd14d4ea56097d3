import type { AuditEntry } from '../../audit/event.ts';
import { assert } from '../../base/assert.ts';
import { nowMs } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import { stringEnd } from '../../wire/frontend.ts';
import { Frontend } from '../../wire/message-type.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { segmentFits, untilSegmentFits } from '../hidden/segment-fits.ts';
import { isAsciiName, type Portal, UNSETTLED } from '../known/names.ts';
import { newEntry } from '../new-entry.ts';
import { countedOf } from '../ruling/counted-rows.ts';
import { poison } from '../ruling/poison.ts';
import { closedPortalError, unclosedPortalError } from '../ruling/refusal.ts';
import type { SessionState } from '../state.ts';
import type { Verdict } from '../verdict.ts';

interface Approved {
  /** As they stood behind its Bind, and behind each Execute of it that was sent. */
  epoch: number;
  names: number;
  readonly boundAtMs: number;
  /** Of its last Execute. */
  entry: AuditEntry | null;
  begun: boolean;
  /** All that it does has been done, and what is left are rows. */
  isDone: boolean;
  /** The gateway has closed it at the server, or is about to. */
  isClosed: boolean;
}

/** Messages that may run a portal that stands open: by SQL's FETCH, from code, or as what is deferred to a commit. */
const RUNNING: ReadonlySet<number> = new Set([
  Frontend.Query,
  Frontend.Bind,
  Frontend.Execute,
  Frontend.FunctionCall,
  Frontend.Sync,
]);

/**
 * Portals that run because people have approved them, or that a hold has let go, or that were decided by a count of their
 * rows. What was approved was looked at when
 * they were bound, and what they name is looked up, and their rights and rows are checked, when they are executed: so
 * nothing else may run on the session between the two, and nothing but their own Execute may run them, which SQL's FETCH
 * would as well.
 *
 * States of such a portal:
 * - open: it is bound, and no Execute of it has been sent. Ahead of anything else that runs it is closed.
 * - executed: its Execute has been sent. It has begun, or has failed and with it the transaction that it was made in.
 *   What has begun goes on whatever runs meanwhile. Only code, whose names are looked up as it runs, stays open until it
 *   has been read to its end, and goes on only where nothing has changed what they mean.
 * - closed: its Execute is refused.
 */
export class ApprovedPortals {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly known = new WeakMap<Portal, Approved>();
  private readonly open = new Map<string, Portal>();

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  /** Whether any may be open. */
  get areOpen(): boolean {
    return this.open.size > 0;
  }

  /** Its Bind is being sent. */
  bound(name: string, portal: Portal): void {
    if (this.areOpen) this.open.delete(name);
    if (!runsAlone(portal)) return;
    const { epoch, statements } = this.state;
    this.open.set(name, portal);
    this.known.set(portal, {
      epoch,
      names: statements.changes,
      boundAtMs: nowMs(),
      entry: null,
      begun: false,
      isDone: false,
      isClosed: false,
    });
  }

  /** The client's own Close of that name is being sent. */
  closing(name: string): void {
    this.open.delete(name);
  }

  /** An Execute of it is being sent, whose own effects are counted by now: they came to be only if it has run. */
  executed(name: string, portal: Portal, entry: AuditEntry): void {
    const approved = this.known.get(portal);
    if (approved === undefined) return;
    if (!runsUnseenCode(portal)) this.open.delete(name);
    approved.begun = hasBegun(approved);
    approved.entry = entry;
    approved.epoch = this.state.epoch;
    approved.names = this.state.statements.changes;
  }

  /** The server has told that it has run. */
  hasRun(name: string, portal: Portal): void {
    const approved = this.known.get(portal);
    if (approved === undefined) return;
    this.open.delete(name);
    approved.begun = true;
    approved.isDone = true;
  }

  /** The wait for the Close of those that stand open, ahead of a message that may run them; null where none has to be. */
  before(type: number, bytes: Buffer, start: number, end: number): Verdict {
    if (!this.mayRun(type)) return null;
    const isOfPortal = type === Frontend.Bind || type === Frontend.Execute;
    return this.closeBut(isOfPortal ? this.named(bytes, start, end) : null, type);
  }

  /** The same ahead of a message of which the server runs code as it reads it. */
  beforeCode(type: typeof Frontend.Parse | typeof Frontend.Describe): Verdict {
    return this.areOpen && !this.runsNothing ? this.closeBut(null, type) : null;
  }

  private closeBut(own: string | null, type: number): Verdict {
    const { portals } = this.state;
    const names: string[] = [];
    for (const [name, portal] of this.open) {
      const known = portals.lookup(name);
      // It went with its transaction, or has nothing left to run.
      const isGone = known !== portal && known !== UNSETTLED;
      if (isGone || this.known.get(portal)?.entry?.end === 'completed') this.open.delete(name);
      else if (name !== own) names.push(name);
    }
    if (names.length === 0) return null;
    // Their names on the wire are not kept, and these may be written otherwise there.
    if (!names.every(isAsciiName)) return poison(this.state, type, unclosedPortalError(), null);
    const answer = { analysis: null, outcome: null };
    return { kind: 'wait', until: this.close(names).then(() => answer) };
  }

  /** Whether it may do something else by now than what was approved. */
  hasMoved(portal: Portal): boolean {
    if (portal.approvalId === null) return false;
    const approved = this.known.get(portal);
    if (approved === undefined) return true;
    const { epoch, statements } = this.state;
    // Code may run what has a name by now.
    const isElse = approved.epoch !== epoch || approved.names !== statements.changes;
    if (hasBegun(approved)) return !approved.isDone && isElse && runsUnseenCode(portal);
    // Others may have altered what it names, and a client that waits for that is not let.
    return isElse || nowMs() - approved.boundAtMs > LIMITS.approvedBindMs;
  }

  /** The refusal of an Execute of what was closed ahead of something else; null where it stands. */
  refusal(portal: Portal): Verdict {
    if (!runsAlone(portal) || this.known.get(portal)?.isClosed !== true) return null;
    const { analysis, parameters, statement } = portal;
    const text = analysis.redacted === null ? statement.text : null;
    const entry = newEntry(this.state, 'extended', analysis, text, parameters, portal, nowMs());
    return poison(this.state, Frontend.Execute, closedPortalError(), entry);
  }

  /** With an error the server has given all portals up, and what comes while it copies in runs nothing. */
  private get runsNothing(): boolean {
    return this.state.discarding || this.state.copyingIn;
  }

  /** A Sync runs something only where it commits what has run. */
  private mayRun(type: number): boolean {
    const { state } = this;
    if (!RUNNING.has(type) || this.runsNothing) return false;
    if (type !== Frontend.Sync) return true;
    // It ends an implicit block as well, whatever segment of that has run something.
    return (state.executedIn === state.segment || state.inImplicitBlock) && !state.isInBlock;
  }

  /** The portal that the message is about; null for a name that cannot be read, which is refused. */
  private named(bytes: Buffer, start: number, end: number): string | null {
    const nameEnd = stringEnd(bytes, start, end);
    return nameEnd < 0 ? null : this.state.nameKey(bytes, start, nameEnd);
  }

  private async close(names: readonly string[]): Promise<void> {
    const { state } = this;
    await untilSegmentFits(state);
    if (this.runsNothing) return;
    assert(segmentFits(state), 'it is clear what a COPY has swallowed where portals are closed');
    for (const name of names) {
      const approved = this.known.get(this.open.get(name)!);
      if (approved !== undefined) approved.isClosed = true;
    }
    // A Sync of ours would end the block that is none.
    const isInside = state.replies.segmentOpen || state.inImplicitBlock;
    try {
      await this.hidden.closePortals(names, isInside ? 'flush' : 'sync');
    } catch (error) {
      if (error instanceof HiddenQueryEnded && this.runsNothing) return;
      throw error;
    }
    for (const name of names) this.open.delete(name);
  }
}

/** Whether it was decided by what was looked at when it was bound, as its rows are where they were counted. */
function runsAlone({ approvalId, decision }: Portal): boolean {
  return approvalId !== null || countedOf(decision) !== null;
}

function runsUnseenCode({ analysis }: Portal): boolean {
  return analysis.statements.some(({ session }) => session.some(({ kind }) => kind === 'opaque-code'));
}

/** As far as the server has answered; what has not been answered may not have run. */
function hasBegun({ entry, begun }: Approved): boolean {
  return begun || entry?.end === 'completed' || entry?.end === 'suspended';
}
