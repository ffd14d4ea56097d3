import type { Decision, Hold, Snapshot } from '../../policy/decision.ts';

const NONE = 'none: ';

/** A decision that wants a snapshot, at once or when what was held is let go. */
export type Capturing = (Snapshot | Hold) & { readonly snapshot: 'required' | 'best_effort' };

/** Whether the decision wants a snapshot of which nothing has come yet. */
export function wantsSnapshot(decision: Decision): decision is Capturing {
  if (decision.action !== 'snapshot' && decision.action !== 'hold') return false;
  return decision.snapshot !== 'off' && decision.taken === undefined;
}

/** The decision as the audit is to have it: with the snapshot that was taken, or why there is none. */
export function noted<D extends Decision>(decision: D, snapshotId: string | null, why: string): D;
export function noted(decision: Decision, snapshotId: string | null, why: string): Decision {
  if (decision.action !== 'snapshot' && decision.action !== 'hold') return decision;
  return Object.freeze({ ...decision, taken: snapshotId ?? `${NONE}${why}` });
}

/** Why there will be no snapshot of what is held, where that is known. */
export function whyNone({ taken }: Hold): string | null {
  return taken?.startsWith(NONE) ? taken.slice(NONE.length) : null;
}
