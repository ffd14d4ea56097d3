import { unreachable } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Approval, HoldOutcome } from './approval.ts';

/** What those who wait for a resolved approval are told. */
export function outcomeOf(approval: Approval): HoldOutcome {
  const by = approval.resolvedBy ?? 'unknown';
  switch (approval.state) {
    case 'approved':
      return { kind: 'approved', by, comment: approval.comment };
    case 'denied':
      return { kind: 'denied', by, comment: approval.comment };
    case 'timeout':
    case 'canceled':
    case 'disconnected':
      return { kind: approval.state };
    case 'superseded':
      return { kind: 'canceled' };
    case 'abandoned':
      return { kind: 'failed', error: shuttingDown() };
    case 'pending':
      return { kind: 'failed', error: new HoldfastError('INTERNAL', 'a resolved approval is pending') };
    default:
      return unreachable(approval.state);
  }
}

export function shuttingDown(): HoldfastError {
  return new HoldfastError('SHUTTING_DOWN', 'the gateway is shutting down', {
    hint: 'Send it again when the gateway is back: once it is approved, it runs.',
  });
}
