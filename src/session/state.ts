import type { AuditEntry, AuditSession } from '../audit/event.ts';
import { LIMITS } from '../base/limits.ts';
import type { Decision, SessionFacts } from '../policy/decision.ts';
import type { Analysis, TextFacts } from '../sql/effects.ts';
import type { Begun } from './capturing/begun-capture.ts';
import type { BoundDrop, BoundPortal, DeferredDrop } from './capturing/snapshot-desk.ts';
import { SnapshotFates } from './capturing/snapshot-fates.ts';
import type { StatementGate } from './capturing/statement-gate.ts';
import { CalledCode } from './code/called-code.ts';
import { ReadsCode } from './code/read-code.ts';
import { WrittenTables } from './code/written-tables.ts';
import type { Link } from './connection/link.ts';
import type { StartupFacts } from './connection/startup-parameters.ts';
import { KnownSettings } from './known/known-settings.ts';
import {
  charsOf,
  isAsciiName,
  Names,
  nameKey,
  type Portal,
  type PreparedStatement,
  sqlNameKey,
} from './known/names.ts';
import { RecentNames } from './known/recent-names.ts';
import { ReplyKind, ReplyQueue } from './replies.ts';
import { BoundPolicy } from './ruling/bound-policy.ts';
import type { SessionServices } from './services.ts';

/**
 * What the two directions of one session share. `frontend` (client to server) adds to `replies` and to the names;
 * `backend` (server to client) takes away. Invariant: `replies` holds, in order, exactly the messages that the
 * server has been sent and has not answered in full.
 */
export class SessionState {
  readonly services: SessionServices;
  readonly client: Link;
  readonly upstream: Link;
  /** Replaced as a whole where something of it changes, because the audit keeps it by reference. */
  identity: AuditSession;
  facts: SessionFacts;
  readonly replies = new ReplyQueue();
  readonly statements = new Names<PreparedStatement>(charsOf);
  readonly portals = new Names<Portal>(({ statement }) => charsOf(statement));
  private readonly recentNames = new RecentNames();
  readonly parameters = new Map<string, string>();
  /** The server's process, as it said at the login; null where it has said none. */
  processId: number | null = null;
  /** As the last ReadyForQuery told it. */
  transactionStatus: 'I' | 'T' | 'E' = 'I';
  /** The server reads COPY data, and no CopyDone or CopyFail has been sent for it yet. */
  copyingIn = false;
  /** See decision-time.ts; 0 where the clock has not been read since bytes have come. */
  messageAtMs = 0;
  /** Segments that the client has closed by Sync, Query or FunctionCall. */
  segment = 0;
  /**
   * The server has met an error, or will meet the one that refuses a message, and discards what comes until a Sync
   * that has not been sent yet: what the client sends before it runs nothing, changes nothing, is answered by nothing.
   */
  discarding = false;
  /** The last segment in which something was executed other than a BEGIN. */
  executedIn = -1;
  /** The last segment in which a BEGIN was executed. */
  begunIn = -1;
  /** The name of the statement that was parsed last, and the segment in which it was. */
  parsedName = '';
  parsedIn = -1;
  /** Moves on whenever what untyped literals are read as may have changed. */
  literalsEpoch = 0;
  /** Something that changes it may yet be put back, with its transaction or a part of one. */
  literalsTouched = false;
  /** What may have ended the transaction has been executed since the status was told. */
  endsBlock = false;
  /**
   * A Query came behind an Execute that no Sync had ended. From 2024 on PostgreSQL takes the two for a transaction
   * block that nobody has begun, says `T`, and ends it at the next Sync.
   */
  inImplicitBlock = false;
  /** What a query of the gateway's own has failed with, of which the client has not been told. */
  failedUntold: Error | null = null;
  /** See copy-doubt.ts. */
  copyDoubt: 'none' | 'open' | 'asked' = 'none';
  /** While it is asked which Syncs a failed COPY has swallowed: how many have been answered. */
  readyWhileAsked = 0;
  /** Queries of the gateway's own that stand among the replies. */
  hiddenQueued = 0;
  /** While queries of the gateway's own write UTF-8 instead: what the server has told last of `client_encoding`. */
  encodingAside: string | null = null;
  /** A portal of which the rows are to be captured, and that has not run yet. There is at most one. */
  bound: BoundPortal | BoundDrop | null = null;
  /** What has been captured for it already, until its Execute takes that over. */
  early: Begun | null = null;
  /** A captured Execute has been sent in a transaction block, and is looked at behind the Sync that comes next. */
  gateAtSync: StatementGate | null = null;
  /** The types of messages that come next, and have been answered already. */
  answeredAhead: number[] = [];
  /** An Execute of such a portal that has not been sent, because it is done otherwise once a Sync stands behind it. */
  deferred: DeferredDrop | null = null;
  /** A reply arrived that ends the session: FATAL, or the connection went. */
  fatal = false;
  /** Moves where what was read or decided by names may stand for something else: what then runs is looked at again. */
  epoch = 0;
  /** Code that the gateway has not read may have given names of prepared statements away. */
  namesDoubted = false;
  /** The epoch that it began; what has been prepared since is not in doubt. */
  codeEpoch = 0;
  /** Snapshots of what is not committed yet. */
  readonly fates: SnapshotFates;
  readonly settings: KnownSettings;
  readonly written: WrittenTables;
  readonly called: CalledCode;
  readonly reads: ReadsCode;
  /** What the client has sent that waits, beginning with the message that is waited with. */
  putBy: () => readonly Buffer[] = () => [];
  readonly policy: BoundPolicy;
  /** Sends the client a message of ours, between two of the server's. */
  inject: (message: Buffer) => void = () => {};
  /** Whether nothing is under way at the server. */
  owesNothing: () => boolean = () => true;
  /** Gives what has ended in this segment to the audit. */
  releaseEnded: (status: AuditEntry['transactionStatus']) => void = () => {};
  /** Reads the client on, if nothing stands against it. */
  relax: () => void = () => {};
  /** Ends the session because of a fault of our own. */
  fail: (error: unknown) => void = () => {};
  /** What gives up waiting where the server is gone. */
  readonly whenLost = new Set<() => void>();
  /** What gives up waiting for the storage where the client asks to cancel; null where nothing waits. */
  cancelsStoring: (() => void) | null = null;
  /** Statements that have ended in this segment and wait for its transaction status. */
  readonly ended: AuditEntry[] = [];
  private waitingForAnswer: (() => void)[] = [];
  /** A replication connection, where the configuration lets them in: its commands are not SQL. */
  private readonly replication: boolean;

