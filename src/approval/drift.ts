import { createHash } from 'node:crypto';
import { worseRisk } from '../sql/effects.ts';
import type { Approval } from './approval.ts';

/** What an approval was asked for, besides the statement itself. */
export type Circumstances = Pick<
  Approval,
  'binding' | 'rule' | 'risk' | 'approvalsNeeded' | 'approvers' | 'database'
>;

/** Of those that are equal, one approval is as good as the other. */
export function termsOf({ binding, rule, risk, approvalsNeeded, approvers }: Circumstances): string {
  const { runsAs, searchPath, schemaSha256, withoutSnapshot } = binding;
  const terms = [runsAs, searchPath, schemaSha256, rule, risk, approvalsNeeded, approvers];
  return createHash('sha256')
    .update(JSON.stringify([...terms, withoutSnapshot !== null]))
    .digest('hex');
}

/** How what is asked for now differs from what was approved, a phrase each; empty where the approval covers it. */
export function driftOf(approved: Circumstances, asked: Circumstances): string[] {
  const drift: string[] = [];
  const [then, now] = [approved.binding, asked.binding];
  if (then.runsAs !== now.runsAs)
    drift.push(`it would run with the rights of ${word(now.runsAs)}, not of ${word(then.runsAs)}`);
  if (then.searchPath !== now.searchPath)
    drift.push(`the search_path is ${word(now.searchPath)}, not ${word(then.searchPath)}`);
  if (then.schemaSha256 !== now.schemaSha256)
    drift.push(
      'a table or function that it names has been altered, or is another one, or a setting that it depends on is',
    );
  if (approved.rule !== asked.rule) drift.push(`the rule "${asked.rule}" holds it, not "${approved.rule}"`);
  if (worseRisk(approved.risk, asked.risk) !== approved.risk)
    drift.push(`its risk is ${asked.risk}, not ${approved.risk}`);
  if (approved.approvalsNeeded < asked.approvalsNeeded)
    drift.push(`${asked.approvalsNeeded} have to approve it, not ${approved.approvalsNeeded}`);
  if (String(approved.approvers) !== String(asked.approvers)) drift.push('others have to approve it');
  if (now.withoutSnapshot !== null && then.withoutSnapshot === null)
    drift.push(`there will be no snapshot of it, because ${now.withoutSnapshot}`);
  return drift;
}

/** Whether they differ in what others may do to the tables, and in nothing that the session itself has set. */
export function isOvertaken(pending: Circumstances, asked: Circumstances): boolean {
  const [then, now] = [pending.binding, asked.binding];
  const same = then.runsAs === now.runsAs && then.searchPath === now.searchPath;
  return same && then.schemaSha256 !== now.schemaSha256;
}

function word(name: string | null): string {
  return name === null ? 'one that is not known' : `"${name}"`;
}
