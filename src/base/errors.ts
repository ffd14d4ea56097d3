/**
 * The one catalogue of errors that Holdfast raises. Each has a code that programs may rely on, the SQLSTATE
 * that a PostgreSQL client sees if it reaches one, and a sentence that says what happened and what to do.
 */

export const ERROR_CATALOGUE = {
  PROTOCOL_VIOLATION: '08P01',
  UPSTREAM_UNREACHABLE: '08006',
  UPSTREAM_LOST: '08006',
  UPSTREAM_TLS: '08006',
  TLS_REQUIRED: '28000',
  CHANNEL_BINDING: '28000',
  STARTUP_REFUSED: '0A000',
  REPLICATION_REFUSED: '0A000',
  TOO_MANY_SESSIONS: '53300',
  TOO_MANY_HELD: '53400',
  STARTUP_TIMEOUT: '08006',
  STATEMENT_BLOCKED: '42501',
  STATEMENT_DENIED: '42501',
  STATEMENT_CANCELED: '57014',
  HOLD_TIMEOUT: '57014',
  APPROVAL_REQUIRED: 'HF001',
  APPROVER_REFUSED: '42501',
  PAUSED: '55000',
  SNAPSHOT_FAILED: 'HF002',
  SNAPSHOT_DRIFT: '40001',
  ROWS_DRIFT: '40001',
  SHUTTING_DOWN: '57P01',
  CONFIG_INVALID: 'F0000',
  POLICY_INVALID: 'F0000',
  STORE_FAILED: '58030',
  BLOB_NOT_FOUND: '58P01',
  BLOB_DAMAGED: 'XX001',
  BLOBS_FULL: '53100',
  BLOBS_REFUSED: '58000',
  BLOBS_FAILED: '58030',
  EMBEDDED_FAILED: '58000',
  OIDC_FAILED: '08006',
  NOT_FOUND: '02000',
  CONFLICT: '55000',
  INTERNAL: 'XX000',
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/** What an error knows besides its sentence; each field reaches the client, the log or the API as it fits. */
export interface ErrorFacts {
  readonly detail?: string;
  readonly hint?: string;
  readonly cause?: unknown;
}

export class HoldfastError extends Error {
  readonly code: ErrorCode;
  readonly sqlstate: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'HoldfastError';
    this.code = code;
    this.sqlstate = ERROR_CATALOGUE[code];
    this.detail = facts.detail;
    this.hint = facts.hint;
  }
}
