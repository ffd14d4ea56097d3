import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { AuditEntry } from '../../../src/audit/event.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import type { HiddenQueries } from '../../../src/session/hidden/hidden-queries.ts';
import { ApprovedPortals } from '../../../src/session/holding/approved-portals.ts';
import type { Portal } from '../../../src/session/known/names.ts';
import type { SessionState } from '../../../src/session/state.ts';
import type { Analysis, SessionEffect } from '../../../src/sql/effects.ts';

let passedMs = 0;
beforeEach(() => {
  passedMs = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => 1_000 + passedMs);
});
afterEach(() => void vi.restoreAllMocks());

/** None of these closes anything. */
const NO_QUERIES = null as unknown as HiddenQueries;

const session = () => {
  const state = { epoch: 0, statements: { changes: 0 } };
  return { state, portals: new ApprovedPortals(state as unknown as SessionState, NO_QUERIES) };
};
const analysisOf = (effects: readonly SessionEffect[]) =>
  ({ statements: [{ session: effects }] }) as unknown as Analysis;
const portal = (approvalId: string | null) =>
  ({ approvalId, decision: {}, analysis: analysisOf([]) }) as unknown as Portal;

it('what was approved has to be executed soon after its Bind', () => {
  const { portals } = session();
  const approved = portal('apr_1');
  portals.bound('p', approved);
  passedMs += LIMITS.approvedBindMs;
  expect(portals.hasMoved(approved)).toBe(false);
  passedMs += 1;
  expect(portals.hasMoved(approved)).toBe(true);
});

it('what has begun goes on', () => {
  const { state, portals } = session();
  const approved = portal('apr_1');
  portals.bound('p', approved);
  portals.hasRun('p', approved);
  state.epoch++;
  passedMs += LIMITS.approvedBindMs + 1;
  expect(portals.hasMoved(approved)).toBe(false);
});

it('what has begun goes on with code only where names mean what they did', () => {
  const { state, portals } = session();
  const calling = { ...portal('apr_1'), analysis: analysisOf([{ kind: 'opaque-code' }]) };
  portals.bound('p', calling);
  portals.executed('p', calling, { end: null } as unknown as AuditEntry);
  portals.executed('p', calling, { end: 'suspended' } as unknown as AuditEntry);
  const reading = portal('apr_2');
  portals.bound('p', reading);
  portals.executed('p', reading, { end: 'suspended' } as unknown as AuditEntry);
  expect(portals.hasMoved(reading)).toBe(false);
  state.epoch++;
  expect(portals.hasMoved(reading)).toBe(false);
  expect(portals.hasMoved(calling)).toBe(true);
});

it('what has come by a name since its Bind is something else that it may run', () => {
  const { state, portals } = session();
  const approved = portal('apr_1');
  portals.bound('p', approved);
  state.statements.changes++;
  expect(portals.hasMoved(approved)).toBe(true);
  const calling = { ...portal('apr_2'), analysis: analysisOf([{ kind: 'opaque-code' }]) };
  portals.bound('p', calling);
  portals.executed('p', calling, { end: 'suspended' } as unknown as AuditEntry);
  expect(portals.hasMoved(calling)).toBe(false);
  state.statements.changes++;
  expect(portals.hasMoved(calling)).toBe(true);
});

it('what nobody was asked about is not followed', () => {
  const { portals } = session();
  portals.bound('p', portal(null));
  expect(portals.hasMoved(portal(null))).toBe(false);
});
