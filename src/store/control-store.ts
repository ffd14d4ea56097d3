/**
 * The port to what a gateway must not forget: audit blocks, statements begun and not finished, approvals, tokens.
 * A promise that resolves means durable: it survives the loss of the process and of the machine's power. A
 * promise that rejects with STORE_FAILED means that nothing of that call is surely there; every call may be
 * made again.
 *
 * The store does not know what an audit block or an approval says; those who do sit on floors above it.
 */
export interface ControlStore {
  /** Writes all of it in one commit; a block whose events are there already is left as it is. */
  appendAudit(write: AuditWrite): Promise<void>;
  /** Where the audit ends, and what an earlier run had begun and never finished. */
  auditHead(): Promise<AuditHead>;
  /** Keeps a signed head; one that is there already is left as it is. */
  insertSignedHead(head: SignedHeadRow): Promise<void>;
  /** The one that was kept last, or null. */
  newestSignedHead(): Promise<SignedHeadRow | null>;
  /** Notes that a copy of it is kept elsewhere. */
  markAnchored(head: SignedHeadRow): Promise<void>;
  /**
   * Where the oldest rows end whose records all began before that time: so many of them at most, and never the newest
   * row. Null where there is none.
   */
  auditEndBefore(timeMs: number, rowsMax: number): Promise<Pick<SignedCut, 'sequence' | 'hash'> | null>;
  /** Drops the records up to there, with the heads that only they could prove, and keeps the cut. */
  cutAudit(cut: SignedCut): Promise<void>;
  /** Stored blocks, newest first. */
  readAudit(range: AuditRange): Promise<readonly StoredAuditBlock[]>;

  /**
   * Of a ticket: where one with the same key and terms is pending, that one stays, and is returned. The text is that of
   * its statement where that is too long for the body.
   */
  insertApproval(row: ApprovalRow, text?: string | null): Promise<ApprovalRow>;
  approvalText(id: string): Promise<string | null>;
  /** Resolves a pending approval; where another resolution came first, that one stands. Null: there is none. */
  resolveApproval(id: string, resolution: ApprovalResolution): Promise<ResolvedApproval | null>;
  /**
   * Counts a vote of a pending approval, one for each person, and resolves it where that suffices. What a principal
   * has said before stands, unless it denies now.
   */
  voteApproval(vote: ApprovalVote): Promise<ResolvedApproval | null>;
  /** True for one call alone, and only as long as the grant holds. */
  consumeGrant(id: string, atMs: number, by: string): Promise<boolean>;
  /** Nobody waits any more for what is pending: those with a key become tickets, the others are abandoned. */
  detachApprovals(atMs: number): Promise<{ readonly detached: number; readonly abandoned: number }>;
  /** Those with a key that does not begin like that, pending or to be run still. */
  otherKeys(prefix: string, nowMs: number): Promise<readonly StoredKey[]>;
  /** Gives them these keys, and takes away all others that do not begin like that. */
  renewKeys(prefix: string, renewed: readonly RenewedKey[]): Promise<void>;
  approval(id: string): Promise<ApprovalRow | null>;
  /** Newest first. Their statements are cut at LIMITS.approvalListChars, and have no end. */
  approvals(page: ApprovalPage): Promise<readonly ApprovalRow[]>;
  /**
   * Drops so many of those that were over before that time, oldest first, with all that is kept of them; none that is
   * pending, or may still be run. Returns how many.
   */
  dropApprovals(beforeMs: number, limit: number): Promise<number>;
  /**
   * Keeps what approvers are shown beside the approval, as JSON, in the place of what is there; `rowSet` is which rows the
   * statement would change, as its own code writes it.
   */
  setApprovalPreview(approvalId: string, body: string, rowSet: Uint8Array | null): Promise<void>;
  /** The same, and only while nobody has voted on it and nothing is decided: what a vote was given on stays. Whether it is kept. */
  replaceApprovalPreview(approvalId: string, body: string, rowSet: Uint8Array | null): Promise<boolean>;
  approvalPreview(approvalId: string): Promise<string | null>;
  approvalRowSet(approvalId: string): Promise<Uint8Array | null>;
  /** Those that were asked for under that key, newest first. */
  approvalsOfKey(key: string, limit: number): Promise<readonly ApprovalRow[]>;

