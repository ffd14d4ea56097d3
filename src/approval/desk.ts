import { unreachable } from '../base/assert.ts';
import { nowMs } from '../base/clock.ts';
import { withinMs } from '../base/deadline.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { KnownRows } from '../policy/row-set.ts';
import type { ApprovalResolution, ControlStore } from '../store/control-store.ts';
import type {
  Approval,
  ApprovalDesk,
  ApprovalState,
  Asked,
  HeldStatement,
  HoldOutcome,
  NewApproval,
} from './approval.ts';
import { type Decider, whyNotApprove } from './approver.ts';
import { outcomeOf, shuttingDown } from './hold-outcome.ts';
import { PendingApprovals } from './pending-approvals.ts';
import { Precedents } from './precedents.ts';
import type { RequestKeys } from './request-keys.ts';
import { approvalOf, longText, newApproval, rowOf, storedApproval } from './stored-approval.ts';

export type Verdict = 'approve' | 'deny';

export interface ApprovalListener {
  requested?(approval: Approval): void;
  /** A vote that did not suffice, or a grant that was used. */
  changed?(approval: Approval): void;
  resolved?(approval: Approval): void;
}

export interface ApprovalList {
  readonly items: readonly Approval[];
  /** Where the next page goes on, or null at the end. */
  readonly next: string | null;
}

/** The rows that those who decided were told that it would change; null where nobody knew. */
export type RowsShown = (approval: Approval) => Promise<KnownRows | null>;

export interface ApprovalDeskDeps {
  readonly store: ControlStore;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'error'>;
  readonly keys: RequestKeys;
  /** Why nothing is to be approved now, or null. */
  readonly paused?: () => string | null;
}

const STATE_OF_VERDICT = { approve: 'approved', deny: 'denied' } as const satisfies Record<
  Verdict,
  ApprovalState
>;

/**
 * The approvals of this gateway. One is *pending* from `request` until the store says that it was resolved; whoever
 * resolves it first in the store wins, and those who wait hear what the store says, whoever asked. So an approval
 * that is not durable runs nothing, and a client that leaves while it is being approved either leaves before or has
 * been approved. A grant is used up in the store before anything runs on it, so that it is used once.
 */
export class StoredApprovalDesk implements ApprovalDesk {
  readonly #deps: ApprovalDeskDeps;
  readonly #precedents: Precedents;
  readonly #pending: PendingApprovals;
  readonly #listeners = new Set<ApprovalListener>();
  #base = '';
  #closed = false;

  /** For what an earlier run left pending nobody waits any more: it can be approved, and run by asking again. */
  static async open(deps: ApprovalDeskDeps): Promise<StoredApprovalDesk> {
    await renewKeys(deps);
    const { detached, abandoned } = await deps.store.detachApprovals(nowMs());
    if (detached > 0) deps.log.info({ approvals: detached }, 'statements that were held have become tickets');
    if (abandoned > 0) deps.log.info({ approvals: abandoned }, 'approvals of an earlier run are abandoned');
    const desk = new StoredApprovalDesk(deps);
    const rows = await deps.store.approvals({
      state: 'pending',
      beforeId: null,
      limit: LIMITS.approvalsPendingMax,
    });
    for (const row of rows) desk.#pending.expect(approvalOf(row));
    return desk;
  }

  private constructor(deps: ApprovalDeskDeps) {
    this.#deps = deps;
    this.#precedents = new Precedents(deps.store);
    this.#pending = new PendingApprovals(deps.metrics, (id) => void this.#end(id, 'timeout'));
  }

  get pending(): number {
    return this.#pending.size;
  }

  listen(listener: ApprovalListener): void {
    this.#listeners.add(listener);
  }

  /** Where the admin API is found, for those who are given a ticket. */
  servedAt(base: string): void {
    this.#base = base;
  }

  takeRowsFrom(shown: RowsShown): void {
    this.#precedents.rowsShown = shown;
  }

  async request(asked: NewApproval): Promise<Asked> {
    if (this.#closed) throw shuttingDown();
    const wanted = this.#keyed(asked);
    const precedent = await this.#precedents.of(wanted);
    for (const id of precedent.overtaken) await this.#end(id, 'superseded');
    switch (precedent.kind) {
      case 'granted':
        this.#tell((listener) => listener.changed?.(precedent.approval));
        return { kind: 'granted', approval: precedent.approval, rowsShown: precedent.rowsShown };
      case 'denied':
        return {
          kind: 'answered',
          id: precedent.approval.id,
          isNew: false,
          outcome: outcomeOf(precedent.approval),
        };
      case 'pending':
        return this.#answered(precedent.approval, wanted);
      case 'none':
        return await this.#ask(
          newApproval(wanted, wanted.drift?.length ? wanted.drift : precedent.drift),
          wanted,
        );
      default:
        return unreachable(precedent);
    }
  }

