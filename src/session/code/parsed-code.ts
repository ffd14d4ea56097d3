import { nowMs } from '../../base/clock.ts';
import { type Analysis, type StatementEffects, TYPE_PREFIX } from '../../sql/effects.ts';
import { Frontend } from '../../wire/message-type.ts';
import type { HoldDesk } from '../holding/hold.ts';
import { hasLiterals } from '../holding/sent.ts';
import { newEntry } from '../new-entry.ts';
import { poison } from '../ruling/poison.ts';
import { refusedByRestraint } from '../ruling/restrained.ts';
import { rule } from '../ruling/ruling.ts';
import type { SessionState } from '../state.ts';
import type { Verdict } from '../verdict.ts';

/**
 * The server runs code already as it reads a text: a literal of an array, a range or a composite type runs the checks of
 * the domains in it, whatever is done with the statement afterwards. So a Parse of such a text, and a Describe of its
 * statement, which may read it anew, count as running it.
 */
export function parsesUnseenCode({ statements }: Analysis, text: string | null): boolean {
  return statements.some(callsUnknown) && (text === null || hasLiterals(text));
}

/** A type of the user's, or a function, as which a type can be written. */
function callsUnknown({ session, functions }: StatementEffects): boolean {
  return session.some(({ kind }) => kind === 'opaque-code') || functions.some(isType);
}

function isType(name: string): boolean {
  return name.startsWith(TYPE_PREFIX);
}

/** The refusal of a Parse of what policy blocks, or what a pause or a quarantine holds back; null where there is none. */
export function refusedAtParse(
  state: SessionState,
  holds: HoldDesk,
  analysis: Analysis,
  text: string,
): Verdict {
  const began = nowMs();
  if (state.decide(analysis).action !== 'block' && refusedByRestraint(state, analysis) === null) return null;
  const known = analysis.redacted === null ? text : null;
  const ruling = rule(state, holds, analysis, known, 0, null, analysis);
  if (ruling.kind !== 'refuse') return null;
  const entry = newEntry(state, 'extended', analysis, known, 0, ruling, began);
  return poison(state, Frontend.Parse, ruling.error, entry);
}
