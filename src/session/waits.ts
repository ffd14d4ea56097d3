import type { Analysis } from '../sql/effects.ts';
import type { Captured, Planned } from './snapshot-desk.ts';
import type { SessionState } from './state.ts';
import type { Verdict } from './verdict.ts';

/** What the client's stream waits for before a message can be decided. */
type Wait = Extract<Verdict, { kind: 'wait' }>;

/** Waits until the server has answered more, and decides the message then. */
export function settle(state: SessionState, analysis: Analysis | null): Wait {
  const { textFacts: facts } = state;
  const until = state.untilAnswered().then(() => ({ analysis, facts, outcome: null }));
  return { kind: 'wait', until };
}

export function waitForAnalysis(state: SessionState, analysis: Promise<Analysis>): Wait {
  const { textFacts: facts } = state;
  return { kind: 'wait', until: analysis.then((read) => ({ analysis: read, facts, outcome: null })) };
}

export function waitForCapture(capture: Promise<Captured>): Wait {
  const until = capture.then((captured) => ({
    analysis: null,
    outcome: { kind: 'capture' as const, captured },
  }));
  return { kind: 'wait', until };
}

export function waitForPlan(plan: Promise<Planned>): Wait {
  const until = plan.then((planned) => ({ analysis: null, outcome: { kind: 'planned' as const, planned } }));
  return { kind: 'wait', until };
}
