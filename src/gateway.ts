import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { WebhooksAdmin } from './admin/deps.ts';
import { type AdminPlane, startAdmin } from './admin-plane.ts';
import { StoredApprovalDesk } from './approval/desk.ts';
import { RequestKeys } from './approval/request-keys.ts';
import { ApprovalRetention } from './approval/retention.ts';
import { CHAIN_URL } from './audit/chain.ts';
import { openKeyFile, readKeyFile, trustedKeys } from './audit/key-file.ts';
import { StoredAuditLog } from './audit/log.ts';
import { Notary, type NotaryDeps } from './audit/notary.ts';
import { AuditRetention, type AuditRetentionDeps } from './audit/retention.ts';
import { LIMITS } from './base/limits.ts';
import type { Logger } from './base/log.ts';
import { Metrics } from './base/metrics.ts';
import type { BlobStore } from './blobs/blob-store.ts';
import { formatBlobTarget } from './blobs/blob-target.ts';
import { openBlobStore } from './blobs/open.ts';
import { probeWrite } from './blobs/probe.ts';
import { StorageWatch } from './blobs/storage-watch.ts';
import { assertEnds, assertUsable } from './blobs/usable.ts';
import { WatchedStore } from './blobs/watched-store.ts';
import { Catalog } from './catalog/catalog.ts';
import type { Config, ServerTls, Upstream } from './config/config.ts';
import { formatEndpoint } from './config/endpoint.ts';
import { followUsual, USUAL_FILES } from './config/usual-files.ts';
import { loadWebhooksFile, NO_WEBHOOKS } from './config/webhooks.ts';
import { listenError } from './listen-error.ts';
import { Notifier, type NotifierDeps } from './notify/notifier.ts';
import type { Webhooks } from './notify/webhook.ts';
import { packageVersion } from './package-version.ts';
import { PolicyHolder } from './policy/holder.ts';
import { DEFAULT_POLICY, loadPolicyFile } from './policy/load.ts';
import { PreviewResults } from './preview/results.ts';
import { RowSetSeal } from './preview/row-set-seal.ts';
import { Turns } from './preview/turns.ts';
import { readinessChecks } from './readiness.ts';
import { StoredRestraints } from './restraint/restraints.ts';
import type { ClientTls } from './session/connection/negotiation.ts';
import { connectUpstream, type UpstreamTarget } from './session/connection/upstream.ts';
import { Listener } from './session/listener.ts';
import type { SessionServices, SnapshotServices } from './session/services.ts';
import { SealingStore } from './snapshot/sealing-store.ts';
import { SnapshotSweeper } from './snapshot-sweeper.ts';
import { AnalysisCache } from './sql/cache.ts';
import { Stopping } from './stopping.ts';
import { SqliteControlStore } from './store/sqlite-control-store.ts';
import { TrashSweeper, type TrashSweeperDeps } from './trash-sweeper.ts';

/** A gateway that runs: everything it started, and how to end it. */
export interface Gateway {
  readonly listen: string;
  readonly adminListen: string;
  /** Made by this start and shown once, or null. */
  readonly firstToken: string | null;
  /** Reads the policy, the tokens and the webhooks again. A file that does not load changes nothing, and is logged. */
  reload(): Promise<void>;
  /** Lets the sessions end, makes the audit durable, and stops. */
  stop(): Promise<void>;
  /** Ends the sessions now: for a stop that must not wait for them, before it or while it waits. */
  cut(): void;
}

/**
 * Puts the program together: store, audit, approvals, policy, listener, admin API, in that order, so that nothing
 * is accepted before it can be recorded. A failure stops what was started before it, and is thrown.
 */
export async function startGateway(config: Config, upstream: Upstream, log: Logger): Promise<Gateway> {
  const stopping = new Stopping(log);
  try {
    return await start(config, upstream, log, stopping);
  } catch (error) {
    await stopping.end();
    throw error;
  }
}

