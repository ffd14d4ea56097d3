import { assert } from './assert.ts';

/**
 * The limits of the program, but for those that concern one file alone: the name with the unit last, the default, and why it
 * is there. What a user may change is in the configuration and starts from the values here.
 */
export const LIMITS = {
  // --- wire ---
  /** PostgreSQL's MAX_STARTUP_PACKET_LENGTH. */
  startupPacketBytes: 10_000,
  /** PostgreSQL's PQ_SMALL_MESSAGE_LIMIT, for every frontend message that carries no data. */
  smallMessageBytes: 10_000,
  /** PostgreSQL's PQ_LARGE_MESSAGE_LIMIT (MaxAllocSize - 1), for Query, Parse, Bind, FunctionCall and CopyData. */
  largeMessageBytes: 0x3fffffff - 1,
  /** The longest Query or Parse that is gathered in memory to be decided; a longer one is refused. */
  statementBytes: 64 * 1024 * 1024,
  /** A Bind is decided by its two names, which come first; PostgreSQL truncates names at 63 bytes. */
  nameBytes: 8 * 1024,
  /** ErrorResponse, NoticeResponse, ParameterStatus and the like from upstream, which are gathered to be read. */
  controlReplyBytes: 16 * 1024 * 1024,
  /** Of a longer ErrorResponse only so much is read, in which its severity and SQLSTATE stand; the rest passes by. */
  errorHeadBytes: 16 * 1024,
  /** What is read from a socket at a time, into memory that all of them share. */
  readBufferBytes: 64 * 1024,

  // --- session ---
  sessionsMax: 10_000,
  /** From accept until the server has said ReadyForQuery for the first time. */
  startupTimeoutMs: 60_000,
  upstreamConnectTimeoutMs: 10_000,
  /** Silence on a connection before TCP asks whether the peer is still there. */
  keepAliveMs: 60_000,
  /** What a held client may send ahead before it is read no further. */
  heldInputBytes: 1024 * 1024,
  /** One row, or one value alone in it, that the gateway reads for itself; it is in memory whole. */
  hiddenRowBytes: 256 * 1024 * 1024,
  /** Replies owed in one session; a client that pipelines further ahead is read no further until some came. */
  repliesMax: 65_536,
  /** Statements that may wait for their transaction status before they are audited without it. */
  endedStatementsMax: 1_024,
  /** The texts of those, which are kept whole until then. */
  endedTextChars: 16 * 1024 * 1024,
  /** Named prepared statements and portals remembered for one session. */
  namesMax: 65_536,
  /** Settings whose values the server tells, remembered for one session. */
  parametersMax: 1_000,
  /** Texts of the named prepared statements of one session, and of what its named portals run; a single one may be longer. */
  namedTextChars: 64 * 1024 * 1024,
  /**
   * How long a session whose client is gone waits for the end of what is under way, which the server learns of only
   * when it has something to say. It may be a long statement that nobody takes back, or a server that is never heard of again.
   */
  clientGoneMs: 60 * 60_000,
  /** How long it counts as known what code runs as a table is written or anything is read; others may make some meanwhile. */
  tableCodeMs: 60_000,
  /** Tables of which all sessions together remember it, and names of a database behind which there is code. */
  tableCodesMax: 50_000,
  /** How long it counts as known that functions only read; others may replace them meanwhile. */
  calledCodeMs: 5_000,
  /** Sets of functions of which all sessions together remember it, and definitions of views. */
  calledCodesMax: 20_000,
  /** How far calls of calls are followed, and to how many functions, views and names. */
  calledCodeLevelsMax: 16,
  calledCodePartsMax: 500,
  calledCodeNamesMax: 5_000,
  /** A client that broke the protocol: how long the server may take to say so before it is left. */
  protocolErrorGraceMs: 5_000,
  cancelTimeoutMs: 10_000,
  /** How long /readyz waits for the upstream server to accept. */
  readinessTimeoutMs: 1_000,
  drainTimeoutMs: 30_000,
  /** How long sessions that were cut may take to give up what they wait for, before a stop goes on without them. */
  sessionEndMs: 4_000,

  // --- sql ---
  /** Longest text parsed on the main thread; a longer one is parsed in a worker that can be stopped. */
  parseInlineBytes: 16 * 1024,
  /** Longest text parsed at all; a longer one is opaque. Its parts are parsed again beside it for which rows it changes. */
  parseBytes: 16 * 1024 * 1024,
  parsePartsBytes: 2 * 1024 * 1024,
  parseTimeoutMs: 5_000,
  /** Parentheses, brackets, comments and the like nested deeper are opaque. */
  parseDepth: 500,
  /** Operators in one chain, like 1+1+1; PostgreSQL's own stack ends somewhat above. */
  parseChain: 2_000,
  /** Literals in literals that are looked into for secrets; what is nested deeper is masked as a whole. */
  secretDepth: 8,
  /** Texts that wait for the parse worker, and their bytes; above either the analysis fails. */
  parseQueueMax: 256,
  parseQueueBytes: 64 * 1024 * 1024,
  /** Heap of the parse worker, old and young. The longest text needs most of it; with no bound V8 would let garbage lie. */
  parseHeapMb: 512,
  parseYoungHeapMb: 16,
  /** A parse worker with nothing to do for so long is ended: it would keep the memory of the longest text it read. */
  parseIdleMs: 10_000,
  /** WASM memory never shrinks: a parser that has grown above this is thrown away. */
  parserMemoryBytes: 128 * 1024 * 1024,
  /** Pairs, and bytes of each key and value, that are taken from a context comment. */
  contextPairsMax: 32,
  contextBytes: 1024,
  /** Reasons, relations, columns and functions named for one statement; more are counted but not listed. */
  effectNamesMax: 4_096,
  /** Memory of the cache of analyses, counted as text and an estimate of the rest. */
  analysisCacheBytes: 64 * 1024 * 1024,

  // --- audit ---
  /** SQL text kept in an audit event; the hash covers the whole. */
  auditTextBytes: 16 * 1024,
  /**
   * Events are handed to the store at the latest after this long, except what destroys, which is handed on at
   * once. A commit costs what encoding some thousand events costs, so that a shorter time is paid by every statement.
   */
  auditFlushMs: 100,
  auditBlockBytes: 512 * 1024,
  /** Events encoded and not yet durable, above which sessions are read no further. */
  auditQueueBytes: 32 * 1024 * 1024,
  /** How long a search may look before it answers with what it has found and a cursor to go on from. */
  auditSearchMs: 1_000,
  /** The same of snapshots. */
  snapshotSearchMs: 5_000,
  /** How much of the stored audit is taken into memory at a time by a search. */
  auditSearchBytes: 4 * 1024 * 1024,
  /** Where the audit ends is signed and anchored so often, if it has grown; what comes between may be cut off unseen. */
  auditHeadMs: 60_000,
  /** How long the last head may take to be anchored before a gateway that stops leaves it. */
  auditAnchorCloseMs: 5_000,
  /** Faults that a verification lists one by one; more are only counted. */
  auditFaultsMax: 100,
  /** A stored row of blocks, unpacked; what says to be more is damaged. */
  auditRowBytes: 16 * 1024 * 1024,
  /** A head in its file. */
  auditAnchorBytes: 4 * 1024,
  /** How long a store that fails is waited for at the end. */
  auditCloseMs: 10_000,
  /** What is left of a gateway in which a fault went uncaught ends by then, whether or not it has stopped. */
  faultStopMs: 20_000,
  /** Records that are older than they are kept are looked for so often, and that many rows dropped at a time. */
  auditDropMs: 3_600_000,
  auditDropRows: 1_000,
  auditRetryMs: 250,
  auditRetryMaxMs: 5_000,
  /** How long a commit waits for the record of what it commits. */
  auditRecordMs: 30_000,
  /** How long a statement that changes something waits for a store that fails before it is refused. */
  auditRefuseMs: 2_000,

  // --- catalog and snapshot ---
  /** Slices of statements with parameters that are kept, and the longest text of one. */
  slicesKept: 512,
  slicedTextBytes: 2 * 1024,
  /** Questions to catalogs whose answers are kept. */
  catalogAnswersMax: 2_048,
  /** Relations that one statement may reach; beyond there is no exact plan. */
  snapshotRelationsMax: 1_024,
  /** Places of captured rows kept in memory, six bytes each, to find and prove what became of them. */
  snapshotPlacesMax: 4 * 1024 * 1024,
  /** Places that one query asks about. */
  snapshotPlacesBatch: 16 * 1024,

  // --- store ---
  /** For a store that another process still holds, such as the gateway that is being replaced. */
  storeLockWaitMs: 1_000,
  /** A larger file is not read through at the start. */
  storeCheckBytes: 64 * 1024 * 1024,
  /** SQLite's write-ahead log is cut back to this after it grew. */
  storeLogBytes: 64 * 1024 * 1024,
  /** So many audit rows are written before small neighbours among them are joined, and what small means. */
  storeJoinRows: 256,
  storeJoinBytes: 4 * 1024,

  // --- blobs ---
  blobKeyBytes: 512,
  /** Below the 255 that file systems take. */
  blobKeySegmentBytes: 128,
  /** One blob. S3's 10,000 parts suffice for it, see s3PartsPerStep. */
  blobBytes: 1024 ** 4,
  /** What is given to a reader at a time, and written to a file at a time. */
  blobChunkBytes: 256 * 1024,
  /** What a long file may be ahead of the disk before that is told to begin. A thread that compresses is ended when idle. */
  blobUnsyncedBytes: 32 * 1024 * 1024,
  packIdleMs: 10_000,
  /** What putIfAbsent takes, which is in memory whole. */
  blobAtOnceBytes: 64 * 1024 * 1024,
  /** How often a file is put into its folder again after somebody has removed the folder as empty. */
  blobRenameAttemptsMax: 5,
  /** Folders of a directory store of which is remembered that they are durable. */
  blobFoldersKnown: 1_000,
  blobListPageMax: 1_000,
  /** S3 takes no part below 5 MiB but the last. */
  s3PartBytes: 8 * 1024 * 1024,
  s3PartsMax: 10_000,
  /**
   * After so many parts they become larger by s3PartBytes, so that a blob of 10 GiB has parts of 24 MiB and one of
   * 1 TiB, the largest, of 208 MiB.
   */
  s3PartsPerStep: 384,
  /** Of one blob; so many parts and the one that is being filled are its memory. */
  s3PartsUnderWayMax: 2,
  /** What is asked for in one request; two of these are a reader's memory. */
  s3ReadBytes: 8 * 1024 * 1024,
  s3ConnectTimeoutMs: 5_000,
  /** Silence on a connection before the request is made again. */
  s3IdleTimeoutMs: 20_000,
  /** One operation with all its attempts. */
  s3OperationTimeoutMs: 5 * 60_000,
  s3AttemptsMax: 4,
  /** Before the second attempt of what the SDK does not make again by itself; each further wait is twice as long. */
  s3RetryMs: 100,
  /** For taking back an upload that failed, which sweepOrphans can do later just as well. */
  s3AbortTimeoutMs: 5_000,
  s3ConnectionsMax: 64,

  // --- several statements in one Query, sent one by one ---
  splitStatementsMax: 1_000,
  /** What is sent of them together, with the blanks in front that keep the places in errors as they are. */
  splitBytes: 4 * 1024 * 1024,

  // --- snapshot ---
  /** Above so many the capture of a statement that comes alone locks none, where one snapshot keeps them as well. */
  snapshotRowsLocked: 20_000,
  /** Rows are compressed in blocks of this; a few of them are what one capture holds in memory. */
  snapshotBlockBytes: 256 * 1024,
  /** How many of them may wait to be compressed. */
  snapshotBlocksAhead: 4,
  /** What lies in the manifest itself, so that a small snapshot is one file: rows of so many bytes, compressed to so many. */
  snapshotInlineRawBytes: 32 * 1024,
  snapshotInlineBytes: 8 * 1024,
  /** Of how many files that are small; those of more tables are files. */
  snapshotInlineFilesMax: 8,
  /** A Bind of a statement that is captured is in memory whole until the statement has run. */
  capturedBindBytes: 64 * 1024 * 1024,
  /** How long a commit waits for its snapshot to be durable. */
  snapshotStoreMs: 60_000,
  /** How often, and after how long at first, a manifest of what was not committed is taken away again where that failed. */
  snapshotDiscardAttemptsMax: 10,
  snapshotDiscardRetryMs: 1_000,
  /** How many of them are tried again at the same time. */
  snapshotDiscardsMax: 1_000,
  /** How often a capture begins anew because tables have come or gone meanwhile. */
  snapshotPlansMax: 3,
  /** How often a statement that comes by itself is run until others leave alone what it changes. */
  snapshotTriesMax: 3,
  /** A manifest is in memory whole. */
  snapshotManifestBytes: 16 * 1024 * 1024,
  /** How long an undo waits for a table that others write to. */
  undoLockWaitMs: 30_000,
  /** Undos of undos that are followed to find out whether a snapshot is undone. */
  undoChainMax: 100,
  /** Conflicts that are shown at a time, and of each value in them. */
  undoConflictsMax: 100,
  undoShownChars: 200,
  /** Rows of a snapshot that are shown at a time. */
  undoShownRowsMax: 1_000,
  /** Connections that the admin API may have open for undos, previews and rows, each for one request. */
  undoConnectionsMax: 4,
  /** Tables that the summary of a snapshot names. */
  snapshotTablesNamed: 16,
  /** No sweep removes what is younger, nor what is not yet a snapshot. */
  snapshotKeptMs: 24 * 60 * 60_000,
  snapshotSweepMs: 60 * 60_000,
  /** How many days a list of snapshots may look through. */
  snapshotListDays: 3_660,

  /** Objects that may go with one DROP; beyond it is not moved into the trash. */
  trashObjectsMax: 50_000,
  /** How often a DROP is tried anew because others have changed meanwhile what depends on it. */
  trashAttemptsMax: 5,
  /** A table that takes more, with its indexes, loses columns without a copy of their values, and so unsnapshotted. */
  trashCopyBytes: 1024 ** 3,
  /** What is in the trash is archived no faster, in steps of so much of a table, between which an undo comes first. */
  trashArchiveBytesPerSecond: 32 * 1024 * 1024,
  trashArchiveStepBytes: 16 * 1024 * 1024,
  trashArchiveStallMs: 10_000,
  /** The undo of an ALTER is tried before it is committed, unless its tables and their indexes take more. */
  trashRehearsalBytes: 64 * 1024 ** 2,
  /** Rows that are named where the values of a dropped column cannot be given back. */
  trashConflictsShown: 20,

  // --- approval ---
  holdTimeoutMs: 30 * 60_000,
  holdNoticeMs: 30_000,
  approvalsPendingMax: 10_000,
  /** Of one role, so that a program in a loop leaves room for others. */
  approvalsPendingOfRoleMax: 1_000,
  /** What a role may newly ask for at once and for ever, since all of it is kept; roles of which that is remembered. */
  approvalsAtOnce: 1_200,
  approvalsPerS: 5,
  approvalsRolesMax: 10_000,
  /** Of each statement in a list. */
  approvalListChars: 1_000,
  /** Text of a held statement kept for those who decide; what is beyond nobody can look at, and the console says so. */
  approvalTextBytes: 1024 * 1024,
  /** Of all such texts together; beyond, those that are over go, and the oldest of the roles that have most. */
  approvalTextsBytes: 64 * 1024 * 1024,
  /** Of a text that is cut its end is shown as well, so that nothing is hidden behind much of nothing. */
  approvalEndBytes: 4 * 1024,
  /** How long what was approved by a ticket may be run. */
  grantMs: 15 * 60_000,
  /** How many rows more or fewer than were approved a statement may change. */
  rowsTolerancePercent: 10,
  /** A statement that was denied is refused at once for so long, before anybody is asked again. */
  approvalDeniedMs: 5 * 60_000,
  /** What was approved at a Bind has to be executed within so long. */
  approvedBindMs: 10_000,
  /** When a client that was given a ticket is told to ask again. */
  ticketRetryMs: 5_000,
  /** How often old approvals are dropped, and how many in one commit. */
  approvalDropMs: 3_600_000,
  approvalDropRows: 200,

  // --- preview ---
  /** One question to the server for a preview, what it waits for a lock, and all of them together; and for a count before a decision. */
  previewStatementMs: 1_500,
  previewLockMs: 200,
  previewTotalMs: 8_000,
  rowsCountMs: 2_000,
  /** What whoever asks for a preview once more waits for it; the gateway goes on. */
  previewAgainMs: 9_500,
  /** Previews that are made at a time; with more the server would be busy with those. */
  previewsAtOnceMax: 4,
  /** With those that count the rows of what has been approved, and how long these wait for their turn. */
  questionsAtOnceMax: 8,
  countTurnMs: 5_000,
  /** What a client that does not wait for an approval waits for the preview of it. */
  previewTicketMs: 2_000,
  /** Rows that are counted; more are told as at least so many. */
  previewCountRows: 1_000_000,
  /** Rows of a statement that are told from each other, which the gateway hashes one by one; of more only the number is bound. */
  rowsIdentifiedMax: 20_000,
  /** Of their keys, or of whole rows where they have none. */
  rowsIdentifiedBytes: 16 * 1024 * 1024,
  /** Of these so many hashes are kept, 8 bytes each; of more rows it is an estimate how many are others. */
  rowHashesMax: 8_192,
  rowSaltBytes: 16,
  previewSampleRows: 5,
  previewSampleColumns: 32,
  /** Of one value that is shown. */
  previewValueChars: 200,
  previewParametersMax: 1_000,
  previewTablesMax: 100,
  /** Relations that foreign keys may lead to; beyond them nothing is told of rows. */
  previewRelationsMax: 300,
  previewSessionsMax: 50,
  /** As it is kept; of a larger one the sample is left out. */
  previewBytes: 256 * 1024,

  // --- restraint ---
  quarantinesMax: 1_000,
  quarantineMaxMs: 365 * 24 * 60 * 60_000,
  /** Refused statements that bring a quarantine, and roles whose refused statements are counted. */
  attemptsMax: 1_000,
  attemptsActorsMax: 10_000,

  // --- notify ---
  /** How often the outbox is looked into where nobody says that there is something. */
  outboxLookMs: 30_000,
  /** To one webhook at a time, of different approvals. */
  webhookRequestsMax: 4,
  webhookKeyBytesMin: 24,

  // --- policy and configuration ---
  /** A policy, configuration or tokens file longer than this is refused unread. */
  settingsFileBytes: 1024 * 1024,
  settingsDepth: 16,
  policyRulesMax: 1_000,
  policyCasesMax: 10_000,
  /** Recorded events that one request decides again, and how long it may take; the next request goes on. */
  replayEventsMax: 20_000,
  replayMs: 10_000,
  replayExamplesMax: 3,
  replayExampleChars: 500,
  globChars: 256,
  /** A reason or a hint, which travels to the client in one message. */
  policyTextChars: 500,
  holdTimeoutMinMs: 1_000,
  /** Below 2^31 milliseconds, above which a timer of Node fires at once. */
  holdTimeoutMaxMs: 7 * 24 * 60 * 60_000,
  approvalsPerHoldMax: 10,
  /** Distinct (role, database, application, client) whose rules are kept picked out. */
  sessionPoliciesMax: 4_096,

  // --- embedded ---
  embeddedStartTimeoutMs: 60_000,
  /** Given to each of the ways of stopping, the gentlest first. */
  embeddedStopTimeoutMs: 10_000,

  // --- admin ---
  adminBodyBytes: 1024 * 1024,
  adminRequestMs: 30_000,
  adminConnectionsMax: 1_024,
  adminParameterLength: 100,
  adminPageMax: 1_000,
  /** Wrong tokens from one address within the window, above which answers are kept back and say 429. */
  adminWrongTokensMax: 10,
  adminWrongTokensWindowMs: 60_000,
  /** How long the answer to a wrong token is kept back, the longer the more there were, and how many may wait. */
  adminWrongTokenDelayMs: 1_000,
  adminWrongTokenDelayMaxMs: 10_000,
  adminWaitingMax: 768,
  /** What each principal may ask, at once and for ever. */
  adminRequestsAtOnce: 1_000,
  adminRequestsPerS: 100,
  adminPrincipalsMax: 10_000,
  adminAddressesMax: 10_000,
  /** How long the issuer of tokens may take, and how soon it is asked again after a failure or for a key it had not. */
  oidcTimeoutMs: 5_000,
  oidcRetryMs: 5_000,
  oidcCooldownMs: 30_000,
  /** How far the clocks of issuer and gateway may be apart, and how long ago a token may have been issued. */
  oidcClockToleranceS: 30,
  oidcTokenAgeS: 24 * 60 * 60,
  /** Streams of events that may be open, and what may wait in one for a reader that is slow. */
  adminStreamsMax: 64,
  adminStreamsOfOneMax: 8,
  adminStreamBytes: 256 * 1024,
  adminStreamBeatMs: 5_000,
  /** Events that a stream which comes back can still be given. */
  adminStreamEventsKept: 1_000,
} as const satisfies Record<string, number>;

