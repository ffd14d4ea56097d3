import { describe, expect, it } from 'vitest';
import { KeptStatement } from '../../../src/session/hidden/kept-statement.ts';
import type { SessionState } from '../../../src/session/state.ts';

/** What a session knows that decides whether its unnamed statement is ours. */
function session(processId: number | null) {
  const state = { processId, statements: { hasUnnamed: false }, replies: { queries: 0 } };
  return { state, kept: new KeptStatement(state as unknown as SessionState) };
}

describe('a query that is kept as the unnamed statement', () => {
  it('stands from when it was read until a Query is sent', () => {
    const { state, kept } = session(4711);
    expect(kept.keeping('a')).toBe('not');
    expect([kept.asksWhose(), kept.asksWhose()]).toEqual([true, false]);
    kept.told('4711');
    expect(kept.keeping('a')).toBe('made');
    kept.sent();
    expect([kept.keeping('a'), kept.mayStand]).toEqual(['made', true]);
    kept.answered('a', 0);
    expect([kept.keeping('a'), kept.keeping('b')]).toEqual(['stands', 'made']);
    state.replies.queries++;
    expect([kept.keeping('a'), kept.mayStand]).toEqual(['made', true]);
  });

  it('does not stand for sure where it was not answered, or was closed', () => {
    const { kept } = session(4711);
    kept.told('4711');
    kept.sent();
    kept.answered('a', 0);
    kept.sent();
    expect([kept.keeping('a'), kept.mayStand]).toEqual(['made', true]);
    kept.answered('a', 0);
    kept.closed();
    expect([kept.keeping('a'), kept.mayStand]).toEqual(['made', false]);
  });

  it('is none where the client has one of its own', () => {
    const { state, kept } = session(4711);
    kept.told('4711');
    state.statements.hasUnnamed = true;
    expect(kept.keeping('a')).toBe('not');
  });

  it.each([[4712], [null]])('is none behind a pooler, whose key names another process: %s', (processId) => {
    const { kept } = session(processId);
    kept.told('4711');
    expect(kept.keeping('a')).toBe('not');
  });

  it('is asked about again where there was no answer', () => {
    const { kept } = session(4711);
    kept.asksWhose();
    kept.untold();
    expect([kept.keeping('a'), kept.asksWhose()]).toEqual(['not', true]);
  });
});
