import type { Analysis } from '../sql/effects.ts';
import type { Captured, Planned } from './capturing/snapshot-desk.ts';
import type { SessionState } from './state.ts';
import type { Answer, Verdict } from './verdict.ts';

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

/** What turns out to have no plan is decided again as it was read. */
export function waitForCapture(state: SessionState, read: Analysis | null, capture: Promise<Captured>): Wait {
  const { textFacts: facts } = state;
  const until = capture.then((captured): Answer => {
    const outcome = { kind: 'capture' as const, captured };
    return captured.kind === 'unplanned' ? { analysis: read, facts, outcome } : { analysis: null, outcome };
  });
  return { kind: 'wait', until };
}

export function waitForPlan(state: SessionState, read: Analysis, plan: Promise<Planned>): Wait {
  const { textFacts: facts } = state;
  const until = plan.then((planned): Answer => {
    const outcome = { kind: 'planned' as const, planned };
    return planned.kind === 'unplanned' ? { analysis: read, facts, outcome } : { analysis: null, outcome };
  });
  return { kind: 'wait', until };
}