async function start(config: Config, upstream: Upstream, log: Logger, stopping: Stopping): Promise<Gateway> {
  const metrics = new Metrics();
  const target = upstreamTarget(upstream, config);
  await reachUpstream(target);
  assertEnds(config.snapshots);
  const store = await SqliteControlStore.open(config.store.path, CHAIN_URL);
  stopping.add('the store', () => store.close(), 'rest');
  const audit = await StoredAuditLog.open({ store, metrics, log });
  const watch = config.snapshotsTaken ? watchStorage(config, metrics, log) : null;
  const notary = await openNotary(config, watch, { store, metrics, log });
  stopping.add('the audit', () => audit.close().finally(() => notary.close()), 'rest');
  dropOldAudit(config, { store, log }, stopping);
  const notifier = await openNotifier(config, { store, metrics, log });
  stopping.add('messages to webhooks', () => notifier.close());
  const restraints = await StoredRestraints.open({ store, audit, metrics, log, rule: config.quarantine });
  stopping.add('restraints', async () => restraints.close());
  const paused = () => restraints.pause?.reason ?? null;
  const key = readKeyFile(config.audit.signingKey);
  const keys = RequestKeys.from(key.privateKey);
  const approvals = await StoredApprovalDesk.open({ store, metrics, log, keys, paused });
  const retention = new ApprovalRetention({ store, log, ageMs: config.approvalsRetentionMs });
  stopping.add('the removal of old approvals', () => retention.close());
  const poke = () => notifier.poke();
  approvals.listen({ requested: poke, changed: poke, resolved: poke });
  restraints.listen(poke);
  const policy = new PolicyHolder(config.policy === null ? DEFAULT_POLICY : loadPolicyFile(config.policy));
  const analyzer = new AnalysisCache();
  await analyzer.ready();
  stopping.add('the analysis of statements', () => analyzer.close());

  const blobs = new SealingStore(openWatched(config, watch, config.snapshotsTaken), key);
  stopping.add('the storage of the snapshots', async () => {
    watch?.close();
    await blobs.close();
  });
  if (config.snapshotsTaken) await assertUsable(blobs, log);

  const catalog = new Catalog();
  const previews = new PreviewResults(store, log, RowSetSeal.from(key.privateKey));
  const turns = new Turns(LIMITS.previewsAtOnceMax, LIMITS.questionsAtOnceMax);
  approvals.takeRowsFrom(({ id }) => previews.rowsShown(id));
  const services: SessionServices = {
    analyzer,
    policy,
    audit,
    approvals,
    restraints,
    metrics,
    log,
    statementBytesMax: config.limits.statementBytes,
    catalog,
    counts: { catalog, slice: (utf8) => analyzer.slice(utf8) },
    snapshots: config.snapshotsTaken ? takesSnapshots(blobs, watch, analyzer, catalog) : null,
    previews: config.previews
      ? { sources: { catalog, slice: (utf8) => analyzer.slice(utf8) }, results: previews, turns }
      : null,
    recordsFirst: config.audit.durableBeforeCommit,
  };
  const sweeper = new SnapshotSweeper({
    store: blobs,
    retention: config.snapshotsRetention,
    keys: trustedKeys(config.audit),
    audit,
    metrics,
    log,
  });
  stopping.add('the removal of old snapshots', () => sweeper.close());
  lookAfterTrash(config, { store: blobs, audit, log }, stopping);
  const tls = clientTls(config.tls);
  const listener = new Listener(services, {
    ...config.listen,
    upstream: target,
    tls: () => tls,
    allowReplication: config.startup.replication === 'allow',
    sessionsMax: config.limits.sessionsMax,
    startupTimeoutMs: config.limits.startupTimeoutMs,
  });
  const port = await listening(listener, formatEndpoint(config.listen));
  let draining = false;
  const admin: AdminPlane = await startAdmin({
    config,
    store,
    snapshots: blobs,
    audit,
    approvals,
    previews,
    restraints,
    webhooks: reloadableWebhooks(config, notifier, log),
    policy,
    policyFile: followUsual('policy', config.policy),
    analyzer,
    metrics,
    log,
    listen: formatEndpoint({ host: config.listen.host, port }),
    draining: () => draining,
    anchorProblem: () => notary.anchorProblem,
    upstream: formatEndpoint(upstream),
    readiness: async () =>
      readinessChecks({
        draining,
        auditHealthy: audit.healthy,
        upstreamReachable: draining || (await isReachable(target)),
        storage: watch,
        policy: policy.current,
      }),
  }).catch(async (error: unknown) => {
    // Clients could come in already, and nothing else would end that.
    await listener.drain(0);
    throw error;
  });
  approvals.servedAt(config.admin.publicUrl ?? `http://${admin.listen}`);
  stopping.add('requests to the admin API', () => admin.close());
  const drain = async () => {
    draining = true;
    const drained = listener.drain(config.limits.drainTimeoutMs);
    await approvals.close().finally(() => drained);
  };
  stopping.add('sessions', drain, 'itself');
  return {
    listen: formatEndpoint({ host: config.listen.host, port }),
    adminListen: admin.listen,
    firstToken: admin.firstToken,
    reload: () => admin.reload(),
    stop: () => stopping.end(),
    cut: () => listener.cut(),
  };
}

function takesSnapshots(
  store: BlobStore,
  watch: Pick<StorageWatch, 'trouble'> | null,
  analyzer: AnalysisCache,
  catalog: Catalog,
): SnapshotServices {
  const slice = (utf8: Buffer) => analyzer.slice(utf8);
  const readDrop = (utf8: Buffer) => analyzer.readDrop(utf8);
  const readIfExists = (utf8: Buffer) => analyzer.readIfExists(utf8);
  return {
    store,
    catalog,
    version: packageVersion(),
    patienceMs: LIMITS.snapshotStoreMs,
    stalls: () => watch?.trouble?.stalls === true,
    slice,
    readDrop,
    readIfExists,
  };
}

