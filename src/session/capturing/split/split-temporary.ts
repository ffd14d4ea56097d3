import { type Analysis, type StatementEffects, worseRisk } from '../../../sql/effects.ts';
import type { SessionState } from '../../state.ts';
import { asTemporary } from '../as-temporary.ts';
import type { CaptureOutcome } from '../capture-run.ts';
import type { Lossless } from '../lossless.ts';
import { isQuiet } from '../lossless-run.ts';
import { captureSeveral } from './split-run.ts';
import { singles } from './split-text.ts';

/**
 * A text of several statements, of which each that would be held may be of temporary tables of the session alone, such as one
 * that makes a table, fills it, and drops it. Null where any is held for something else.
 */
export function severalOnTemporary(state: SessionState, analysis: Analysis, text: string): Lossless | null {
  const utf8 = Buffer.from(text, 'utf8');
  const temporary = new Map<number, Analysis>();
  const statements: StatementEffects[] = [];
  for (const [index, single] of singles(analysis).entries()) {
    const [statement] = single.statements;
    const { startByte, lengthBytes } = statement!;
    if (startByte < 0) return null;
    statements.push(statement!);
    if (goesOn(state, single)) continue;
    const own = utf8.subarray(startByte, startByte + lengthBytes).toString('utf8');
    const known = asTemporary(single, own);
    if (known === null || !goesOn(state, known)) return null;
    temporary.set(index, single);
    statements[index] = known.statements[0]!;
  }
  if (temporary.size === 0) return null;
  const risk = statements.map((each) => each.risk).reduce(worseRisk);
  const whole: Analysis = Object.freeze({ ...analysis, risk, statements: Object.freeze(statements) });
  return {
    analysis: whole,
    // By the extended protocol a text has one statement.
    isSo: async () => false,
    run: async (state, hidden, entry) => {
      const services = state.services.snapshots;
      if (services === null || !(await isQuiet(state))) return null;
      const { decision } = entry;
      const given = { state, services, hidden, text: utf8, entry, decision, temporary };
      return unlessOther(await captureSeveral({ ...given, gaveUp: () => false, committing: () => {} }));
    },
  };
}

function goesOn(state: SessionState, analysis: Analysis): boolean {
  const { action } = state.decide(analysis);
  return action === 'allow' || action === 'snapshot';
}

/** What has not run as it was to be is decided as any other, and never sent as it is. */
function unlessOther(outcome: CaptureOutcome): CaptureOutcome | null {
  const isOver = outcome.kind === 'told' || outcome.kind === 'refused' || outcome.kind === 'discarded';
  return isOver ? outcome : null;
}
