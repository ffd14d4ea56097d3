import { compileGlob } from '../policy/glob.ts';
import { isSamePerson, type Person } from '../store/people.ts';
import type { Approval, Vote } from './approval.ts';

/** Somebody who may own database roles. */
export interface Owner {
  readonly by: string;
  /** Who that is, under whatever name. */
  readonly person: string;
  /** Database roles that they own, by name or pattern: nobody approves what they have asked for themselves. */
  readonly roles: readonly string[];
}

/** Who decides. */
export interface Decider extends Owner, Person {
  readonly comment: string | null;
  /** `computed_at` of the preview that they have looked at; null where they do not say. */
  readonly lookedAt: string | null;
  readonly groups: readonly string[];
  /** In an emergency: alone, whatever number and groups the rule asks for. */
  readonly breakGlass: boolean;
}

/** How somebody owns a role, or null: it has their own name, in whatever capitals, or is given to them. */
export function ownership({ by, person, roles }: Owner, role: string): 'name' | 'role' | null {
  if ([by, person].some((name) => name.toLowerCase() === role.toLowerCase())) return 'name';
  return roles.some((owned) => owned === role || compileGlob(owned).match(role) !== 'no') ? 'role' : null;
}

type Subject = Pick<Approval, 'role' | 'binding' | 'approvers' | 'state' | 'votes'>;

/** Why somebody may not approve it, or null. Whoever may not approve may deny all the same. */
export function whyNotApprove(subject: Subject, decider: Decider): string | null {
  const { role, binding, approvers } = subject;
  const { by, groups, breakGlass } = decider;
  for (const asking of binding.runsAs === null ? [role] : [role, binding.runsAs]) {
    const owns = ownership(decider, asking);
    if (owns === 'name') return `${by} has asked for it, and nobody approves what they have asked for`;
    if (owns === 'role') return `${by} owns the role ${asking}, which has asked for it`;
  }
  const before = breakGlass ? null : otherVote(subject, decider);
  if (before !== null)
    return `${by} is the same person as ${before.principal}, who has approved it already: ${why(before, decider)}`;
  if (breakGlass || approvers === null || approvers.some((group) => groups.includes(group))) return null;
  return approvers.length === 0
    ? 'two rules ask for approvers of groups that have none in common, so that nobody may approve it'
    : `it is for members of ${approvers.join(', ')} to approve`;
}

/** What they have approved under another name while it waits for somebody else, or null. */
function otherVote({ state, votes }: Subject, decider: Decider): Vote | null {
  if (state !== 'pending') return null;
  const own = votes.filter((vote) => vote.verdict === 'approve' && isSamePerson(vote, decider));
  return own.some(({ principal }) => principal === decider.by) ? null : (own[0] ?? null);
}

function why(before: Person, { subject }: Person): string {
  return subject !== null && before.subject === subject
    ? 'their issuer knows both as one'
    : "one has made the other's token, or somebody both";
}