  constructor(
    services: SessionServices,
    client: Link,
    upstream: Link,
    identity: AuditSession,
    facts: SessionFacts,
    parameters: ReadonlyMap<string, string>,
    startup: Pick<StartupFacts, 'searchPath' | 'replication'>,
  ) {
    this.services = services;
    this.client = client;
    this.upstream = upstream;
    this.identity = identity;
    this.facts = facts;
    this.policy = new BoundPolicy(services.policy, facts, startup.replication);
    for (const [name, value] of parameters) this.parameters.set(name, value);
    this.replication = startup.replication;
    this.fates = new SnapshotFates(this);
    this.settings = new KnownSettings(parameters, startup.searchPath);
    this.written = new WrittenTables(this);
    this.called = new CalledCode(this);
    this.reads = new ReadsCode(this);
  }

  /** How the server reads text, as far as it is known now. */
  get textFacts(): TextFacts {
    return this.settings.facts;
  }

  /**
   * The key of a name that stands in a message; null where it is not known which name the server makes of it. It is
   * one name in every encoding, and the server's conversions may make one of two, but not from UTF-8 to UTF-8.
   */
  nameKey(bytes: Buffer, start: number, end: number): string | null {
    if (start === end) return '';
    const recent = this.recentNames.find(bytes, start, end);
    if (recent !== null) return recent;
    const key = nameKey(bytes, start, end);
    if (isAsciiName(key)) {
      this.recentNames.keep(key);
      return key;
    }
    const { encoding } = this.textFacts;
    if (!this.keepsUtf8 || encoding === 'ascii-only') return null;
    if (encoding === 'utf8') return key;
    const converted = Buffer.from(bytes.latin1Slice(start, end), 'utf8');
    return nameKey(converted, 0, converted.length);
  }

  /** As `nameKey`, for a name that SQL text gives. */
  sqlNameKey(name: string): string | null {
    return isAsciiName(name) || this.keepsUtf8 ? sqlNameKey(name) : null;
  }

  private get keepsUtf8(): boolean {
    return this.parameters.get('server_encoding') === 'UTF8';
  }

  /** What a literal in a text stands for, such as a date, may be another from now on. */
  literalsChange(): void {
    this.literalsEpoch++;
    this.literalsTouched = true;
  }

  /** What ends a transaction, or a part of one, is sent. */
  literalsMayBePutBack(): void {
    if (this.literalsTouched) this.literalsEpoch++;
  }

  /** Code that the gateway has not read is sent; it may not be known to touch names, or to leave functions alone. */
  codeRuns(code: 'settings' | 'names' = 'names', mayReplace = true): void {
    this.epoch++;
    if (mayReplace) this.called.codeRuns();
    this.literalsChange();
    if (code === 'names') {
      this.codeEpoch = this.epoch;
      this.namesDoubted = !this.replication;
    }
    this.settings.codeRuns();
  }

