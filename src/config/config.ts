import type { LogLevel } from '../base/log.ts';
import type { BlobTarget } from '../blobs/blob-target.ts';
import type { Problem } from '../policy/problems.ts';
import type { QuarantineRule } from '../restraint/restraint.ts';
import type { Endpoint } from './endpoint.ts';
import type { StoreTarget } from './storage.ts';
import type { SslMode } from './upstream.ts';

/** A certificate with its key, PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** TLS towards clients. */
export type ServerTls =
  | { readonly mode: 'disable' }
  /** `clientCa` is PEM; where it is there, clients must show a certificate that it signed. */
  | ({ readonly mode: 'allow' | 'require'; readonly clientCa: string | null } & KeyPair);

/** TLS towards the server, in libpq's terms. */
export interface UpstreamSsl {
  readonly mode: SslMode;
  readonly negotiation: 'postgres' | 'direct';
  /** PEM, or null for those that Node trusts. */
  readonly rootCert: string | null;
  readonly client: KeyPair | null;
}

export interface Upstream {
  readonly host: string;
  readonly port: number;
  readonly ssl: UpstreamSsl;
}

export interface ConfigLimits {
  readonly sessionsMax: number;
  readonly statementBytes: number;
  readonly startupTimeoutMs: number;
  readonly upstreamConnectTimeoutMs: number;
  readonly drainTimeoutMs: number;
}

/** The whole configuration: checked, with its TLS files read. It never changes. */
export interface Config {
  /** The file that it was read from, or null where there was none. */
  readonly file: string | null;
  readonly listen: Endpoint;
  /** Null starts the embedded server with the sample database. */
  readonly upstream: Upstream | null;
  readonly tls: ServerTls;
  readonly admin: {
    readonly listen: Endpoint;
    /** Path of the tokens file, or null where none is named and there is none at its usual place. */
    readonly tokens: string | null;
    /** Where people reach the console, without a slash at the end, or null. */
    readonly publicUrl: string | null;
    /** Whether /metrics needs a token. */
    readonly metrics: 'token' | 'open';
  };
  /** Path of the webhooks file, or null. */
  readonly webhooks: string | null;
  readonly store: StoreTarget;
  readonly snapshots: BlobTarget;
  /** Whether a decision to snapshot takes one, or is only recorded. */
  readonly snapshotsTaken: boolean;
  /** Whether the server is asked what held statements would do. */
  readonly previews: boolean;
  /** What is kept of them; null is without a limit. */
  /** How long what was dropped stays in the trash, or null: for as long as nobody purges it. */
  readonly trashRetentionMs: number | null;
  /** Whether what lies in the trash is copied to the snapshots, and purged only when that has been done. */
  readonly trashArchive: boolean;
  readonly snapshotsRetention: { readonly ageMs: number | null; readonly bytes: number | null };
  /** How long approvals that are over are kept, with what was shown of them. */
  readonly approvalsRetentionMs: number;
  readonly audit: {
    /** Path of the private key that heads of the audit are signed with; made where there is none. */
    readonly signingKey: string;
    /** How long records are kept; null is for ever. */
    readonly retentionMs: number | null;
    /** Paths of public keys that it was signed with before. */
    readonly formerKeys: readonly string[];
    /** Whether a commit waits until the records of what it commits are durable. */
    readonly durableBeforeCommit: boolean;
  };
  /** Path of the policy file, or null for the policy that is built in. */
  readonly policy: string | null;
  readonly undo: {
    readonly connection: string | null;
    /** Roles whose code may run with its rights; `*` is everybody. */
    readonly trustedRoles: readonly string[];
  };
  /** When roles come into quarantine by what they try, or null: never. */
  readonly quarantine: QuarantineRule | null;
  readonly log: { readonly level: LogLevel };
  readonly startup: { readonly replication: 'refuse' | 'allow' };
  readonly limits: ConfigLimits;
  /** What is allowed and perhaps not wanted. */
  readonly warnings: readonly Problem[];
}
