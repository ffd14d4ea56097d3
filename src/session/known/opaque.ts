import type { Analysis, Risk, SessionEffect, StatementEffects } from '../../sql/effects.ts';
import type { PreparedStatement } from './names.ts';

/** Analyses of what comes without SQL text, or with a text that the gateway has not seen. */

const OPAQUE: readonly SessionEffect[] = [{ kind: 'opaque-code' }];

export function withoutText(
  operation: string,
  risk: Risk,
  reason: string,
  session: readonly SessionEffect[] = OPAQUE,
): Analysis {
  const statement: StatementEffects = {
    operation,
    operations: [operation],
    risk,
    reasons: [reason],
    reads: [],
    writes: [],
    columns: [],
    functions: [],
    predicate: 'not-applicable',
    session,
    startByte: 0,
    lengthBytes: 0,
  };
  return Object.freeze({
    status: 'opaque',
    problem: reason,
    statements: [statement],
    risk,
    operation,
    tables: [],
    redacted: null,
    context: {},
    touchesSession: session.length > 0,
  } satisfies Analysis);
}

/** FunctionCall: a function runs by its OID, with no text at all. */
export const FUNCTION_CALL = withoutText('function call', 'forbidden', 'runs a function without SQL text');

/** Bind of a name that neither Parse nor PREPARE has made in sight of the gateway. */
export const UNKNOWN_STATEMENT = withoutText(
  'unknown',
  'critical',
  'a prepared statement the gateway has not seen',
);

/** Execute of a portal that no Bind has made: a cursor of DECLARE, or of code in the server. */
export const UNKNOWN_PORTAL = withoutText(
  'fetch',
  'high',
  'reads a cursor that was opened inside the server',
);

/** What a portal is of whose statement nothing is known. */
export const NO_STATEMENT: PreparedStatement = Object.freeze({
  text: null,
  types: '',
  analysis: UNKNOWN_STATEMENT,
  facts: Object.freeze({ encoding: 'utf8', standardConformingStrings: true, catalogFirst: true }),
  epoch: -1,
  literalsEpoch: -1,
});

/** What an Execute runs of whose portal nothing is known, but for the decision. */
export const NO_PORTAL = Object.freeze({
  statement: NO_STATEMENT,
  read: UNKNOWN_PORTAL,
  resolved: UNKNOWN_PORTAL,
  mayComeToCall: false,
  losesNothing: false,
  plainBy: null,
  executed: [],
  epoch: -1,
  analysis: UNKNOWN_PORTAL,
  parameters: 0,
});
