import type { Decision } from '../policy/decision.ts';

/** The decision as the audit is to have it: with the snapshot that was taken, or why there is none. */
export function noted(decision: Decision, snapshotId: string | null, why: string): Decision {
  if (decision.action !== 'snapshot') return decision;
  return Object.freeze({ ...decision, taken: snapshotId ?? `none: ${why}` });
}
