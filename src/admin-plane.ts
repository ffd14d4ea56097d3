import type { AdminDeps, ReadinessCheck, WebhooksAdmin } from './admin/deps.ts';
import { EventHub } from './admin/event-hub.ts';
import { RecordedApprovals } from './admin/recorded-approvals.ts';
import { createAdminServer } from './admin/server.ts';
import type { SnapshotsAdmin } from './admin/snapshots-admin.ts';
import { StoredSnapshots } from './admin/stored-snapshots.ts';
import type { Approval } from './approval/approval.ts';
import type { StoredApprovalDesk } from './approval/desk.ts';
import { trustedKeys } from './audit/key-file.ts';
import type { StoredAuditLog } from './audit/log.ts';
import { AuditQuery } from './audit/query.ts';
import type { Logger } from './base/log.ts';
import type { Metrics } from './base/metrics.ts';
import type { BlobStore } from './blobs/blob-store.ts';
import type { Config } from './config/config.ts';
import { formatEndpoint, isLoopback } from './config/endpoint.ts';
import { USUAL_FILES } from './config/usual-files.ts';
import { listenError } from './listen-error.ts';
import { packageVersion } from './package-version.ts';
import type { PolicyHolder } from './policy/holder.ts';
import type { PreviewResults } from './preview/results.ts';
import { Principals } from './principals.ts';
import type { StoredRestraints } from './restraint/restraints.ts';
import type { AnalysisCache } from './sql/cache.ts';
import type { ControlStore } from './store/control-store.ts';

/** The admin API of a gateway that runs, and what it can be asked to read again. */
export interface AdminPlane {
  readonly listen: string;
  /** Made by this start and shown once, or null. */
  readonly firstToken: string | null;
  /** Reads the policy, the tokens and the webhooks again. A file that does not load changes nothing, and is logged. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

export interface AdminPlaneDeps {
  readonly config: Config;
  readonly store: ControlStore;
  /** Where before-images are kept. */
  readonly snapshots: BlobStore;
  readonly audit: StoredAuditLog;
  readonly approvals: StoredApprovalDesk;
  readonly previews: PreviewResults;
  readonly restraints: StoredRestraints;
  readonly webhooks: WebhooksAdmin;
  readonly policy: PolicyHolder;
  /** Where it is to be read from again; null where it is built in. */
  policyFile(): string | null;
  readonly analyzer: AnalysisCache;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** `host:port` where clients are listened for, and of the server behind. */
  readonly listen: string;
  readonly upstream: string;
  draining(): boolean;
  /** Why the end of the audit is not anchored, or null. */
  anchorProblem(): string | null;
  readiness(): Promise<readonly ReadinessCheck[]>;
}

/** Starts the admin API over the parts of the gateway. Throws CONFIG_INVALID where it cannot listen. */
export async function startAdmin(deps: AdminPlaneDeps): Promise<AdminPlane> {
  const { config, store, audit, log } = deps;
  const tokens = await Principals.open({ path: config.admin.tokens, store, audit, log });
  const query = new AuditQuery({ store: deps.store, log: deps.audit });
  const snapshots = storedSnapshots(deps);
  const server = await createAdminServer(adminDeps(deps, tokens, query, snapshots));
  const close = async () => {
    await snapshots.close();
    await server.close();
    await query.close();
  };
  const { host, port } = deps.config.admin.listen;
  try {
    const bound = await server.listen({ host, port });
    return {
      listen: formatEndpoint({ host, port: bound }),
      firstToken: tokens.made,
      reload: async () => {
        await tryReload(deps, 'policy', () => reloadPolicy(deps));
        await tryReload(deps, 'tokens', () => tokens.reload());
        await tryReload(deps, 'webhooks', () => deps.webhooks.reload('SIGHUP'));
      },
      close,
    };
  } catch (cause) {
    await close();
    throw listenError('the admin API', 'admin.listen', formatEndpoint({ host, port }), cause);
  }
}

function storedSnapshots({ config, snapshots: store, audit, metrics }: AdminPlaneDeps): StoredSnapshots {
  const { connection, trustedRoles: trusted } = config.undo;
  const keys = trustedKeys(config.audit);
  const { trashRetentionMs } = config;
  const version = packageVersion();
  return new StoredSnapshots({ store, audit, connection, trusted, keys, version, metrics, trashRetentionMs });
}

function adminDeps(
  deps: AdminPlaneDeps,
  tokens: Principals,
  query: AuditQuery,
  snapshots: SnapshotsAdmin,
): AdminDeps {
  const startedAtMs = Date.now();
  const version = packageVersion();
  const events = new EventHub();
  tellOfApprovals(events, deps.approvals);
  deps.previews.listen((id) => events.publish({ event: 'approval', data: { change: 'preview', id } }));
  deps.restraints.listen(({ kind, id }, change) => events.publish({ event: kind, data: { change, id } }));
  return {
    audit: query,
    approvals: new RecordedApprovals(deps.approvals, deps.audit, deps.log),
    previews: deps.previews,
    snapshots,
    events,
    restraints: deps.restraints,
    webhooks: deps.webhooks,
    policy: {
      current: () => deps.policy.current,
      reload: async () => reloadPolicy(deps),
      read: (sql) => deps.analyzer.analyzeText(sql),
      analyze: async (sql, facts, rows) => {
        const analysis = await deps.analyzer.analyzeText(sql);
        return deps.policy.current.forSession(facts).decided(analysis, rows);
      },
    },
    metrics: deps.metrics,
    tokens: () => tokens.all,
    oidc: () => tokens.oidc,
    principals: tokens,
    status: () => ({
      version,
      startedAtMs,
      listen: deps.listen,
      upstream: deps.upstream,
      draining: deps.draining(),
      anchorProblem: deps.anchorProblem(),
      tokensProblem: tokens.problem,
    }),
    readiness: () => deps.readiness(),
    log: deps.log,
    metricsAccess: deps.config.admin.metrics,
    hostNames: isLoopback(deps.config.admin.listen) ? 'loopback' : 'any',
  };
}

function tellOfApprovals(events: EventHub, approvals: StoredApprovalDesk): void {
  const tell = (change: 'requested' | 'changed' | 'resolved', { id, state }: Approval): void =>
    events.publish({ event: 'approval', data: { change, id, state } });
  approvals.listen({
    requested: (approval) => tell('requested', approval),
    changed: (approval) => tell('changed', approval),
    resolved: (approval) => tell('resolved', approval),
  });
}

/** Throws what is wrong with the file; the built-in policy has none and is always current. */
function reloadPolicy(deps: AdminPlaneDeps) {
  const { policy, metrics, log } = deps;
  const file = deps.policyFile();
  if (file === null) {
    log.info({ file: USUAL_FILES.policy }, 'there is no file to read a policy from; the built-in one stays');
    return policy.current;
  }
  try {
    const loaded = policy.reloadFrom(file);
    metrics.policyReloads++;
    log.info({ revision: loaded.revision, mode: loaded.mode }, 'policy reloaded');
    return loaded;
  } catch (error) {
    metrics.policyReloadFailures++;
    throw error;
  }
}

async function tryReload(deps: AdminPlaneDeps, what: string, reload: () => unknown): Promise<void> {
  try {
    await reload();
  } catch (error) {
    deps.log.error(
      { error: error instanceof Error ? error.message : error },
      `${what} not reloaded; the old stays`,
    );
  }
}
