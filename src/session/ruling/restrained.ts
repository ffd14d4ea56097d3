import type { AuditEntry } from '../../audit/event.ts';
import { unreachable } from '../../base/assert.ts';
import type { Block } from '../../policy/decision.ts';
import type { Restraint } from '../../restraint/restraint.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import type { SessionState } from '../state.ts';
import { blockedError } from './refusal.ts';

/** How a statement is refused that a pause or a quarantine holds back by now; null where none does. */
export function refusedByRestraint(
  { services, facts }: SessionState,
  analysis: Analysis,
): { readonly decision: Block; readonly error: ErrorFields } | null {
  if (analysis.risk === 'safe' && !readsCursor(analysis)) return null;
  const restraint = services.restraints.of(facts);
  if (restraint === null) return null;
  const decision = restrained(restraint, analysis);
  return { decision, error: blockedError(decision, analysis, restrainedMessage(restraint)) };
}

/**
 * How a statement is refused that was let through, and that a pause or a quarantine has overtaken since; null where none
 * has. Its event says so.
 */
export function heldBackSince(state: SessionState, entry: AuditEntry): ErrorFields | null {
  const refused = refusedByRestraint(state, entry.analysis);
  if (refused === null) return null;
  entry.decision = refused.decision;
  return refused.error;
}

/** What a cursor runs was decided when it was declared, which may have been before. */
function readsCursor({ operation, statements }: Analysis): boolean {
  if (statements.length === 1) return isRead(operation);
  return statements.some(({ operations }) => operations.some(isRead));
}

function isRead(operation: string): boolean {
  return operation === 'fetch' || operation === 'move';
}

/** What is decided of a statement that a pause or a quarantine holds back. */
function restrained(restraint: Restraint, { risk }: Analysis): Block {
  const ground = { action: 'block', risk, wouldBe: null, reason: reasonOf(restraint) } as const;
  switch (restraint.kind) {
    case 'pause':
      return {
        ...ground,
        rule: 'pause',
        hint: 'Statements that only read go on. Try again when it is resumed.',
      };
    case 'quarantine': {
      const wait = restraint.untilMs === null ? '' : `wait until ${timeText(restraint.untilMs)}, or `;
      const hint = `Statements that only read go on. For others ${wait}ask an approver to lift ${restraint.id}.`;
      return { ...ground, rule: 'quarantine', hint };
    }
    default:
      return unreachable(restraint);
  }
}

function restrainedMessage(restraint: Restraint): string {
  if (restraint.kind === 'pause') return 'statement refused: the gateway is paused';
  const { role, application } = restraint;
  const whose = application === null ? `role "${role}"` : `role "${role}" with application "${application}"`;
  return `statement refused: ${whose} is in quarantine`;
}

function reasonOf({ by, sinceMs, reason }: Restraint): string {
  return `By ${by.replace(/^token:/, '')} since ${timeText(sinceMs)}: ${reason}`;
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+/, '');
}
