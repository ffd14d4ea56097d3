import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlobStore, BlobWriter } from '../../src/blobs/blob-store.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { Catalog } from '../../src/catalog/catalog.ts';
import type { Decision } from '../../src/policy/decision.ts';
import { Listener } from '../../src/session/listener.ts';
import type { PolicySource } from '../../src/session/ruling/bound-policy.ts';
import type { SnapshotServices } from '../../src/session/services.ts';
import type { Analysis } from '../../src/sql/effects.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { sliceOf } from '../snapshot/exactness.ts';
import { StubServices } from './stub-services.ts';

/** Where a storage hangs: as it opens a file, takes bytes of it, makes it durable, or takes the manifest. */
export type Stall = 'create' | 'write' | 'finish' | 'manifest' | 'late manifest';

const NEVER = new Promise<never>(() => {});

class StallingStore implements BlobStore {
  stall: Stall | null = null;
  /** Those that have been there. */
  manifests = 0;
  /** So many removals fail. */
  removals = 0;
  /** A manifest is on its way. */
  readonly reached = Promise.withResolvers<void>();
  /** Ends the wait of manifests that come late. */
  readonly late = Promise.withResolvers<void>();
  /** Whether anything waits to be made durable. */
  stalled = false;
  private readonly inner: DirectoryBlobStore;

  constructor(directory: string) {
    this.inner = new DirectoryBlobStore(directory);
  }

  async create(key: string): Promise<BlobWriter> {
    if (this.stall === 'create') return await NEVER;
    const writer = await this.inner.create(key);
    return {
      write: async (chunk) => (this.stall === 'write' ? await NEVER : await writer.write(chunk)),
      finish: async () => {
        this.stalled = this.stall === 'finish';
        return this.stalled ? await NEVER : await writer.finish();
      },
      abort: async () => await writer.abort(),
    };
  }

  async putIfAbsent(key: string, bytes: Uint8Array) {
    this.reached.resolve();
    if (this.stall === 'late manifest') await this.late.promise;
    if (this.stall === 'manifest') {
      this.stalled = true;
      return await NEVER;
    }
    const put = await this.inner.putIfAbsent(key, bytes);
    this.manifests++;
    return put;
  }

  read = (...given: Parameters<BlobStore['read']>) => this.inner.read(...given);
  stat = async (key: string) => await this.inner.stat(key);
  list = (prefix: string) => this.inner.list(prefix);
  remove = async (key: string) => {
    if (this.removals-- > 0) throw new Error('the storage removes nothing now');
    await this.inner.remove(key);
  };
  sweepOrphans = async (olderThanMs: number) => await this.inner.sweepOrphans(olderThanMs);
  probe = async () => await this.inner.probe();
  close = async () => await this.inner.close();
}

function decide(analysis: Analysis): Decision {
  const ground = { rule: 'a rule', reason: 'a test', risk: analysis.risk, wouldBe: null };
  if (analysis.operation === 'update') return { ...ground, action: 'snapshot', snapshot: 'best_effort' };
  if (analysis.operation === 'delete') return { ...ground, action: 'snapshot', snapshot: 'required' };
  return { ...ground, action: 'allow' };
}

/** A listener whose sessions take snapshots of DELETE, which is required, and UPDATE, which is not. */
export class SnapshotSession extends StubServices {
  override readonly policy: PolicySource = { current: { mode: 'protect', forSession: () => ({ decide }) } };
  override readonly snapshots: SnapshotServices;
  readonly store: StallingStore;
  port = 0;
  private readonly directory = mkdtempSync(join(tmpdir(), 'holdfast-stall-'));
  private listener: Listener | null = null;

  private constructor(parser: Parser, patienceMs: number) {
    super(1 << 20, 'protect');
    this.store = new StallingStore(this.directory);
    const slice = async (utf8: Buffer) => sliceOf(parser, utf8.toString('utf8'));
    const readDrop = async () => ({ kind: 'no drop' }) as const;
    const readIfExists = async () => null;
    const catalog = new Catalog();
    this.snapshots = {
      store: this.store,
      catalog,
      version: 'test',
      patienceMs,
      stalls: () => false,
      slice,
      readDrop,
      readIfExists,
    };
  }

  static async start(upstreamPort: number, patienceMs: number): Promise<SnapshotSession> {
    const services = new SnapshotSession(await Parser.create(), patienceMs);
    services.listener = new Listener(services, {
      host: '127.0.0.1',
      port: 0,
      upstream: {
        host: '127.0.0.1',
        port: upstreamPort,
        sslmode: 'disable',
        ca: null,
        cert: null,
        key: null,
        negotiation: 'postgres',
        connectTimeoutMs: 5_000,
      },
      tls: () => ({ mode: 'disable', secureContext: null, requestCert: false }),
      allowReplication: false,
      sessionsMax: 10,
      startupTimeoutMs: 5_000,
    });
    services.port = await services.listener.listen();
    return services;
  }

  async stop(): Promise<void> {
    this.listener?.cut();
    await this.listener?.drain(1_000);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
