import { resolve } from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import { accountFor } from './account.ts';
import { findBinaries, type MajorVersion } from './binaries.ts';
import { type ClusterScript, type ClusterTls, ensureCluster } from './cluster.ts';
import { LOOPBACK, type Settings, startServer } from './server.ts';
import { reapStale } from './stale.ts';

export interface EmbeddedOptions {
  /** Where the cluster is, or will be created. It may be below a directory that only root can pass. */
  readonly dataDir: string;
  readonly version?: MajorVersion;
  /** 0, the default: any that is free. */
  readonly port?: number;
  readonly settings?: Settings;
  /** Lines of pg_hba.conf, used when the cluster is created. By default everybody on this machine is let in. */
  readonly hba?: readonly string[];
  /** Turns `ssl` on; used when the cluster is created. */
  readonly tls?: ClusterTls;
  /** Run when the cluster is created, and only then: a cluster is there with all of them or not at all. */
  readonly scripts?: readonly ClusterScript[];
  /** False for a throwaway cluster, which may then lose its data with the machine, and is faster. */
  readonly durable?: boolean;
  /** Aborted when nobody wants it any more: what is half made is removed, and a server that has started is stopped. */
  readonly stop?: AbortSignal;
}

/** A real PostgreSQL, on 127.0.0.1, that this process started and will stop. */
export interface Embedded {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly dataDir: string;
  /** Such as 18.4. */
  readonly version: string;
  /** Whether the cluster was created by this start. */
  readonly created: boolean;
  /** Settles when the server has ended, wanted or not, and never rejects. */
  readonly exited: Promise<void>;
  /** Fast shutdown; returns when the server is gone. The data stays. */
  stop(): Promise<void>;
}

const TRUST_LOOPBACK = ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust'];
const NOT_DURABLE: Settings = { fsync: false, synchronous_commit: false, full_page_writes: false };

export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const dataDir = resolve(options.dataDir);
  const major = options.version ?? 18;
  const durable = options.durable ?? true;
  const tls = options.tls ?? null;
  const account = accountFor(dataDir);
  const binaries = findBinaries(major, account);
  await reapStale(dataDir);
  const stop = options.stop ?? null;
  const plan = {
    major,
    hba: options.hba ?? TRUST_LOOPBACK,
    tls,
    scripts: options.scripts ?? [],
    durable,
    stop,
  };
  const created = await ensureCluster(dataDir, plan, binaries, account).catch((cause: unknown) => {
    throw cause instanceof HoldfastError ? cause : unusable(dataDir, cause as Error);
  });
  const settings = { ...(durable ? {} : NOT_DURABLE), ...tlsSettings(tls), ...options.settings };
  const server = await startServer({ dataDir, port: options.port ?? 0, settings }, binaries, account);
  if (stop?.aborted === true) {
    await server.stop();
    stop.throwIfAborted();
  }
  return { host: LOOPBACK, dataDir, version: binaries.version, created, ...server };
}

function unusable(dataDir: string, cause: Error): HoldfastError {
  return new HoldfastError('EMBEDDED_FAILED', `${dataDir} cannot be used: ${cause.message}`, {
    hint: 'Start Holdfast as the user whom it belongs to, or in another directory.',
    cause,
  });
}

function tlsSettings(tls: ClusterTls | null): Settings {
  if (tls === null) return {};
  return tls.ca === undefined ? { ssl: true } : { ssl: true, ssl_ca_file: 'root.crt' };
}