  insertRestraint(row: RestraintRow): Promise<void>;
  /** Does nothing where it is lifted already. */
  liftRestraint(id: string, lift: RestraintLift): Promise<void>;
  /** Those that nobody has lifted and whose time is not over, oldest first. */
  restraints(nowMs: number): Promise<readonly RestraintRow[]>;

  /** From now on what happens is put into the outbox for these, and for no others; what waits for others is dropped. */
  keepWebhooks(names: readonly string[]): Promise<void>;
  /** What a webhook is to be told next, oldest first: of each subject the oldest, where its time has come. */
  outbox(webhook: string, nowMs: number, limit: number): Promise<readonly OutboxRow[]>;
  /** When the time of the next comes; null where there is none. */
  outboxDueMs(webhook: string): Promise<number | null>;
  /** All that waits for another attempt is to be tried at once, as if it never had been. */
  retryOutbox(webhook: string): Promise<void>;
  /** It was tried once more, and is not to be tried before that time. */
  deferOutbox(seq: number, untilMs: number): Promise<void>;
  deleteOutbox(seqs: readonly number[]): Promise<void>;
  outboxSize(): Promise<number>;

  /** False where a token of that name is there already. */
  insertToken(token: TokenRow): Promise<boolean>;
  deleteTokens(names: readonly string[]): Promise<void>;
  tokens(): Promise<readonly TokenRow[]>;

  meta(key: string): Promise<string | null>;
  /** Also the proof of health: it resolves only once a commit has reached the disk. */
  setMeta(key: string, value: string): Promise<void>;

  /** Waits for what was asked before, then lets go of the store. */
  close(): Promise<void>;
}

/** Consecutive audit events that can be read by themselves (see docs/audit.md). */
export interface AuditBlock {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
  readonly bytes: Uint8Array;
}

/**
 * The hash of a block covers that of the block before, so that what was written can be proven later. Only those who
 * know what blocks say can take it; a store that is given a chain calls it for each block that it writes, on its own
 * thread.
 */
export interface AuditChain {
  /** The hash that the first block of all follows. */
  readonly GENESIS: Uint8Array;
  /** Writes into the block what of the chain belongs there, and returns its hash. */
  chainBlock(bytes: Uint8Array, previousHash: Uint8Array): Uint8Array;
}

/** Where records were dropped, signed as such. */
export type SignedCut = Omit<SignedHeadRow, 'anchored'>;

/** Where the audit ended at some time, signed. */
export interface SignedHeadRow {
  readonly sequence: number;
  readonly hash: Uint8Array;
  /** RFC 3339. */
  readonly time: string;
  readonly keyId: string;
  /** SPKI in DER. */
  readonly publicKey: Uint8Array;
  readonly signature: Uint8Array;
  /** Whether a copy of it is kept elsewhere. */
  readonly anchored: boolean;
}

/** One or several blocks, one after the other, as they are stored together. */
export interface StoredAuditBlock {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly bytes: Uint8Array;
}

/** Statements that were sent and have not ended, as a block. It takes the place of the one with that id before. */
export interface OpenAuditRecord {
  readonly id: number;
  readonly bytes: Uint8Array;
}

export interface AuditWrite {
  readonly blocks: readonly AuditBlock[];
  readonly opened: readonly OpenAuditRecord[];
  /** Those opened before of which all events are in `blocks`. */
  readonly closed: readonly number[];
}

export interface AuditHead {
  /** The sequence number of the last event, 0 where there is none. */
  readonly lastSeq: number;
  /** The hash that the next event follows; null where nothing is chained. */
  readonly lastHash: Uint8Array | null;
  readonly open: readonly OpenAuditRecord[];
}

