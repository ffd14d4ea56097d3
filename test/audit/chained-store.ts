import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CHAIN_URL } from '../../src/audit/chain.ts';
import type { TrustedKeys } from '../../src/audit/head-claims.ts';
import { openKeyFile } from '../../src/audit/key-file.ts';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { Notary } from '../../src/audit/notary.ts';
import { type Verdict, verifyAudit } from '../../src/audit/verify.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { openSqliteAuditSource } from '../../src/store/sqlite-audit-source.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

class LockedFolder extends DirectoryBlobStore {
  readonly #removed: readonly string[];

  constructor(path: string, removed: readonly string[]) {
    super(path);
    this.#removed = removed;
  }

  async *removed(prefix: string): AsyncIterable<string> {
    yield* this.#removed.filter((key) => key.startsWith(prefix));
  }
}

/** The audit of a gateway without the gateway: store, log and notary, in a folder of their own. */
export class ChainedStore {
  readonly folder: string;
  readonly remove: () => Promise<void>;
  #open: { store: SqliteControlStore; log: StoredAuditLog; notary: Notary } | null = null;

  private constructor(folder: string, remove: () => Promise<void>) {
    this.folder = folder;
    this.remove = remove;
  }

  static async create(): Promise<ChainedStore> {
    const folder = await temporaryFolder();
    return new ChainedStore(folder.path, folder.remove);
  }

  /** One that is there already, of which others take care. */
  static at(folder: string): ChainedStore {
    return new ChainedStore(folder, async () => {});
  }

  get path(): string {
    return join(this.folder, 'holdfast.db');
  }

  get anchors(): string {
    return join(this.folder, 'snapshots');
  }

  get keyPath(): string {
    return join(this.folder, 'audit-key.pem');
  }

  get log(): StoredAuditLog {
    return this.#open!.log;
  }

  get store(): SqliteControlStore {
    return this.#open!.store;
  }

  get notary(): Notary {
    return this.#open!.notary;
  }

  /** As the gateway starts it. */
  async start(everyMs?: number): Promise<void> {
    const store = await SqliteControlStore.open(this.path, CHAIN_URL);
    const shared = { store, metrics: new Metrics(), log: createLogger('silent') };
    const log = await StoredAuditLog.open(shared);
    const { key } = openKeyFile(this.keyPath);
    const notary = await Notary.open(
      { ...shared, key, blobs: new DirectoryBlobStore(this.anchors) },
      everyMs,
    );
    this.#open = { store, log, notary };
  }

  async stop(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    if (open === null) return;
    await open.log.close();
    await open.notary.close();
    await open.store.close();
  }

  /** `removed` are keys of blobs that a lock would have kept. */
  async verify(
    options: { anchors?: boolean; trusted?: TrustedKeys; removed?: readonly string[] } = {},
  ): Promise<Verdict> {
    const source = openSqliteAuditSource(this.path);
    const blobs = options.anchors === false ? null : new LockedFolder(this.anchors, options.removed ?? []);
    try {
      return await verifyAudit(source, blobs, options.trusted ?? null);
    } finally {
      source.close();
      await blobs?.close();
    }
  }

  /** Changes the file as somebody does who has it. */
  tamper(change: (database: DatabaseSync) => void): void {
    const database = new DatabaseSync(this.path);
    change(database);
    database.close();
  }
}
