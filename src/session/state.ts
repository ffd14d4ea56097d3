import type { ApprovalDesk } from '../approval/approval.ts';
import type { AuditEntry, AuditLog, AuditSession } from '../audit/event.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Decision, Mode, SessionFacts } from '../policy/decision.ts';
import { type Analysis, DEFAULT_TEXT_FACTS, type TextFacts } from '../sql/effects.ts';
import type { Reading } from '../sql/recent-texts.ts';
import type { CopyDoubt } from './copy-doubt.ts';
import type { Link } from './link.ts';
import { Names, type Portal, type PreparedStatement } from './names.ts';
import { ReplyQueue } from './replies.ts';
import type { StartupFacts } from './startup-parameters.ts';

/** Turns texts into effects; a promise where the text is too large to be parsed on this thread. */
export interface Analyzer {
  read(bytes: Buffer, start: number, end: number, facts: TextFacts): Reading | Promise<Analysis>;
  analyze(bytes: Buffer, start: number, end: number, facts: TextFacts): Analysis | Promise<Analysis>;
}

/** Policy as it stands for sessions with the same facts. */
export interface SessionPolicy {
  decide(analysis: Analysis): Decision;
}

/** The policy in force. `forSession` gives the same object for equal facts until the policy is replaced. */
export interface PolicySource {
  readonly current: { readonly mode: Mode; forSession(facts: SessionFacts): SessionPolicy };
}

/** What a session needs of the rest of the program. */
export interface SessionServices {
  readonly analyzer: Analyzer;
  readonly policy: PolicySource;
  readonly audit: AuditLog;
  readonly approvals: ApprovalDesk;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** The longest Query, Parse or FunctionCall that is gathered to be decided. */
  readonly statementBytesMax: number;
}

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
  readonly statements = new Names<PreparedStatement>();
  readonly portals = new Names<Portal>();
  readonly parameters = new Map<string, string>();
  /** As the last ReadyForQuery told it. */
  transactionStatus: 'I' | 'T' | 'E' = 'I';
  /** The server reads COPY data, and no CopyDone or CopyFail has been sent for it yet. */
  copyingIn = false;
  /** Segments that the client has closed by Sync, Query or FunctionCall. */
  segment = 0;
  /**
   * The server has met an error, or will meet the one that refuses a message, and discards what comes until a Sync
   * that has not been sent yet: what the client sends before it runs nothing, changes nothing, is answered by nothing.
   */
  discarding = false;
  copyDoubt: CopyDoubt = 'none';
  /** While it is asked which Syncs a failed COPY has swallowed: how many have been answered. */
  readyWhileAsked = 0;
  /** A reply arrived that ends the session: FATAL, or the connection went. */
  fatal = false;
  /** Moves whenever the meaning of names may have changed: role, search_path, DDL, DISCARD. */
  epoch = 0;
  textFacts: TextFacts = DEFAULT_TEXT_FACTS;
  /** Sends the client a message of ours, between two of the server's. */
  inject: (message: Buffer) => void = () => {};
  /** Reads the client on, if nothing stands against it. */
  relax: () => void = () => {};
  /** Statements that have ended in this segment and wait for its transaction status. */
  readonly ended: AuditEntry[] = [];
  private waitingForAnswer: (() => void)[] = [];
  private boundPolicy: SessionPolicy;
  private boundTo: PolicySource['current'];
  /** A replication connection, where the configuration lets them in: its commands are not SQL. */
  private readonly replication: boolean;
  private pathTrusted = true;
  private textUncertain = false;

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
    this.boundTo = services.policy.current;
    this.boundPolicy = this.boundTo.forSession(facts);
    for (const [name, value] of parameters) this.parameters.set(name, value);
    const path = parameters.get('search_path') ?? startup.searchPath;
    this.replication = startup.replication;
    this.pathTrusted = path === null || isCatalogFirst(path);
    this.readTextFacts();
  }

  /** A Sync, Query or FunctionCall is sent. */
  closeSegment(): void {
    this.segment++;
    this.statements.closeSegment();
    this.portals.closeSegment();
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
    if (this.replication) return REPLICATION;
    const current = this.services.policy.current;
    if (current !== this.boundTo) this.bindPolicy();
    return this.boundPolicy.decide(analysis);
  }

  private bindPolicy(): void {
    this.boundTo = this.services.policy.current;
    this.boundPolicy = this.boundTo.forSession(this.facts);
  }

  /** The server has told a setting's value. */
  parameterChanged(name: string, value: string): void {
    this.parameters.set(name, value);
    if (name === 'application_name') {
      this.facts = { ...this.facts, application: value };
      this.identity = { ...this.identity, application: value };
      this.bindPolicy();
    } else if (name === 'search_path') {
      this.pathTrusted = isCatalogFirst(value);
      this.epoch++;
    }
    this.readTextFacts();
  }

  /**
   * A statement was sent that changes how text is read. Until the server reports the new values, which it does
   * only before ReadyForQuery, no text can be read.
   */
  textBecomesUncertain(): void {
    this.textUncertain = true;
    this.readTextFacts();
  }

  textBecomesCertain(): void {
    if (!this.textUncertain) return;
    this.textUncertain = false;
    this.readTextFacts();
  }

  /** A search_path was or may have been set; distrust takes effect at once, trust when it is known to have held. */
  searchPathChanged(trusted: boolean): void {
    this.epoch++;
    if (this.pathTrusted === trusted) return;
    this.pathTrusted = trusted;
    this.readTextFacts();
  }

  /** What the client reads our own words in; null, for ASCII alone, while that may be about to change. */
  get clientEncoding(): string | null {
    if (this.textUncertain) return null;
    const encoding = this.parameters.get('client_encoding') ?? null;
    // SQL_ASCII takes the server's words as they are.
    return encoding === 'SQL_ASCII' ? (this.parameters.get('server_encoding') ?? null) : encoding;
  }

  private readTextFacts(): void {
    const standard = this.parameters.get('standard_conforming_strings');
    this.textFacts = Object.freeze({
      encoding: readableEncoding(this.parameters.get('client_encoding') ?? 'UTF8'),
      standardConformingStrings: !this.textUncertain && (standard === undefined || standard === 'on'),
      catalogFirst: this.pathTrusted,
    });
  }
}

const REPLICATION: Decision = Object.freeze({
  action: 'allow',
  rule: 'startup.replication',
  reason: 'The configuration lets replication connections pass.',
  risk: 'forbidden',
  wouldBe: null,
});

function readableEncoding(name: string): TextFacts['encoding'] {
  switch (name.toUpperCase().replace(/[^A-Z0-9]/g, '')) {
    case 'UTF8':
    case 'UNICODE':
      return 'utf8';
    case 'LATIN1':
    case 'ISO88591':
      return 'latin1';
    default:
      return 'ascii-only';
  }
}

/**
 * Whether a search_path leaves unqualified names to pg_catalog first: PostgreSQL searches it first unless the path
 * names it, and then where it is named.
 */
export function isCatalogFirst(path: string): boolean {
  const schemas = path.split(',').map((schema) => schema.trim().replaceAll('"', '').toLowerCase());
  const at = schemas.indexOf('pg_catalog');
  return at <= 0;
}
