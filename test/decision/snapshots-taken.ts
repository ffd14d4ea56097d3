import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBlobStore } from '../../src/blobs/open.ts';
import {
  fromManifest,
  type Manifest,
  type ManifestRowFile,
  readManifest,
  snapshotFolder,
} from '../../src/snapshot/manifest.ts';
import { readRows } from '../../src/snapshot/row-file-reader.ts';
import { rolledBackKey, verifySnapshot } from '../../src/snapshot/snapshots.ts';
import type { UndoOutcome } from '../../src/undo/outcome.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { undo } from '../../src/undo/undo.ts';
import type { BackendMessage } from '../support/raw-client.ts';
import { type Between, DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: live }
without_plan: block
rules:
  - { name: first a person, match: { application: [held], operation: [update, delete, drop table, comment] }, action: hold, without_plan: hold }
  - { name: as well as can be, match: { application: [careless] }, action: snapshot, snapshot: best_effort }
  - { name: drops as well, match: { application: [drops], operation: ["drop *", "alter table"] }, action: snapshot }
  - { name: what changes, match: { operation: [update, delete, merge, truncate, insert] }, action: snapshot }
  - { name: the rest, action: allow }
`;

/** Everything that changes or drops rows has to have one. */
export const EVERY_CHANGE = `
mode: protect
without_plan: block
rules:
  - { name: what changes, match: { operation: [update, delete, merge, truncate, upsert, "drop *", "alter table"] }, action: snapshot }
  - { name: the rest, action: allow }
`;

export const typesOf = (messages: readonly BackendMessage[]) => messages.map(({ type }) => type).join('');

/** A gateway that takes snapshots, with those that it has taken. */
export class SnapshotsTaken {
  readonly fixture: DecisionFixture;
  readonly folder: string;

  private constructor(fixture: DecisionFixture) {
    this.fixture = fixture;
    this.folder = join(fixture.gateway.directory, 'snapshots');
  }

  static async start(
    version: 15 | 18,
    environment: Record<string, string> = {},
    policy = POLICY,
    between?: (to: number) => Promise<Between>,
  ): Promise<SnapshotsTaken> {
    const all = { HOLDFAST_SNAPSHOTS_TAKEN: 'on', ...environment };
    return new SnapshotsTaken(await DecisionFixture.start(policy, all, version, {}, between));
  }

  async reset(): Promise<void> {
    await this.fixture.reset();
    this.clear();
  }

  /** Whether it is marked to be of what was rolled back. */
  async isRolledBack({ id, created_at }: Manifest): Promise<boolean> {
    const folder = snapshotFolder(id, Date.parse(created_at));
    return existsSync(join(this.folder, rolledBackKey(folder)));
  }

  /** Removes all snapshots. */
  clear(): void {
    // What was rolled back is taken away in the background.
    rmSync(join(this.folder, 'snapshots'), { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
  }

  /** All snapshots that are there, in the order in which they were taken, each whole. */
  async all(): Promise<Manifest[]> {
    const store = openBlobStore({ kind: 'file', directory: this.folder });
    const manifests: Manifest[] = [];
    for await (const { key } of store.list('snapshots/')) {
      if (!key.endsWith('/manifest.json')) continue;
      const manifest = await readManifest(store, key.slice(0, -14));
      const { faults } = await verifySnapshot(store, manifest);
      if (faults.length > 0) throw new Error(`${key}: ${JSON.stringify(faults)}`);
      manifests.push(manifest);
    }
    await store.close();
    return manifests.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The rows of a file, each as its tuple. */
  async rowsOf(file: ManifestRowFile | null): Promise<string[]> {
    const store = openBlobStore({ kind: 'file', directory: this.folder });
    const rows: string[] = [];
    if (file !== null)
      for await (const tuple of readRows(store, fromManifest(file))) rows.push(tuple.toString('latin1'));
    await store.close();
    return rows;
  }

  /** The rows of each snapshot of one table, before and after. */
  async images(): Promise<{ before: string[]; after: string[] }[]> {
    const out: { before: string[]; after: string[] }[] = [];
    for (const { tables } of await this.all())
      out.push({ before: await this.rowsOf(tables[0]!.before), after: await this.rowsOf(tables[0]!.after) });
    return out;
  }

  /** Puts back what a snapshot holds, the first unless told. */
  async undone(which?: Manifest): Promise<UndoOutcome> {
    const store = openBlobStore({ kind: 'file', directory: this.folder });
    const session = await connectForUndo(this.fixture.postgres.url());
    try {
      const manifest = which ?? (await this.all())[0]!;
      return await undo({ store, manifest, session });
    } finally {
      await session.close();
      await store.close();
    }
  }

  /** Does something while nothing can be stored. */
  async whileUnstorable(act: () => Promise<void>): Promise<void> {
    this.clear();
    writeFileSync(join(this.folder, 'snapshots'), 'in the way');
    try {
      await act();
    } finally {
      rmSync(join(this.folder, 'snapshots'), { force: true });
    }
  }
}
