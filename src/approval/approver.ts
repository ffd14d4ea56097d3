import { compileGlob } from '../policy/glob.ts';
import type { Approval } from './approval.ts';

/** Who decides. */
export interface Decider {
  readonly by: string;
  readonly comment: string | null;
  /** Database roles that they own, by name or pattern: nobody approves what they have asked for themselves. */
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  /** In an emergency: alone, whatever number and groups the rule asks for. */
  readonly breakGlass: boolean;
}

type Subject = Pick<Approval, 'role' | 'binding' | 'approvers'>;

/** Why somebody may not approve it, or null. Whoever may not approve may deny all the same. */
export function whyNotApprove({ role, binding, approvers }: Subject, decider: Decider): string | null {
  const { by, roles, groups, breakGlass } = decider;
  for (const asking of binding.runsAs === null ? [role] : [role, binding.runsAs]) {
    if (by === asking) return `${by} has asked for it, and nobody approves what they have asked for`;
    if (roles.some((owned) => owned === asking || compileGlob(owned).match(asking) !== 'no'))
      return `${by} owns the role ${asking}, which has asked for it`;
  }
  if (breakGlass || approvers === null || approvers.some((group) => groups.includes(group))) return null;
  return approvers.length === 0
    ? 'two rules ask for approvers of groups that have none in common, so that nobody may approve it'
    : `it is for members of ${approvers.join(', ')} to approve`;
}
