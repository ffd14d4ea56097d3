import { createHash } from 'node:crypto';
import { unreachable } from '../base/assert.ts';
import { nowMs } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { ApprovalResolution, ApprovalRow, ControlStore } from '../store/control-store.ts';
import type {
  Approval,
  ApprovalDesk,
  ApprovalState,
  HeldStatement,
  HoldOutcome,
  NewApproval,
} from './approval.ts';
import { APPROVAL_STATES } from './approval.ts';

export type Verdict = 'approve' | 'deny';

export interface Decider {
  readonly by: string;
  readonly comment: string | null;
}

export interface ApprovalListener {
  requested?(approval: Approval): void;
  resolved?(approval: Approval): void;
}

export interface ApprovalList {
  readonly items: readonly Approval[];
  /** Where the next page goes on, or null at the end. */
  readonly next: string | null;
}

export interface ApprovalDeskDeps {
  readonly store: ControlStore;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

interface Waiting {
  readonly settle: (outcome: HoldOutcome) => void;
  readonly timer: NodeJS.Timeout;
  /** Those who have approved, and what they said. They are kept here alone, as nobody waits after a restart. */
  readonly approvals: Map<string, string | null>;
}

/** What a timer can wait at most; a longer one would ring at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

const STATE_OF_VERDICT = { approve: 'approved', deny: 'denied' } as const satisfies Record<
  Verdict,
  ApprovalState
>;

/**
 * The approvals of this gateway. A hold is *pending* from `request` until the store says that it was resolved;
 * whoever resolves it first in the store wins, and the waiting session hears what the store says, whoever asked.
 * So an approval that is not durable runs nothing, and a client that leaves while it is being approved either
 * leaves before or has been approved.
 */
export class StoredApprovalDesk implements ApprovalDesk {
  readonly #deps: ApprovalDeskDeps;
  readonly #waiting = new Map<string, Waiting>();
  readonly #listeners = new Set<ApprovalListener>();
  /** Requests that are on their way to the store, which count against the limit as well. */
  #asking = 0;
  #closed = false;

  /** What an earlier run left pending has nobody who waits for it any more, and is abandoned. */
  static async open(deps: ApprovalDeskDeps): Promise<StoredApprovalDesk> {
    const abandoned = await deps.store.resolvePendingApprovals(resolution('abandoned'));
    if (abandoned > 0) deps.log.info({ approvals: abandoned }, 'approvals of an earlier run are abandoned');
    return new StoredApprovalDesk(deps);
  }

  private constructor(deps: ApprovalDeskDeps) {
    this.#deps = deps;
  }

  get pending(): number {
    return this.#waiting.size;
  }

  listen(listener: ApprovalListener): void {
    this.#listeners.add(listener);
  }

