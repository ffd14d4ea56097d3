import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { KnownRows } from '../policy/row-set.ts';
import { driftOfRows } from '../policy/rows-drift.ts';
import type { ControlStore } from '../store/control-store.ts';
import type { Approval, ComparedNow, NewApproval } from './approval.ts';
import type { RowsShown } from './desk.ts';
import { driftOf, isOvertaken } from './drift.ts';
import { approvalOf } from './stored-approval.ts';

/** What has come of the same request before; `overtaken` are those that nobody need decide any more. */
export type Precedent = { readonly overtaken: readonly string[] } & (
  | { readonly kind: 'granted'; readonly approval: Approval; readonly rowsShown: KnownRows | null }
  | { readonly kind: 'denied'; readonly approval: Approval }
  | { readonly kind: 'pending'; readonly approval: Approval }
  /** Nothing that helps; `drift` is why not what has been approved. */
  | { readonly kind: 'none'; readonly drift: readonly string[] }
);

/** The same statement may have been asked for under other circumstances as well, which are looked at, up to so many. */
const EARLIER_MAX = 32;

/**
 * Finds what a request may rely on: a grant that is not used, which it uses; a denial that is not long ago; or that
 * the same has been asked already.
 */
export class Precedents {
  readonly #store: ControlStore;
  rowsShown: RowsShown = async () => null;

  constructor(store: ControlStore) {
    this.#store = store;
  }

  async of(wanted: NewApproval): Promise<Precedent> {
    const { key } = wanted.binding;
    const overtaken: string[] = [];
    let drift: readonly string[] = [];
    if (key === null) return { kind: 'none', drift, overtaken };
    for (const row of await this.#store.approvalsOfKey(key, EARLIER_MAX)) {
      const earlier = approvalOf(row);
      const differs: readonly string[] = driftOf(earlier, wanted);
      if (isOpenTicket(earlier)) {
        if (differs.length === 0) return { kind: 'pending', approval: earlier, overtaken };
        if (isOvertaken(earlier, wanted)) overtaken.push(earlier.id);
      } else if (differs.length === 0 && isDeniedLately(earlier)) {
        return { kind: 'denied', approval: earlier, overtaken };
      } else if (isGranted(earlier)) {
        const compared = await this.compare(earlier, wanted);
        if (compared.drift.length === 0) {
          const used = await this.#use(earlier, wanted);
          const { rowsShown } = compared;
          if (used !== null) return { kind: 'granted', approval: used, rowsShown, overtaken };
        } else if (drift.length === 0) drift = compared.drift;
      }
    }
    return { kind: 'none', drift, overtaken };
  }

  /** How what was approved differs from what is wanted now; no rows are counted where something else does already. */
  async compare(approved: Approval, wanted: NewApproval): Promise<ComparedNow> {
    const drift = driftOf(approved, wanted);
    if (drift.length > 0) return { drift, rowsShown: null };
    const rowsShown = await this.rowsShown(approved);
    return { drift: await driftFrom(rowsShown, wanted), rowsShown };
  }

  /** Null where another has used it meanwhile. */
  async #use(earlier: Approval, { sessionId }: NewApproval): Promise<Approval | null> {
    const consumedAtMs = nowMs();
    if (!(await this.#store.consumeGrant(earlier.id, consumedAtMs, sessionId))) return null;
    return { ...earlier, grant: { ...earlier.grant!, consumedAtMs, consumedBy: sessionId } };
  }
}

async function driftFrom(shown: KnownRows | null, wanted: NewApproval): Promise<readonly string[]> {
  if (shown === null) return [];
  const rows = (await wanted.findRows?.(shown.set?.salt ?? null)) ?? null;
  const drift = driftOfRows(shown, rows, wanted.binding.rowsTolerance);
  return drift === null ? [] : [drift];
}

function isOpenTicket({ state, mode, expiresAtMs }: Approval): boolean {
  return state === 'pending' && mode === 'ticket' && expiresAtMs > nowMs();
}

/** Whoever waited has been told, and may ask again; a ticket's holder is told when it asks. */
function isDeniedLately({ state, mode, resolvedAtMs }: Approval): boolean {
  return state === 'denied' && mode === 'ticket' && (resolvedAtMs ?? 0) + LIMITS.approvalDeniedMs > nowMs();
}

function isGranted({ state, grant }: Approval): boolean {
  return state === 'approved' && grant !== null && grant.consumedAtMs === null && grant.untilMs > nowMs();
}
