import type { HoldOutcome } from '../../approval/approval.ts';
import { ERROR_CATALOGUE, type ErrorCode, HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { HiddenQueryError } from '../../catalog/connection.ts';
import type { Block, Decision, Hold } from '../../policy/decision.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { Reached } from '../../trash/reached.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { adviceFor } from '../capturing/capturable.ts';
import { whyNone } from './noted.ts';

/** The errors and notices that a client sees where a statement is refused or held, in PostgreSQL's own fields. */

function error(code: ErrorCode, message: string, detail: string | null, hint: string | null): ErrorFields {
  return {
    S: 'ERROR',
    V: 'ERROR',
    C: ERROR_CATALOGUE[code],
    M: message,
    ...(detail ? { D: detail } : {}),
    ...(hint ? { H: hint } : {}),
  };
}

export function blockedError(
  decision: Block,
  analysis: Analysis,
  message = `statement blocked by policy: ${analysis.operation}`,
): ErrorFields {
  return error('STATEMENT_BLOCKED', message, `Rule "${decision.rule}": ${decision.reason}`, decision.hint);
}

/** What the client is told when a hold ended otherwise than by an approval. */
export function holdEndedError(
  outcome: Exclude<HoldOutcome, { kind: 'approved' }>,
  decision: Decision,
  approvalId: string | null,
): ErrorFields {
  const rule = `Rule "${decision.rule}": ${decision.reason}`;
  const approval = approvalId === null ? rule : `Approval ${approvalId}. ${rule}`;
  switch (outcome.kind) {
    case 'denied':
      return error(
        'STATEMENT_DENIED',
        `statement denied by ${outcome.by}`,
        outcome.comment
          ? `${approval}${/[.!?]$/.test(approval) ? '' : '.'} Comment: ${outcome.comment}`
          : approval,
        'Ask whoever approves statements for this database, or change the statement.',
      );
    case 'timeout':
      return error(
        'HOLD_TIMEOUT',
        'canceling statement because nobody approved it in time',
        approval,
        'Run it again when somebody can approve it.',
      );
    case 'canceled':
    case 'disconnected':
      return canceledError();
    case 'refused':
      return outcome.error;
    case 'ticket':
      return ticketError(outcome, approvalId);
    case 'failed':
      return error(
        outcome.error instanceof HoldfastError ? outcome.error.code : 'STORE_FAILED',
        'statement refused because it could not be held for approval',
        outcome.error.message,
        `It was not run. ${hintOf(outcome.error) ?? 'The gateway lets nothing through that it cannot record.'}`,
      );
    default:
      return outcome satisfies never;
  }
}

/** As the server says it. */
export function canceledError(): ErrorFields {
  return error('STATEMENT_CANCELED', 'canceling statement due to user request', null, null);
}

function hintOf(error: Error): string | null {
  return error instanceof HoldfastError ? (error.hint ?? null) : null;
}

/** As the server says it. */
export function transactionAbortedError(): ErrorFields {
  return {
    ...error(
      'STATEMENT_BLOCKED',
      'current transaction is aborted, commands ignored until end of transaction block',
      null,
      null,
    ),
    C: '25P02',
  };
}

/** An agent reads the DETAIL, which is JSON, and a person the HINT. */
function ticketError(
  { url, drift }: Extract<HoldOutcome, { kind: 'ticket' }>,
  approvalId: string | null,
): ErrorFields {
  const retryAfterS = LIMITS.ticketRetryMs / 1000;
  return error(
    'APPROVAL_REQUIRED',
    drift.length === 0
      ? 'statement needs approval before it runs'
      : `statement needs approval again, because ${drift.join(', and ')}`,
    JSON.stringify({ approval_id: approvalId, url, retry_after_s: retryAfterS }),
    `Nothing of it was run. Once ${approvalId} is approved, run the same statement again with the same parameters.`,
  );
}

/** Where the audit cannot be stored, what it would be of is not done. */
export function auditFailedError(): ErrorFields {
  return error(
    'STORE_FAILED',
    'statement refused because the audit cannot be stored',
    'The gateway commits nothing that it cannot record. Statements that only read go on.',
    'Try again when the store works. /readyz tells, and the gateway log has the cause.',
  );
}

export function internalError(problem: string): ErrorFields {
  return error(
    'INTERNAL',
    'statement refused because the gateway failed to decide it',
    problem,
    'The statement was not run. The gateway log has the cause.',
  );
}

export function unknownStatementError(): ErrorFields {
  return error(
    'STATEMENT_BLOCKED',
    'statement blocked: it was prepared where the gateway could not see its text',
    null,
    'Prepare it with PREPARE or the extended query protocol, not inside a function or DO block.',
  );
}

export function unreadableNameError(): ErrorFields {
  return error(
    'STATEMENT_BLOCKED',
    'statement blocked: the name of a statement or portal is not ASCII, and its encoding is not one the gateway reads',
    null,
    'Use names of ASCII letters, or the client encoding UTF8 or LATIN1 with a database in UTF8.',
  );
}

export function tooLargeError(what: string, limitBytes: number): ErrorFields {
  return {
    ...error(
      'STATEMENT_BLOCKED',
      `${what} is too large to be decided`,
      `The limit is ${limitBytes} bytes.`,
      null,
    ),
    C: '54000',
  };
}

/** Prepared statements and portals are remembered, which is to cost no more memory than so much. */
export function tooManyNamesError(what: string, limit: 'number' | 'texts'): ErrorFields {
  return {
    ...error(
      'STATEMENT_BLOCKED',
      limit === 'number'
        ? `this session has too many ${what}`
        : `the texts of the ${what} of this session are too long`,
      limit === 'number'
        ? `The limit is ${LIMITS.namesMax}.`
        : `The limit is ${LIMITS.namedTextChars} characters together.`,
      'Close those that are not needed any more.',
    ),
    C: '54000',
  };
}

/** Why a statement is held, and whether it can be undone, for who waits and for who decides. */
export function heldReason(decision: Hold): string {
  const why = whyNone(decision);
  return why === null ? decision.reason : `${decision.reason}; it will have no snapshot, because ${why}`;
}

export function heldNotice(approvalId: string, decision: Hold, drift: readonly string[] = []): ErrorFields {
  const again = drift.length === 0 ? '' : ` again, because ${drift.join(', and ')}`;
  return {
    S: 'NOTICE',
    V: 'NOTICE',
    C: '00000',
    M: `statement held for approval${again}`,
    D: `Approval ${approvalId}. Rule "${decision.rule}": ${heldReason(decision)}`,
    H: `It waits until somebody approves or denies ${approvalId}; cancel it to give up.`,
  };
}

/** A transaction that only reads is told which command it cannot run. */
const READ_ONLY = '25006';
const OUR_COMMANDS = /SELECT FOR (?:NO KEY )?UPDATE|LOCK TABLE/;
/** What the server calls them, inside EXPLAIN and COPY as well. */
const WRITES: ReadonlyMap<string, string> = new Map([
  ['update', 'UPDATE'],
  ['delete', 'DELETE'],
  ['merge', 'MERGE'],
  ['upsert', 'INSERT'],
  ['insert', 'INSERT'],
  ['truncate', 'TRUNCATE TABLE'],
]);

/** The server's own error, without the places in a text that the client has not sent. */
export function nativeError(
  { fields, sqlstate }: HiddenQueryError,
  analysis: Pick<Analysis, 'statements'> | null = null,
): ErrorFields {
  const { P: _position, p: _inner, q: _query, W: _where, ...rest } = fields;
  if (sqlstate !== READ_ONLY) return rest;
  const operations = analysis?.statements.flatMap((each) => each.operations) ?? [];
  const command = operations.map((each) => WRITES.get(each)).find((each) => each !== undefined);
  if (command === undefined) return rest;
  return { ...rest, M: rest['M']?.replace(OUR_COMMANDS, command) ?? '' };
}

/** `looksNext`: what it has changed besides will be looked at when it comes again. */
export function driftError(
  reason: string,
  exceeds: boolean,
  ownCode = false,
  looksNext = false,
): ErrorFields {
  const detail = `What was captured is not what was changed: ${reason}. The statement was taken back.`;
  if (exceeds) {
    return error(
      'SNAPSHOT_FAILED',
      'statement refused because it changes more than can be captured',
      detail,
      looksNext
        ? 'Run the transaction again: by now it is known where its triggers or functions change more.'
        : 'Let a rule allow it or ask for snapshot: best_effort.',
    );
  }
  return error(
    'SNAPSHOT_DRIFT',
    'could not prove the snapshot because of concurrent changes',
    detail,
    ownCode
      ? 'Run the transaction again. If it fails in the same way, its triggers or functions change more than can be captured.'
      : 'Run the transaction again.',
  );
}

export function approvedRowsError(rows: string, approved: string): ErrorFields {
  return error(
    'STATEMENT_BLOCKED',
    'statement taken back because it changed more rows than were approved',
    `${rows}, and ${approved} were approved.`,
    'Run it again, so that people are asked about what it changes by now.',
  );
}

/** It was decided by another number of rows than it wrote. */
export function otherNumberError(wrote: string, rule: string, counted: string): ErrorFields {
  return error(
    'ROWS_DRIFT',
    'statement taken back because its number of rows is not the one that it was decided by',
    `${wrote}, and ${counted} were counted before, by which rule "${rule}" decided.`,
    'Run it again, whole and without fetching its rows in parts, so that it is counted and decided anew.',
  );
}

export function tooManyRowsError(rows: string, approved: string): ErrorFields {
  return error(
    'STATEMENT_BLOCKED',
    'statement refused because it would change more rows than were approved',
    `${rows}, and ${approved} were approved. Nothing of the statement took effect.`,
    'Run it again, so that people are asked about what it changes by now.',
  );
}

export function otherRowsError(drift: string): ErrorFields {
  return error(
    'STATEMENT_BLOCKED',
    'statement refused because the rows that it would change are not those that were approved',
    `${drift.slice(0, 1).toUpperCase()}${drift.slice(1)}. Nothing of the statement took effect.`,
    'Run it again, so that people are asked about what it changes by now.',
  );
}

const UNCOUNTED =
  'statement refused because it could not be seen whether it changes the rows that were approved';

export function uncountedRowsError(why: string): ErrorFields {
  const hint = 'Send a Sync in front of it, and run it again.';
  return error('STATEMENT_BLOCKED', UNCOUNTED, `${why}.`, hint);
}

/** A count sees what its transaction saw first, and TRUNCATE empties what has been committed since as well. */
export function isolatedTruncateError(): ErrorFields {
  const detail =
    'Its transaction sees the rows as they once were, and TRUNCATE empties those that came since.';
  return error('STATEMENT_BLOCKED', UNCOUNTED, detail, 'Run it in a transaction that is READ COMMITTED.');
}

/** Nobody may add rows that it would meet while these are looked at. */
export function unlockedRowsError(why: string): ErrorFields {
  return error(
    'STATEMENT_BLOCKED',
    UNCOUNTED,
    `Its role may not keep others from adding rows meanwhile: ${why}.`,
    'Grant the role UPDATE on the whole table, or let the rule take a snapshot.',
  );
}

export function snapshotFailedError(reason: string): ErrorFields {
  return error(
    'SNAPSHOT_FAILED',
    'statement refused because its snapshot could not be stored',
    `${reason}. Nothing of the statement took effect.`,
    'The gateway log has the cause. A rule with snapshot: best_effort would let it run without.',
  );
}

export function noPlanError(decision: Decision, reason: string): ErrorFields {
  const advice = adviceFor(reason) ?? 'Change the statement';
  return error(
    'SNAPSHOT_FAILED',
    'statement refused because no exact snapshot of it can be taken',
    `There is no exact plan, because ${reason}. Rule "${decision.rule}": ${decision.reason}`,
    `${advice}, or let a rule allow it or ask for snapshot: best_effort.`,
  );
}

/** Whatever policy says of what has no plan, since policy has had the earlier DROP kept. */
export function reachesTrashError({ what, ids }: Reached, reason: string): ErrorFields {
  const purge = ids.length === 0 ? 'holdfast trash list tells what is there' : purgeOf(ids);
  return error(
    'SNAPSHOT_FAILED',
    'statement refused because it would take along what an earlier statement has left in the trash',
    `It would take along ${what}, which could not be undone any more. It cannot be moved there itself, because ${reason}.`,
    `Undo the earlier one first, or have it gone for good: ${purge}.`,
  );
}

const purgeOf = (ids: readonly string[]): string => {
  const more = ids.length > PURGED_TOLD ? ', and others that holdfast trash list tells' : '';
  return `holdfast trash purge ${ids.slice(0, PURGED_TOLD).join(' ')}${more}`;
};
const PURGED_TOLD = 5;

/** A Query of several statements is sent in parts, which the server would by now read otherwise than as one. */
export function splitReadOtherwiseError(): ErrorFields {
  return error(
    'SNAPSHOT_FAILED',
    'statement refused because one in front of it has changed how the text is read',
    'The statements of one text are sent one by one where one of them is captured.',
    'Send it by itself.',
  );
}

/** Between the Bind and the Execute of a statement that is to be captured. */
export function boundBesideError(): ErrorFields {
  return error(
    'SNAPSHOT_FAILED',
    'statement refused because a portal that is to be captured has not been executed yet',
    'Something else that runs could run the portal as well, without a snapshot.',
    'Execute the portal right after its Bind, or close it.',
  );
}

/** The Execute of what was approved at its Bind, behind something else. */
export function closedPortalError(): ErrorFields {
  return error(
    'STATEMENT_BLOCKED',
    'statement refused because something else has run since it was approved or its rows were counted',
    'That was between its Bind and its Execute. Its portal was closed, because what else ran could have run it as well.',
    'Send its Bind again, and its Execute right behind it.',
  );
}

/** Between the Bind and the Execute of what was approved, where the portal's name is not known byte for byte. */
export function unclosedPortalError(): ErrorFields {
  return error(
    'STATEMENT_BLOCKED',
    'statement refused because a portal that was approved, or whose rows were counted, has not been executed yet',
    'Something else that runs could run the portal as well.',
    'Execute the portal right after its Bind, or close it, or give it a name of ASCII letters.',
  );
}

export function fatalError(code: ErrorCode, message: string, detail?: string, hint?: string): ErrorFields {
  return { ...error(code, message, detail ?? null, hint ?? null), S: 'FATAL', V: 'FATAL' };
}