  async request(wanted: NewApproval): Promise<HeldStatement> {
    if (this.#closed) throw shuttingDown();
    if (this.#waiting.size + this.#asking >= LIMITS.approvalsPendingMax) {
      throw new HoldfastError('TOO_MANY_HELD', 'too many statements are waiting for approval', {
        hint: 'Try again when some of them have been decided.',
      });
    }
    const approval = newApproval(wanted);
    this.#asking++;
    try {
      await this.#deps.store.insertApproval(rowOf(approval));
    } finally {
      this.#asking--;
    }
    return this.#hold(approval, wanted.timeoutMs);
  }

  /**
   * A hold runs when as many as it needs have approved it, each by another name; one denial ends it. The same verdict
   * again is no error; another one is a CONFLICT, as is one that comes too late.
   */
  async decide(id: string, verdict: Verdict, decider: Decider): Promise<Approval> {
    const state = STATE_OF_VERDICT[verdict];
    const found = await this.get(id);
    // A hold that nobody waits for may be seen pending for a moment, at the start, the end or after a failure.
    if (found.state === 'pending' && !this.#waiting.has(id)) {
      throw new HoldfastError('CONFLICT', `approval ${id} has nobody who waits for it`);
    }
    if (verdict === 'approve' && found.state === 'pending') {
      const approvals = this.#waiting.get(id)!.approvals.set(decider.by, decider.comment);
      if (approvals.size < found.approvalsNeeded) return this.#counted(found);
      decider = joined(approvals);
    }
    const approval = await this.#resolve(id, resolution(state, decider));
    if (approval.state !== state) {
      throw new HoldfastError('CONFLICT', `approval ${id} is ${approval.state} already`);
    }
    return approval;
  }

  async get(id: string): Promise<Approval> {
    const row = await this.#deps.store.approval(id);
    if (row === null) throw new HoldfastError('NOT_FOUND', `there is no approval ${id}`);
    return this.#counted(approvalOf(row));
  }

  /** Newest first. */
  async list(filter: {
    state: ApprovalState | null;
    before: string | null;
    limit: number;
  }): Promise<ApprovalList> {
    const { state, before, limit } = filter;
    const rows = await this.#deps.store.approvals({ state, beforeId: before, limit: limit + 1 });
    const items = rows.slice(0, limit).map((row) => this.#counted(approvalOf(row)));
    return { items, next: rows.length > limit ? items.at(-1)!.id : null };
  }

  /** Ends all holds: none of the statements runs. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#waiting.keys()].map((id) => this.#end(id, 'abandoned')));
  }

  /** With those who have approved it so far. */
  #counted(approval: Approval): Approval {
    const approvals = approval.state === 'pending' ? this.#waiting.get(approval.id)?.approvals : undefined;
    return approvals === undefined ? approval : { ...approval, approvedBy: [...approvals.keys()] };
  }

  #hold(approval: Approval, timeoutMs: number): HeldStatement {
    const { id } = approval;
    const { promise, resolve } = Promise.withResolvers<HoldOutcome>();
    const timer = setTimeout(() => void this.#end(id, 'timeout'), Math.min(timeoutMs, TIMER_MS_MAX));
    this.#waiting.set(id, { settle: resolve, timer, approvals: new Map() });
    this.#deps.metrics.statementsHeld = this.#waiting.size;
    this.#tell((listener) => listener.requested?.(approval));
    if (this.#closed) void this.#end(id, 'abandoned');
    return { id, outcome: promise, end: (how) => void this.#end(id, how) };
  }

  /** Ends a hold without a verdict. A store that fails lets nothing through and leaves nobody waiting. */
  async #end(id: string, state: 'timeout' | 'canceled' | 'disconnected' | 'abandoned'): Promise<void> {
    if (!this.#waiting.has(id)) return;
    try {
      await this.#resolve(id, resolution(state));
    } catch (cause) {
      this.#deps.log.error({ error: cause, approval: id }, 'the end of a hold could not be recorded');
      const error = new HoldfastError('STORE_FAILED', 'the end of a hold could not be recorded', { cause });
      this.#settle(id, { kind: 'failed', error });
    }
  }

  async #resolve(id: string, to: ApprovalResolution): Promise<Approval> {
    const resolved = await this.#deps.store.resolveApproval(id, to);
    if (resolved === null) throw new HoldfastError('NOT_FOUND', `there is no approval ${id}`);
    const approval = approvalOf(resolved.row);
    // Also where this call changed nothing: the answer to the one that did may have been lost.
    if (this.#settle(id, outcomeOf(approval))) {
      const { approvals } = this.#deps.metrics;
      approvals.add(approvals.cellOf(approval.state));
      this.#tell((listener) => listener.resolved?.(approval));
    }
    return approval;
  }

  /** True for the first outcome of a hold. */
  #settle(id: string, outcome: HoldOutcome): boolean {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return false;
    this.#waiting.delete(id);
    this.#deps.metrics.statementsHeld = this.#waiting.size;
    clearTimeout(waiting.timer);
    waiting.settle(outcome);
    return true;
  }

  #tell(about: (listener: ApprovalListener) => void): void {
    for (const listener of this.#listeners) about(listener);
  }
}

function newApproval(wanted: NewApproval): Approval {
  const { timeoutMs, ...asked } = wanted;
  const createdAtMs = nowMs();
  return {
    ...asked,
    id: newId('apr', Math.floor(createdAtMs)),
    state: 'pending',
    createdAtMs,
    expiresAtMs: createdAtMs + timeoutMs,
    resolvedAtMs: null,
    resolvedBy: null,
    comment: null,
    approvedBy: [],
    statement: cutText(wanted.statement),
    statementSha256: createHash('sha256').update(wanted.statement).digest('hex'),
  };
}

function cutText(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= LIMITS.auditTextBytes) return text;
  const cut = Buffer.alloc(LIMITS.auditTextBytes);
  return cut.toString('utf8', 0, cut.write(text));
}

function resolution(state: ApprovalState, decider: Partial<Decider> = {}): ApprovalResolution {
  return { state, atMs: nowMs(), by: decider.by ?? null, comment: decider.comment ?? null };
}

function joined(approvals: ReadonlyMap<string, string | null>): Decider {
  const comments = [...approvals.values()].filter((comment) => comment !== null);
  return {
    by: [...approvals.keys()].join(', '),
    comment: comments.length === 0 ? null : comments.join('; '),
  };
}

function outcomeOf(approval: Approval): HoldOutcome {
  const by = approval.resolvedBy ?? 'unknown';
  switch (approval.state) {
    case 'approved':
      return { kind: 'approved', by, comment: approval.comment };
    case 'denied':
      return { kind: 'denied', by, comment: approval.comment };
    case 'timeout':
    case 'canceled':
    case 'disconnected':
      return { kind: approval.state };
    case 'abandoned':
      return { kind: 'failed', error: shuttingDown() };
    case 'pending':
      return { kind: 'failed', error: new HoldfastError('INTERNAL', 'a resolved approval is pending') };
    default:
      return unreachable(approval.state);
  }
}

function shuttingDown(): HoldfastError {
  return new HoldfastError('SHUTTING_DOWN', 'the gateway is shutting down');
}

function rowOf(approval: Approval): ApprovalRow {
  const { id, state, createdAtMs, resolvedAtMs, resolvedBy, comment, approvedBy: _, ...body } = approval;
  return { id, state, createdAtMs, resolvedAtMs, resolvedBy, comment, body: JSON.stringify(body) };
}

function approvalOf(row: ApprovalRow): Approval {
  const state = APPROVAL_STATES.find((one) => one === row.state);
  if (state === undefined)
    throw new HoldfastError('STORE_FAILED', `approval ${row.id} has a state of another version`);
  const { id, createdAtMs, resolvedAtMs, resolvedBy, comment } = row;
  const body = JSON.parse(row.body) as Omit<Approval, keyof ApprovalRow | 'approvedBy'>;
  return {
    ...body,
    approvalsNeeded: body.approvalsNeeded ?? 1,
    approvedBy: [],
    id,
    state,
    createdAtMs,
    resolvedAtMs,
    resolvedBy,
    comment,
  };
}