  /** The server reads nothing any more: behind a FATAL too, although its connection may stand for a moment yet. */
  get serverIsGone(): boolean {
    return this.fatal || this.upstream.socket.destroyed;
  }

  /** Whether queries of ours are understood. */
  get takesQueries(): boolean {
    return !this.replication;
  }

  /** Whether something is in doubt that the server could be asked. */
  get inDoubt(): boolean {
    return this.namesDoubted || (this.settings.inDoubt && !this.replication);
  }

  /** A Sync of the client's is sent. */
  syncs(): void {
    this.discarding = false;
    this.copyDoubt = 'none';
    this.endSegmentBySync();
    this.replies.push(ReplyKind.Sync).swallowed = this.copyingIn;
  }

  /** A Sync is sent while the server neither discards what comes nor copies in. */
  endSegmentBySync(): void {
    this.failedUntold = null;
    const { inImplicitBlock } = this;
    this.closeSegment();
    this.inImplicitBlock = inImplicitBlock;
  }

  /** A Sync, Query or FunctionCall is sent. */
  closeSegment(): void {
    const { isInBlock } = this;
    this.written.segmentEnds(isInBlock);
    this.called.segmentEnds(isInBlock);
    if (this.executedIn === this.segment) this.inImplicitBlock = true;
    if (this.transactionStatus !== 'T') this.settings.transactionEnds();
    this.segment++;
    this.statements.closeSegment();
    this.portals.closeSegment();
  }

  /** The server has told the transaction status, to a message behind which nothing `isLast` is under way. */
  statusTold(isLast: boolean): void {
    this.called.ready(this.transactionStatus, isLast);
    if (!isLast) return;
    this.endsBlock = false;
    this.written.ready(this.transactionStatus);
    if (this.transactionStatus !== 'I') return;
    this.inImplicitBlock = false;
    if (!this.literalsTouched) return;
    // What was set in a transaction that has failed, or for it alone, is put back.
    this.literalsEpoch++;
    this.literalsTouched = false;
  }

  /**
   * Whether a transaction is open that goes on until a COMMIT or ROLLBACK of the client's, as far as anything that has
   * been sent can tell. With a reply that is owed a ReadyForQuery the status may have moved.
   */
  get isInBlock(): boolean {
    return this.transactionStatus === 'T' && !this.endsBlock && !this.inImplicitBlock;
  }

  /** What was captured early is for a portal that is gone. */
  dropEarly(): void {
    void this.early?.writer.abort();
    this.early = null;
  }

  /** Resolves when no query of the gateway's own is under way, whatever has come of it. */
  async untilHiddenOver(): Promise<void> {
    while (this.hiddenQueued > 0) await this.untilAnswered();
  }

  /** Resolves when the server has answered something that may settle a name. */
  untilAnswered(): Promise<void> {
    return new Promise((resolve) => this.waitingForAnswer.push(resolve));
  }

  answered(): void {
    if (this.waitingForAnswer.length === 0) return;
    const waiting = this.waitingForAnswer;
    this.waitingForAnswer = [];
    for (const resolve of waiting) resolve();
  }

  /** What policy says of a statement on this session now. */
  decide(analysis: Analysis): Decision {
    return this.policy.decide(analysis);
  }

  /** The server has told a setting's value; false where that is of a query of our own, and nothing to the client. */
  parameterChanged(name: string, value: string): boolean {
    if (this.encodingAside !== null && name === 'client_encoding') {
      this.encodingAside = value;
      return false;
    }
    if (this.parameters.size >= LIMITS.parametersMax && !this.parameters.has(name)) return true;
    this.parameters.set(name, value);
    if (name === 'application_name') {
      this.facts = { ...this.facts, application: value };
      this.identity = { ...this.identity, application: value };
      this.policy.bind(this.facts);
    }
    if (name === 'search_path') this.epoch++;
    this.settings.told(name, value);
    return true;
  }

  /** A statement is sent that sets the search_path; null for one that the text does not tell. */
  searchPathSet(path: string | null): void {
    this.epoch++;
    this.settings.pathSet(path);
  }

  /** What the client reads our own words in; null, for ASCII alone, while that may be about to change. */
  get clientEncoding(): string | null {
    if (this.settings.isUncertain) return null;
    const encoding = this.parameters.get('client_encoding') ?? null;
    // SQL_ASCII takes the server's words as they are.
    return encoding === 'SQL_ASCII' ? (this.parameters.get('server_encoding') ?? null) : encoding;
  }
}
