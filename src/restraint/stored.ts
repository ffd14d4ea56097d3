import { HoldfastError } from '../base/errors.ts';
import type { RestraintRow } from '../store/control-store.ts';
import type { Quarantine, Restraint } from './restraint.ts';

export function rowOf(restraint: Restraint): RestraintRow {
  const { id, kind, sinceMs, ...body } = restraint;
  const untilMs = restraint.kind === 'quarantine' ? restraint.untilMs : null;
  return { id, kind, createdAtMs: sinceMs, untilMs, body: JSON.stringify(body) };
}

export function restraintOf({ id, kind, createdAtMs: sinceMs, untilMs, body }: RestraintRow): Restraint {
  const parts = JSON.parse(body) as Pick<Quarantine, 'reason' | 'by' | 'role' | 'application'>;
  const { reason, by } = parts;
  if (kind === 'pause') return { kind, id, reason, by, sinceMs };
  if (kind !== 'quarantine')
    throw new HoldfastError('STORE_FAILED', `${id} holds something back that this version does not know`);
  return { kind, id, reason, by, sinceMs, role: parts.role, application: parts.application, untilMs };
}