/** The newest events are signed and anchored last, when nothing more comes. */
async function openNotary(
  config: Config,
  watch: StorageWatch | null,
  parts: Pick<NotaryDeps, 'store' | 'metrics' | 'log'>,
) {
  const { signingKey } = config.audit;
  const { key, made, exposed } = openKeyFile(signingKey);
  if (made) parts.log.info({ file: signingKey, key: key.id }, 'a key was made to sign the audit with');
  if (exposed) parts.log.warn({ file: signingKey }, 'others than its owner may read the key of the audit');
  return await Notary.open({ ...parts, key, blobs: openWatched(config, watch, false) });
}

function watchStorage(config: Config, metrics: Metrics, log: Logger): StorageWatch {
  const { snapshots: target } = config;
  const store = openBlobStore(target);
  const probe = (bytes: number) => probeWrite(store, bytes);
  return new StorageWatch({ place: formatBlobTarget(target), probe, metrics, log }, target.kind);
}

function openWatched(
  { snapshots }: Pick<Config, 'snapshots'>,
  watch: StorageWatch | null,
  putsOften: boolean,
): BlobStore {
  const store = openBlobStore(snapshots, putsOften);
  return watch === null ? store : new WatchedStore(store, watch);
}

function dropOldAudit(
  { audit: { signingKey, retentionMs: ageMs } }: Config,
  parts: Pick<AuditRetentionDeps, 'store' | 'log'>,
  stopping: Stopping,
): void {
  if (ageMs === null) return;
  const retention = new AuditRetention({ ...parts, key: readKeyFile(signingKey), ageMs });
  stopping.add('the removal of old audit records', () => retention.close());
}

function lookAfterTrash(
  { trashRetentionMs: ageMs, trashArchive: archive, undo: { connection }, audit }: Config,
  parts: Pick<TrashSweeperDeps, 'store' | 'audit' | 'log'>,
  stopping: Stopping,
): void {
  if (connection === null) {
    if (ageMs !== null) parts.log.warn({}, 'trash.retention_days purges nothing without undo.connection');
    return;
  }
  const sweeper = new TrashSweeper({ ...parts, ageMs, archive, connection, keys: trustedKeys(audit) });
  stopping.add('the purge and archive of the trash', () => sweeper.close());
}

function openNotifier(config: Config, parts: Pick<NotifierDeps, 'store' | 'metrics' | 'log'>) {
  const webhooks = readWebhooks(config.webhooks, parts.log);
  return Notifier.open({ ...parts, webhooks, publicUrl: config.admin.publicUrl });
}

function readWebhooks(path: string | null, log: Pick<Logger, 'warn'>): Webhooks {
  if (path === null) return NO_WEBHOOKS;
  const webhooks = loadWebhooksFile(path);
  if ((statSync(path).mode & 0o077) !== 0)
    log.warn({ file: path }, 'others than its owner may read the keys of webhooks');
  return webhooks;
}

function reloadableWebhooks(config: Config, notifier: Notifier, log: Logger): WebhooksAdmin {
  const fileNow = followUsual('webhooks', config.webhooks);
  return {
    current: () => notifier.webhooks,
    async reload(by) {
      const file = fileNow();
      if (file === null) {
        log.info({ by, file: USUAL_FILES.webhooks }, 'there is no file to read webhooks from');
        return notifier.webhooks;
      }
      const webhooks = readWebhooks(file, log);
      await notifier.use(webhooks);
      log.info({ by, webhooks: webhooks.all.map(({ name }) => name) }, 'the webhooks were read again');
      return webhooks;
    },
  };
}

async function listening(listener: Listener, where: string): Promise<number> {
  try {
    return await listener.listen();
  } catch (cause) {
    throw listenError('clients', 'listen', where, cause);
  }
}

function upstreamTarget(upstream: Upstream, config: Config): UpstreamTarget {
  return {
    host: upstream.host,
    port: upstream.port,
    sslmode: upstream.ssl.mode,
    ca: upstream.ssl.rootCert,
    cert: upstream.ssl.client?.cert ?? null,
    key: upstream.ssl.client?.key ?? null,
    negotiation: upstream.ssl.negotiation,
    connectTimeoutMs: config.limits.upstreamConnectTimeoutMs,
  };
}

/** Fails early and clearly where clients could not be served anyway. */
async function reachUpstream(target: UpstreamTarget): Promise<void> {
  const link = await connectUpstream(target);
  link.handler = { onBytes() {}, onEnd() {}, onClose() {}, onDrain() {} };
  link.destroy();
}

function isReachable(target: UpstreamTarget): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: target.host, port: target.port, timeout: LIMITS.readinessTimeoutMs });
    const answer = (reachable: boolean) => {
      socket.destroy();
      resolve(reachable);
    };
    socket.once('connect', () => answer(true));
    socket.once('timeout', () => answer(false));
    socket.once('error', () => answer(false));
  });
}

function clientTls(tls: ServerTls): ClientTls {
  if (tls.mode === 'disable') return { mode: 'disable', secureContext: null, requestCert: false };
  const ca = tls.clientCa === null ? {} : { ca: tls.clientCa };
  return {
    mode: tls.mode,
    secureContext: createSecureContext({ cert: tls.cert, key: tls.key, ...ca }),
    requestCert: tls.clientCa !== null,
  };
}
