import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { ApprovedPortals } from '../../src/session/approved-portals.ts';
import type { Portal } from '../../src/session/names.ts';
import type { SessionState } from '../../src/session/state.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const session = () => {
  const state = { epoch: 0, replies: { executions: 0 } };
  return { state, portals: new ApprovedPortals(state as unknown as SessionState) };
};
const portal = (approvalId: string | null) => ({ approvalId }) as Portal;

it('what was approved has to be executed soon after its Bind', () => {
  const { portals } = session();
  const approved = portal('apr_1');
  portals.bound(approved);
  vi.advanceTimersByTime(LIMITS.approvedBindMs);
  expect(portals.hasMoved(approved)).toBe(false);
  vi.advanceTimersByTime(1);
  expect(portals.hasMoved(approved)).toBe(true);
});

it('what has begun goes on', () => {
  const { state, portals } = session();
  const approved = portal('apr_1');
  portals.bound(approved);
  portals.hasRun(approved);
  state.epoch++;
  vi.advanceTimersByTime(LIMITS.approvedBindMs + 1);
  expect(portals.hasMoved(approved)).toBe(false);
});

it('what nobody was asked about is not followed', () => {
  const { state, portals } = session();
  portals.bound(portal(null));
  state.replies.executions++;
  expect(portals.hasMoved(portal(null))).toBe(false);
});
