import type { Approval, ApprovalState } from '../approval/approval.ts';
import type { Decider } from '../approval/approver.ts';
import type { ApprovalList, Verdict } from '../approval/desk.ts';
import type { AuditPage, AuditPageFound } from '../audit/query.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Webhooks } from '../notify/webhook.ts';
import type { Mode, SessionFacts } from '../policy/decision.ts';
import type { DecidedText } from '../policy/explanation.ts';
import type { PreviewResults } from '../preview/results.ts';
import type { StoredRestraints } from '../restraint/restraints.ts';
import type { Analysis } from '../sql/effects.ts';
import type { EventHub } from './event-hub.ts';
import type { OidcVerifier } from './oidc.ts';
import type { SnapshotsAdmin } from './snapshots-admin.ts';
import type { MadeToken, Token } from './tokens.ts';

/** What the API needs of the gateway that it speaks for. */
export interface AdminDeps {
  readonly audit: { search(page: AuditPage): Promise<AuditPageFound> };
  readonly approvals: ApprovalsAdmin;
  readonly previews: Pick<PreviewResults, 'find' | 'again'>;
  readonly policy: PolicyAdmin;
  readonly snapshots: SnapshotsAdmin;
  /** What those who watch are told of. */
  readonly events: EventHub;
  readonly restraints: RestraintsAdmin;
  readonly webhooks: WebhooksAdmin;
  readonly metrics: Metrics;
  /** Asked at each request, so that tokens can be taken away without a restart. */
  tokens(): readonly Token[];
  /** Who tells whom an issuer's tokens stand for, or null where none is trusted. */
  oidc(): Pick<OidcVerifier, 'verify' | 'signIn'> | null;
  readonly principals: TokensAdmin;
  status(): StatusFacts;
  readiness(): Promise<readonly ReadinessCheck[]>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Whether /metrics needs a token with metrics:read. */
  readonly metricsAccess: 'token' | 'open';
  /**
   * `loopback` answers only to names of this machine, so that no web page can reach the API by a name of its
   * own that leads to 127.0.0.1.
   */
  readonly hostNames: 'loopback' | 'any';
}

export interface ApprovalsAdmin {
  list(filter: {
    state: ApprovalState | null;
    before: string | null;
    limit: number;
    spread: boolean;
  }): Promise<ApprovalList>;
  get(id: string): Promise<Approval>;
  text(id: string): Promise<string>;
  decide(id: string, verdict: Verdict, decider: Decider, client: string): Promise<Approval>;
}

export interface WantedToken {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly expiresAtMs: number | null;
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  /** Whom it is for. */
  readonly person: string;
  readonly subject: string | null;
  /** Of the token that makes it; null where that is an issuer's, which is another one each time. */
  readonly makerSha256: string | null;
}

/** Tokens as they are made and taken away; `by` is who does, from the address `client`. */
export interface TokensAdmin {
  list(): readonly Token[];
  create(wanted: WantedToken, by: string, client: string): Promise<MadeToken>;
  /** The names of what a token has made, and these in turn. */
  madeWith(name: string): readonly string[];
  /** Resolves with the names of what it has made, which goes with it. */
  revoke(name: string, by: string, client: string): Promise<readonly string[]>;
}

export type RestraintsAdmin = Pick<
  StoredRestraints,
  'pause' | 'quarantines' | 'pauseFor' | 'resume' | 'quarantine' | 'find' | 'lift'
>;

export interface WebhooksAdmin {
  current(): Webhooks;
  /** Throws what is wrong with the file, and then keeps those that it has. */
  reload(by: string): Promise<Webhooks>;
}

export interface PolicyAdmin {
  current(): PolicyFacts;
  /** Throws what is wrong with the file, and then keeps the policy that it has. */
  reload(): Promise<PolicyFacts>;
  /** The effects of a text. */
  read(sql: string): Promise<Analysis>;
  /** `rows`: how many it writes, where that is known. */
  analyze(sql: string, facts: SessionFacts, rows: number | null): Promise<DecidedText>;
}

export interface PolicyFacts {
  readonly revision: string;
  readonly mode: Mode;
  readonly fileName: string;
  /** The text of the file. */
  readonly source: string;
  readonly rules: readonly { readonly name: string }[];
}

/** Something that clients need to be served. */
export interface ReadinessCheck {
  readonly name: CheckName;
  /** What is wrong with it, in a sentence, or null. */
  readonly problem: string | null;
  /** What to do about that. */
  readonly hint: string | null;
  readonly sinceMs: number | null;
  /** Where it is, such as a folder or a bucket. */
  readonly where: string | null;
  /** Whether anything is refused because of it; what nobody is refused anything for is told all the same. */
  readonly refuses: boolean;
}

export const CHECK_NAMES = ['gateway', 'audit', 'snapshots', 'upstream'] as const;
export type CheckName = (typeof CHECK_NAMES)[number];

export const problemsOf = (checks: readonly ReadinessCheck[]): string[] =>
  checks.flatMap(({ problem, refuses }) => (problem !== null && refuses ? [problem] : []));

export interface StatusFacts {
  readonly version: string;
  readonly startedAtMs: number;
  /** Where clients are listened for, and the server behind, as `host:port`. */
  readonly listen: string;
  readonly upstream: string;
  readonly draining: boolean;
  /** Why the end of the audit is not anchored, or null. */
  readonly anchorProblem: string | null;
  /** Why the file of tokens as it stands does not count, or null. */
  readonly tokensProblem: string | null;
}