assert(LIMITS.statementBytes <= LIMITS.largeMessageBytes, 'a gathered statement fits a message');
assert(LIMITS.parseInlineBytes <= LIMITS.parseBytes, 'what is parsed inline is parsed at all');
assert(
  LIMITS.sessionEndMs + LIMITS.auditCloseMs + LIMITS.auditAnchorCloseMs < LIMITS.faultStopMs,
  'the audit has its time at the end',
);
assert(LIMITS.auditBlockBytes <= LIMITS.auditQueueBytes, 'one block fits the queue');
assert(LIMITS.auditBlockBytes * 2 <= LIMITS.auditRowBytes, 'a block fits a row');
assert(LIMITS.storeJoinBytes * 2 <= LIMITS.auditBlockBytes, 'two small audit rows make one');
assert(LIMITS.auditTextBytes * 4 <= LIMITS.auditBlockBytes, 'several texts fit a block');
assert(LIMITS.approvalTextBytes <= LIMITS.approvalTextsBytes, 'one long text is kept at least');
assert(
  LIMITS.auditTextBytes <= LIMITS.approvalTextBytes,
  'the whole of a text is no less than its beginning',
);
assert(
  partsBytes(LIMITS.s3PartsMax) >= LIMITS.blobBytes,
  'the parts that S3 takes suffice for the largest blob',
);
assert(LIMITS.adminWaitingMax < LIMITS.adminConnectionsMax, 'wrong tokens leave room for right ones');
assert(LIMITS.holdTimeoutMs <= LIMITS.holdTimeoutMaxMs, 'the default hold is one that a policy may ask for');
assert(LIMITS.holdTimeoutMaxMs < 2 ** 31, 'a hold fits a timer');

/** What so many parts of one upload hold together. */
function partsBytes(parts: number): number {
  const steps = Math.floor(parts / LIMITS.s3PartsPerStep);
  return LIMITS.s3PartBytes * LIMITS.s3PartsPerStep * ((steps * (steps + 1)) / 2);
}