export interface AuditRange {
  /** Only blocks with an event before this one. */
  readonly beforeSeq: number;
  /** Only blocks that may hold an event that started in this span. */
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Stops after the block that reaches this size; one block is returned in any case. */
  readonly bytesMax: number;
}

export interface ApprovalRow {
  readonly id: string;
  readonly state: string;
  /** `live`: a session waits. `ticket`: whoever asks again may run it once it is approved. */
  readonly mode: string;
  readonly role: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
  readonly resolvedAtMs: number | null;
  readonly resolvedBy: string | null;
  readonly comment: string | null;
  /** What the same request has again, and under which circumstances. Null where it cannot be made again. */
  readonly bindingKey: string | null;
  readonly terms: string | null;
  /** Until when what was approved may be run, and by whom it was. */
  readonly grantUntilMs: number | null;
  readonly consumedAtMs: number | null;
  readonly consumedBy: string | null;
  /** In the order in which they were given. */
  readonly votes: readonly ApprovalVoteRow[];
  /** JSON of all that does not change. */
  readonly body: string;
}

export interface ApprovalVoteRow {
  readonly approvalId: string;
  readonly principal: string;
  /** Who that is: under two names they are counted once. */
  readonly person: string;
  /** Of an issuer's, who that is whatever the name; null of others, and of an earlier version. */
  readonly subject: string | null;
  readonly verdict: 'approve' | 'deny';
  readonly atMs: number;
  readonly comment: string | null;
  /** It suffices alone. */
  readonly breakGlass: boolean;
}

export interface ApprovalVote extends ApprovalVoteRow {
  /** `computed_at` of the preview that was looked at: where another is kept by now, the vote counts for nothing. */
  readonly lookedAt: string | null;
  /** How many must approve. */
  readonly needed: number;
  /** How long what is approved may be run. */
  readonly grantMs: number;
  /** Who runs it at once, where somebody waits. */
  readonly session: string;
}

export interface ApprovalResolution {
  readonly state: string;
  readonly atMs: number;
  readonly by: string | null;
  readonly comment: string | null;
}

export interface ResolvedApproval {
  /** The vote was given on another preview than what is kept, and is not. */
  readonly isStale?: true;
  /** Whether this call resolved it. */
  readonly changed: boolean;
  /** As it now is. */
  readonly row: ApprovalRow;
}

export interface ApprovalPage {
  readonly state: string | null;
  /** Only those older than the one with this id. */
  readonly beforeId: string | null;
  readonly limit: number;
  /** As many of each role, the oldest of each first, instead of the newest of all; with a state. */
  readonly spread?: boolean;
}

/** A pause or a quarantine. */
export interface RestraintRow {
  readonly id: string;
  readonly kind: string;
  readonly createdAtMs: number;
  readonly untilMs: number | null;
  /** JSON of the rest. */
  readonly body: string;
}

export interface RestraintLift {
  readonly atMs: number;
  readonly by: string;
  readonly comment: string | null;
}

/** Something that a webhook is to be told, once it has been told what came before of the same subject. */
export interface OutboxRow {
  readonly seq: number;
  readonly id: string;
  /** The id of the approval, or whatever it is about. */
  readonly subject: string;
  readonly event: string;
  readonly createdAtMs: number;
  /** How often it was tried and not taken. */
  readonly tries: number;
  /** JSON. */
  readonly body: string;
}

export interface TokenRow {
  readonly name: string;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly scopes: readonly string[];
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  readonly createdBy: string;
  /** Whom it is of; null is of an earlier version, which did not say. */
  readonly person: string | null;
  /** Of an issuer's, who that is whatever the name; null of others, and of an earlier version. */
  readonly subject: string | null;
  /** Of the token that has made it; null where none has, where it is an issuer's, and of an earlier version. */
  readonly makerSha256: string | null;
}

/** What a request is known again by, of an approval. */
export interface StoredKey {
  readonly id: string;
  readonly key: string;
}

export interface RenewedKey {
  readonly id: string;
  readonly key: string | null;
}

/** The state of an approval that nobody and nothing has resolved. */
export const PENDING = 'pending';
