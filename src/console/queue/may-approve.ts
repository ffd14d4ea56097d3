import type { Approval } from '../api/types.ts';
import { mayDo, type Principal } from '../state/principal.ts';

/**
 * Why whoever is signed in cannot approve it, as far as that can be told here, so that nobody finds out only by trying.
 * The gateway knows more, such as patterns of roles, and alone decides.
 */
export function whyNotApprove(approval: Approval, who: Principal | null): string | null {
  if (who === null) return null;
  if (!mayDo(who, 'approval:write')) return 'Your token has no scope approval:write.';
  const { name, roles = [], groups = [], person = name } = who;
  for (const asking of new Set([approval.role, approval.binding?.runs_as ?? approval.role])) {
    if ([name, person].some((own) => asking.toLowerCase() === own.toLowerCase()))
      return 'You have asked for it yourself: somebody else has to approve it. You may deny it.';
    if (roles.includes(asking))
      return `${asking} has asked for it, which is a role of yours: somebody else has to approve it. You may deny it.`;
  }
  const approvers = approval.approvers ?? null;
  if (approvers !== null && !approvers.some((group) => groups.includes(group)))
    return `It is for members of ${approvers.join(', ')} to approve. You may deny it.`;
  if (approval.approved_by.includes(name))
    return 'You have approved it; now it needs somebody else. You may still deny it.';
  return null;
}
