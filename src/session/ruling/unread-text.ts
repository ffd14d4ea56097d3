import type { Analysis } from '../../sql/effects.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { untilQuiet } from '../hidden/segment-fits.ts';
import { mayBeHeld } from '../holding/sent.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';
import { refusedByRestraint } from './restrained.ts';

const SYNTAX_ERROR = '42601';

/**
 * A Query that the gateway cannot read is shown to the server before anybody is asked about it, since most of what
 * nobody reads is a typing error, for which nobody has to wait. A Parse runs none of it, and what comes by the extended
 * protocol goes to the server in one before it is held. What the server reads is held as before.
 */
export class UnreadTexts {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  /** For the message that is looked at. */
  private hasAsked = false;

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  /** A message of the client's is looked at for the first time. */
  begins(): void {
    this.hasAsked = false;
  }

  /** Whether the server is to be asked: once, and not about what nobody would be asked about. */
  wants(analysis: Analysis, answer: Answer | null): boolean {
    const { state } = this;
    if (analysis.status === 'parsed' || analysis.status === 'empty') return false;
    if (this.hasAsked || (answer !== null && answer.outcome !== null) || !state.takesQueries) return false;
    return mayBeHeld(state, state.decide(analysis)) && refusedByRestraint(state, analysis) === null;
  }

  ask(read: Analysis, text: Buffer): Verdict {
    this.hasAsked = true;
    return { kind: 'wait', until: this.answerOf(read, text) };
  }

  private async answerOf(read: Analysis, text: Buffer): Promise<Answer> {
    const { state } = this;
    const unsaid: Answer = { analysis: read, facts: state.textFacts, outcome: null };
    // Inside a segment it would be discarded with what stands behind it.
    if (state.replies.segmentOpen || state.inImplicitBlock) return unsaid;
    await untilQuiet(state);
    if (!state.owesNothing() || state.copyingIn || state.discarding || state.fatal) return unsaid;
    try {
      const { error } = await this.hidden.parse(text);
      // Of several statements the server says so only where it can read them.
      if (error === null || (error.sqlstate === SYNTAX_ERROR && error.fields['P'] === undefined))
        return unsaid;
      return { analysis: read, outcome: { kind: 'ended', error: error.fields } };
    } catch (error) {
      if (error instanceof HiddenQueryEnded) return unsaid;
      throw error;
    }
  }
}
