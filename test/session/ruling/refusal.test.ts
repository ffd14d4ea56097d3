import { describe, expect, it } from 'vitest';
import type { Block, Decision } from '../../../src/policy/decision.ts';
import { DEFAULT_HOLD } from '../../../src/policy/rule.ts';
import { FUNCTION_CALL, UNKNOWN_PORTAL, UNKNOWN_STATEMENT } from '../../../src/session/known/opaque.ts';
import {
  blockedError,
  fatalError,
  heldNotice,
  holdEndedError,
  internalError,
  tooLargeError,
  unknownStatementError,
} from '../../../src/session/ruling/refusal.ts';
import { decodeErrorFields, encodeErrorResponse } from '../../../src/wire/backend.ts';
import { HEADER_BYTES } from '../../../src/wire/message-type.ts';

const ground = { rule: 'payroll is precious', reason: 'it is', risk: 'critical', wouldBe: null } as const;
const block: Block = { ...ground, action: 'block', hint: 'ask first' };
const hold: Decision = { ...ground, action: 'hold', ...DEFAULT_HOLD, snapshot: 'off' };

describe('what a client is told', () => {
  it('of a block: the rule, the reason, and what to do', () => {
    expect(blockedError(block, UNKNOWN_STATEMENT)).toEqual({
      S: 'ERROR',
      V: 'ERROR',
      C: '42501',
      M: 'statement blocked by policy: unknown',
      D: 'Rule "payroll is precious": it is',
      H: 'ask first',
    });
  });

  it.each([
    [{ kind: 'denied', by: 'ops', comment: 'not today' }, '42501', 'statement denied by ops'],
    [{ kind: 'denied', by: 'ops', comment: null }, '42501', 'statement denied by ops'],
    [{ kind: 'timeout' }, '57014', 'canceling statement because nobody approved it in time'],
    [{ kind: 'canceled' }, '57014', 'canceling statement due to user request'],
    [{ kind: 'disconnected' }, '57014', 'canceling statement due to user request'],
    [
      { kind: 'failed', error: new Error('disk full') },
      '58030',
      'statement refused because it could not be held for approval',
    ],
  ] as const)('of a hold that ended as %o', (outcome, sqlstate, message) => {
    const fields = holdEndedError(outcome, hold, 'a_1');
    expect(fields).toMatchObject({ S: 'ERROR', V: 'ERROR', C: sqlstate, M: message });
  });

  it('of a denial: the approval, the rule and the comment', () => {
    const fields = holdEndedError({ kind: 'denied', by: 'ops', comment: 'not today' }, hold, 'a_1');
    expect(fields['D']).toBe('Approval a_1. Rule "payroll is precious": it is. Comment: not today');
  });

  it('of a hold: its id, in a NOTICE', () => {
    expect(heldNotice('a_1', hold)).toMatchObject({
      S: 'NOTICE',
      M: 'statement held for approval',
      D: expect.stringContaining('a_1'),
    });
  });

  it('of what cannot be decided', () => {
    expect(internalError('oh')).toMatchObject({ S: 'ERROR', C: 'XX000', D: 'oh' });
    expect(tooLargeError('statement', 5)).toMatchObject({
      S: 'ERROR',
      C: '54000',
      D: 'The limit is 5 bytes.',
    });
    expect(unknownStatementError()).toMatchObject({ S: 'ERROR', C: '42501' });
  });

  it('is FATAL only where the session ends', () => {
    expect(fatalError('SHUTTING_DOWN', 'bye')).toMatchObject({ S: 'FATAL', V: 'FATAL', C: '57P01' });
  });

  it('survives the wire', () => {
    const fields = blockedError(block, FUNCTION_CALL);
    expect(decodeErrorFields(encodeErrorResponse(fields, 'UTF8').subarray(HEADER_BYTES))).toEqual(fields);
  });
});

describe('what comes without a text', () => {
  it.each([
    ['a FunctionCall', FUNCTION_CALL, 'forbidden'],
    ['a statement not seen', UNKNOWN_STATEMENT, 'critical'],
    ['a portal not seen', UNKNOWN_PORTAL, 'high'],
  ] as const)('%s is never safe, and nobody can change what it counts for', (_what, analysis, risk) => {
    expect(analysis.risk).toBe(risk);
    expect(analysis.status).toBe('opaque');
    expect(analysis.statements).toHaveLength(1);
    expect(analysis.statements[0]!.risk).toBe(risk);
    expect(Object.isFrozen(analysis)).toBe(true);
  });
});
