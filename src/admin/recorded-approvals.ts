import type { Approval } from '../approval/approval.ts';
import type { Decider } from '../approval/approver.ts';
import type { StoredApprovalDesk, Verdict } from '../approval/desk.ts';
import type { AdminAction } from '../audit/admin-entry.ts';
import { type ActionLog, recordAction } from '../audit/recorded-action.ts';
import type { Logger } from '../base/log.ts';
import type { ApprovalsAdmin } from './deps.ts';

/** Approvals as the API decides them: no verdict counts that the audit does not have, and break-glass is not quiet. */
export class RecordedApprovals implements ApprovalsAdmin {
  readonly #desk: StoredApprovalDesk;
  readonly #audit: ActionLog;
  readonly #log: Pick<Logger, 'warn'>;

  constructor(desk: StoredApprovalDesk, audit: ActionLog, log: Pick<Logger, 'warn'>) {
    this.#desk = desk;
    this.#audit = audit;
    this.#log = log;
  }

  list(filter: Parameters<StoredApprovalDesk['list']>[0]) {
    return this.#desk.list(filter);
  }

  get(id: string): Promise<Approval> {
    return this.#desk.get(id);
  }

  text(id: string): Promise<string> {
    return this.#desk.text(id);
  }

  async decide(id: string, verdict: Verdict, decider: Decider, client: string): Promise<Approval> {
    const { database, tables, statementSha256: sha256 } = await this.#desk.get(id);
    const { by, breakGlass, comment } = decider;
    const operation: AdminAction['operation'] = breakGlass ? 'break glass' : verdict;
    if (breakGlass)
      this.#log.warn({ approval: id, by, client, reason: comment }, 'break-glass: approved alone');
    const action = {
      operation,
      text: `${operation} ${id}, statement ${sha256}${comment === null ? '' : `: ${comment}`}`,
      reason: comment ?? '',
      tables,
      database,
      by: `token:${by}`,
      client,
    };
    return await recordAction(this.#audit, action, async (entry) => {
      entry.approvalId = id;
      const approval = await this.#desk.decide(id, verdict, decider);
      // What comes when all is decided is answered as it is, and counts for nothing.
      if (!approval.votes.some((vote) => vote.principal === by && vote.verdict === verdict))
        entry.text = `${action.text} (it was ${approval.state} already, so that this counts for nothing)`;
      return approval;
    });
  }
}
