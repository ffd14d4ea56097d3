import type { Decision } from '../policy/decision.ts';
import type { Risk } from '../sql/effects.ts';
import { ENTRY, encodeSqlstate, RECORD } from './block-format.ts';
import type { BlockReader } from './block-reader.ts';
import type { AuditEnd } from './event.ts';

/** What to look for; all that is given must hold. */
export interface AuditFilter {
  readonly session?: string;
  readonly role?: string;
  readonly database?: string;
  readonly application?: string;
  /** An address, with or without its port. */
  readonly client?: string;
  /** Also finds operations inside a statement. */
  readonly operation?: string;
  readonly risk?: Risk;
  readonly action?: Decision['action'];
  readonly rule?: string;
  /** As the statement named it; without a schema it is found in any. */
  readonly table?: string;
  readonly sqlstate?: string;
  readonly end?: AuditEnd;
  readonly approvalId?: string;
  /** A part of the SQL, in any case of letters. */
  readonly text?: string;
  readonly sinceMs?: number;
  readonly untilMs?: number;
}

/** Whether the event at an index of a block is looked for. */
type Match = (index: number) => boolean;

/**
 * Prepares a filter for one block. What events share is looked at once, so that an event itself costs a few
 * comparisons of numbers; null where the block has nothing that could match.
 */
export function matcher(filter: AuditFilter, block: BlockReader): Match | null {
  const allowed = [
    references(block, RECORD.session, [ENTRY.session], sessionMatch(filter, block)),
    references(block, RECORD.facts, [ENTRY.facts], factsMatch(filter, block)),
    references(block, RECORD.decision, [ENTRY.decision], decisionMatch(filter, block)),
    references(block, RECORD.text, [ENTRY.text, ENTRY.cutText, ENTRY.shapedText], textMatch(filter, block)),
    references(block, RECORD.approval, [ENTRY.approval], approvalMatch(filter, block)),
  ].filter((one) => one !== null);
  if (allowed.some(({ refs }) => refs.size === 0)) return null;

  const { sinceMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY, end } = filter;
  const sqlstate = filter.sqlstate === undefined ? undefined : encodeSqlstate(filter.sqlstate);
  return (index) => {
    for (const { offset, refs } of allowed) if (!refs.has(block.small(index, offset))) return false;
    if (sqlstate !== undefined && block.sqlstate(index) !== sqlstate) return false;
    if (end !== undefined && block.end(index) !== end) return false;
    const timeMs = block.startedAtMs(index);
    return timeMs >= sinceMs && timeMs < untilMs;
  };
}

interface AllowedReferences {
  readonly offset: number;
  readonly refs: ReadonlySet<number>;
}

/** Null where nothing is asked of this kind of entry. */
function references(
  block: BlockReader,
  offset: number,
  kinds: readonly number[],
  matches: ((ref: number) => boolean) | null,
): AllowedReferences | null {
  return matches === null ? null : { offset, refs: new Set(block.refsOf(...kinds).filter(matches)) };
}

function sessionMatch(filter: AuditFilter, block: BlockReader): ((ref: number) => boolean) | null {
  const { session: id, role, database, application, client } = filter;
  if ([id, role, database, application, client].every((one) => one === undefined)) return null;
  return (ref) => {
    const session = block.session(ref);
    return (
      is(id, session.id) &&
      is(role, session.role) &&
      is(database, session.database) &&
      is(application, session.application) &&
      (client === undefined || session.client === client || addressOf(session.client) === client)
    );
  };
}

function factsMatch(filter: AuditFilter, block: BlockReader): ((ref: number) => boolean) | null {
  const { operation, table } = filter;
  if (operation === undefined && table === undefined) return null;
  return (ref) => {
    const facts = block.facts(ref);
    const does =
      operation === undefined || facts.operation === operation || facts.operations.includes(operation);
    return (
      does && (table === undefined || facts.tables.some((one) => one === table || one.endsWith(`.${table}`)))
    );
  };
}

function decisionMatch(filter: AuditFilter, block: BlockReader): ((ref: number) => boolean) | null {
  const { risk, action, rule } = filter;
  if (risk === undefined && action === undefined && rule === undefined) return null;
  return (ref) => {
    const decision = block.decision(ref);
    return is(risk, decision.risk) && is(action, decision.action) && is(rule, decision.rule);
  };
}

function textMatch(filter: AuditFilter, block: BlockReader): ((ref: number) => boolean) | null {
  if (filter.text === undefined || filter.text === '') return null;
  const wanted = filter.text.toLowerCase();
  return (ref) => block.sql(ref).toLowerCase().includes(wanted);
}

function approvalMatch(filter: AuditFilter, block: BlockReader): ((ref: number) => boolean) | null {
  const { approvalId } = filter;
  return approvalId === undefined ? null : (ref) => block.approval(ref) === approvalId;
}

function is(wanted: string | undefined, found: string): boolean {
  return wanted === undefined || wanted === found;
}

function addressOf(client: string): string {
  const colon = client.lastIndexOf(':');
  return colon < 0 ? client : client.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
}
