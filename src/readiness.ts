import type { CheckName, ReadinessCheck } from './admin/deps.ts';
import type { StorageWatch } from './blobs/storage-watch.ts';
import { mayRequireSnapshots } from './policy/needs-snapshots.ts';
import type { Policy } from './policy/policy.ts';

export interface ReadinessFacts {
  readonly draining: boolean;
  readonly auditHealthy: boolean;
  readonly upstreamReachable: boolean;
  /** Null where no snapshots are taken. */
  readonly storage: Pick<StorageWatch, 'place' | 'trouble'> | null;
  readonly policy: Pick<Policy, 'mode' | 'rules' | 'defaults'>;
}

/** What clients need, and what is wrong with it. A gateway that ends says no more than that. */
export function readinessChecks(facts: ReadinessFacts): readonly ReadinessCheck[] {
  if (facts.draining) return [plain('gateway', 'the gateway is shutting down')];
  return [
    plain('gateway', null),
    plain('audit', facts.auditHealthy ? null : 'the audit cannot be stored'),
    ...(facts.storage === null ? [] : [storageCheck(facts.storage, facts.policy)]),
    plain('upstream', facts.upstreamReachable ? null : 'the upstream server cannot be reached'),
  ];
}

function plain(name: CheckName, problem: string | null): ReadinessCheck {
  return { name, problem, hint: null, sinceMs: null, where: null, refuses: true };
}

/** Where every rule can do without a snapshot, nobody is refused anything. */
function storageCheck(
  { place, trouble }: Pick<StorageWatch, 'place' | 'trouble'>,
  policy: ReadinessFacts['policy'],
): ReadinessCheck {
  if (trouble === null) return plain('snapshots', null);
  const { error, sinceMs } = trouble;
  return {
    name: 'snapshots',
    problem: `no snapshot can be stored in ${place}: ${error.message}`,
    hint: error.hint ?? null,
    sinceMs,
    where: place,
    refuses: mayRequireSnapshots(policy),
  };
}