  /**
   * It is approved when as many as it needs have approved it, no person twice; one denial ends it. The same
   * verdict again is no error; another one is a CONFLICT, as is one that comes too late.
   */
  async decide(id: string, verdict: Verdict, decider: Decider): Promise<Approval> {
    const state = STATE_OF_VERDICT[verdict];
    const row = await this.#deps.store.approval(id);
    if (row === null) throw notFound(id);
    const { approval: found, grantMs } = storedApproval(row);
    if (verdict === 'approve') this.#mayApprove(found, decider);
    // A live one that nobody waits for may be seen pending for a moment, at the start, the end or after a failure.
    if (found.state === 'pending' && found.mode === 'live' && !this.#pending.has(id)) {
      throw new HoldfastError('CONFLICT', `approval ${id} has nobody who waits for it`);
    }
    const voted = await this.#deps.store.voteApproval({
      approvalId: id,
      principal: decider.by,
      person: decider.person,
      subject: decider.subject,
      verdict,
      atMs: nowMs(),
      comment: decider.comment,
      breakGlass: decider.breakGlass,
      lookedAt: decider.lookedAt,
      needed: found.approvalsNeeded,
      grantMs,
      session: found.sessionId,
    });
    if (voted === null) throw notFound(id);
    if (voted.isStale === true) throw otherPreview();
    const approval = approvalOf(voted.row);
    if (approval.state === 'pending') {
      if (approval.expiresAtMs <= nowMs()) {
        await this.#end(id, 'timeout');
        throw new HoldfastError('CONFLICT', `approval ${id} is timeout already`);
      }
      this.#tell((listener) => listener.changed?.(approval));
      return approval;
    }
    // Also where this call changed nothing: the answer to the one that did may have been lost.
    this.#settle(approval);
    if (approval.state !== state) {
      throw new HoldfastError('CONFLICT', `approval ${id} is ${approval.state} already`);
    }
    return approval;
  }

  async get(id: string): Promise<Approval> {
    const row = await this.#deps.store.approval(id);
    if (row === null) throw notFound(id);
    return approvalOf(row);
  }

  /** As much of its statement as is kept, which may be more than the approval itself has. */
  async text(id: string): Promise<string> {
    const long = await this.#deps.store.approvalText(id);
    return long ?? (await this.get(id)).statement;
  }

  /** Newest first. */
  async list(filter: {
    state: ApprovalState | null;
    before: string | null;
    limit: number;
    spread?: boolean;
  }): Promise<ApprovalList> {
    const { state, before, limit } = filter;
    if (filter.spread === true) return await this.#spread(limit);
    const rows = await this.#deps.store.approvals({ state, beforeId: before, limit: limit + 1 });
    const items = rows.slice(0, limit).map(approvalOf);
    return { items, next: rows.length > limit ? items.at(-1)!.id : null };
  }

  /** Of what is pending as many of each role; where that is not all, there is no way to go on. */
  async #spread(limit: number): Promise<ApprovalList> {
    const page = { state: 'pending', beforeId: null, limit, spread: true };
    const items = (await this.#deps.store.approvals(page)).map(approvalOf);
    return {
      items,
      next: this.#pending.size > items.length && items.length === limit ? items.at(-1)!.id : null,
    };
  }

  /** Ends all holds: none of the statements runs now. What is pending can still be approved, for the next run. */
  async close(): Promise<void> {
    this.#closed = true;
    const late = () =>
      new HoldfastError('STORE_FAILED', 'the store has not answered; the next start detaches holds');
    try {
      await withinMs(LIMITS.sessionEndMs, this.#deps.store.detachApprovals(nowMs()), late);
    } finally {
      for (const id of this.#pending.ids()) this.#pending.drop(id, { kind: 'failed', error: shuttingDown() });
    }
  }

  #keyed(wanted: NewApproval): NewApproval {
    const { key } = wanted.binding;
    if (key === null) return wanted;
    return { ...wanted, binding: { ...wanted.binding, key: this.#deps.keys.stored(key) } };
  }

  #mayApprove(approval: Approval, decider: Decider): void {
    const why = whyNotApprove(approval, decider);
    if (why !== null) throw new HoldfastError('APPROVER_REFUSED', why);
    const paused = this.#deps.paused?.() ?? null;
    if (paused !== null) throw new HoldfastError('PAUSED', `nothing is approved now: ${paused}`);
  }

  async #ask(approval: Approval, wanted: NewApproval): Promise<Asked> {
    const row = await this.#pending.whileAsking(approval.role, () =>
      this.#deps.store.insertApproval(rowOf(approval, wanted.grantMs), longText(wanted.statement)),
    );
    // Somebody else may have asked for the same at the same moment.
    if (row.id !== approval.id) return this.#answered(approvalOf(row), wanted);
    this.#pending.expect(approval);
    this.#tell((listener) => listener.requested?.(approval));
    const asked: Asked =
      wanted.mode === 'ticket'
        ? this.#ticket(approval, true)
        : { kind: 'waits', id: approval.id, isNew: true, held: this.#wait(approval) };
    if (this.#closed) this.#pending.drop(approval.id, { kind: 'failed', error: shuttingDown() });
    return asked;
  }

  /** For one that was asked for before, and of which nothing has been decided. */
  #answered(approval: Approval, wanted: NewApproval): Asked {
    if (wanted.mode === 'ticket') return this.#ticket(approval, false);
    return {
      kind: 'waits',
      id: approval.id,
      isNew: false,
      held: this.#waitToo(approval, wanted.sessionId),
    };
  }

  #ticket(approval: Approval, isNew: boolean): Asked {
    const url = `${this.#base}/v1/approvals/${approval.id}`;
    return {
      kind: 'answered',
      id: approval.id,
      isNew,
      outcome: { kind: 'ticket', url, drift: approval.drift },
    };
  }

  /** The session that has asked for it: when it gives up, nobody is asked any more. */
  #wait(approval: Approval): HeldStatement {
    const { id } = approval;
    const { outcome } = this.#pending.join(approval);
    const end = (how: 'canceled' | 'disconnected') => void this.#end(id, how);
    return { id, outcome, ...this.#comparing(approval), end };
  }

  /** One that waits for a ticket, as others may do: the first to use it runs its statement, and the others ask anew. */
  #waitToo(approval: Approval, sessionId: string): HeldStatement {
    const { id } = approval;
    const { outcome: resolved, leave } = this.#pending.join(approval);
    const use = async (outcome: HoldOutcome): Promise<HoldOutcome | null> => {
      if (outcome.kind !== 'approved') return outcome;
      try {
        return (await this.#deps.store.consumeGrant(id, nowMs(), sessionId)) ? outcome : null;
      } catch (cause) {
        return { kind: 'failed', error: cause as Error };
      }
    };
    const end = (kind: 'canceled' | 'disconnected') => leave({ kind });
    return { id, outcome: resolved.then(use), ...this.#comparing(approval), end };
  }

  #comparing(approval: Approval): Pick<HeldStatement, 'compare'> {
    return { compare: (now) => this.#precedents.compare(approval, now) };
  }

  /** Ends one without a verdict. A store that fails lets nothing through and leaves nobody waiting. */
  async #end(id: string, state: 'timeout' | 'canceled' | 'disconnected' | 'superseded'): Promise<void> {
    if (!this.#pending.has(id)) return;
    try {
      const to: ApprovalResolution = { state, atMs: nowMs(), by: null, comment: null };
      const resolved = await this.#deps.store.resolveApproval(id, to);
      if (resolved === null) throw notFound(id);
      this.#settle(approvalOf(resolved.row));
    } catch (cause) {
      this.#deps.log.error({ error: cause, approval: id }, 'the end of a hold could not be recorded');
      const error = new HoldfastError('STORE_FAILED', 'the end of a hold could not be recorded', { cause });
      this.#pending.drop(id, { kind: 'failed', error });
    }
  }

  #settle(approval: Approval): void {
    if (!this.#pending.drop(approval.id, outcomeOf(approval))) return;
    const { approvals } = this.#deps.metrics;
    approvals.add(approvals.cellOf(approval.state));
    this.#tell((listener) => listener.resolved?.(approval));
  }

  #tell(about: (listener: ApprovalListener) => void): void {
    for (const listener of this.#listeners) about(listener);
  }
}

/** What an earlier run has stored by other keys: those of an earlier version go on, those of another secret end. */
async function renewKeys({ store, keys, log }: ApprovalDeskDeps): Promise<void> {
  const renewed = (await store.otherKeys(keys.prefix, nowMs())).map(({ id, key }) => ({
    id,
    key: keys.renewed(key),
  }));
  await store.renewKeys(keys.prefix, renewed);
  const lost = renewed.filter(({ key }) => key === null).length;
  if (lost > 0)
    log.info(
      { approvals: lost },
      'approvals cannot be used any more, since the key of the audit is another one',
    );
}

function otherPreview(): HoldfastError {
  return new HoldfastError(
    'CONFLICT',
    'what it would do has been found out once more since it was looked at',
    { hint: 'Look at the preview again.' },
  );
}

function notFound(id: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `there is no approval ${id}`);
}
