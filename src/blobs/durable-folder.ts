import type fs from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { newId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { codeOf, unlessAbsent } from './directory-errors.ts';

/** The part of Node's asynchronous file system that is used, so that a test can see and break every call. */
export type Files = Pick<
  typeof fs,
  'open' | 'mkdir' | 'rename' | 'link' | 'unlink' | 'rmdir' | 'readdir' | 'stat'
>;
export type FileHandle = Awaited<ReturnType<Files['open']>>;

/** What is written and not yet under its key; no key starts with a dot. */
const UNFINISHED = '.unfinished';

/** Before-images are the tables' own rows, which are nobody else's to read. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/**
 * A folder in which a file is either not there or there whole, whenever the machine stops: files are written under a
 * name that is no key, synced, put into place by one rename or link, and then the folder is synced, and every folder
 * above it in which the next one is not known to be. That a folder is there says nothing: a writer may have made it
 * that has not synced it yet.
 */
export class DurableFolder {
  readonly root: string;
  readonly #files: Files;
  #made: Promise<void> | undefined;
  /** Folders that were there when the one above them was synced, and which they were. */
  readonly #durable = new Map<string, string>();

  constructor(root: string, files: Files) {
    this.root = resolve(root);
    this.#files = files;
  }

  pathOf(key: string): string {
    return join(this.root, ...key.split('/'));
  }

  /**
   * Makes the folders of a key that is going to be put, durably, so that less is left to do then. It rejects where that fails,
   * which is no matter: whatever is still to be done is done with the put.
   */
  async expect(key: string): Promise<void> {
    await this.#rootMade();
    const folder = dirname(this.pathOf(key));
    await this.#files.mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    await this.#syncUpwards(folder, false);
  }

  async #rootMade(): Promise<void> {
    this.#made ??= this.#makeRoot();
    try {
      await this.#made;
    } catch (error) {
      this.#made = undefined;
      throw error;
    }
  }

  /** Opens a new file that is none of the blobs. */
  async openUnfinished(): Promise<{ readonly path: string; readonly handle: FileHandle }> {
    await this.#rootMade();
    const path = join(this.root, UNFINISHED, newId('blob'));
    return { path, handle: await this.#files.open(path, 'wx', FILE_MODE) };
  }

  /** Puts a synced file into its place, over what may be there. */
  async publish(unfinished: string, key: string): Promise<void> {
    await this.#place(key, (path) => this.#files.rename(unfinished, path));
    await this.#syncUpwards(dirname(this.pathOf(key)));
  }

  /** Writes a whole file, unless there is one. Whether it did so is durable then. */
  async putIfAbsent(key: string, bytes: Uint8Array): Promise<boolean> {
    const { path, handle } = await this.openUnfinished();
    try {
      await writeAll(handle, bytes);
      await handle.sync();
    } catch (error) {
      await handle.close().catch(() => {});
      await this.discard(path);
      throw error;
    }
    await handle.close();
    return await this.#publishIfAbsent(path, key);
  }

  /** False where there is something; that is durable then as well. */
  async #publishIfAbsent(unfinished: string, key: string): Promise<boolean> {
    let created = true;
    try {
      await this.#place(key, (path) => this.#files.link(unfinished, path));
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      created = false;
    }
    await this.discard(unfinished);
    await this.#syncUpwards(dirname(this.pathOf(key)));
    return created;
  }

  /** Takes an unfinished file away, or leaves it to be swept. */
  async discard(unfinished: string): Promise<void> {
    await this.#files.unlink(unfinished).catch(() => {});
  }

  /** Also takes away folders that are empty then. */
  async remove(key: string): Promise<void> {
    const path = this.pathOf(key);
    await unlessAbsent(this.#files.unlink(path));
    await this.#sync(dirname(path));
    try {
      for (const folder of this.#upwards(dirname(path))) {
        if (folder !== this.root) await this.#files.rmdir(folder);
      }
    } catch {
      // It is not empty, or is somebody else's to remove; a folder too many harms nobody.
    }
  }

  /** Removes unfinished files that were last written before then, except those that are still in use. */
  async sweep(beforeMs: number, inUse: ReadonlySet<string>): Promise<number> {
    const folder = join(this.root, UNFINISHED);
    let removed = 0;
    for (const name of (await unlessAbsent(this.#files.readdir(folder))) ?? []) {
      const path = join(folder, name);
      if (inUse.has(path)) continue;
      const facts = await unlessAbsent(this.#files.stat(path));
      if (facts === null || facts.mtimeMs >= beforeMs) continue;
      await unlessAbsent(this.#files.unlink(path));
      removed++;
    }
    return removed;
  }

  async #makeRoot(): Promise<void> {
    const path = join(this.root, UNFINISHED);
    const first = await this.#files.mkdir(path, { recursive: true, mode: FOLDER_MODE });
    if (first === undefined) return;
    for (let folder = this.root; ; folder = dirname(folder)) {
      await this.#sync(folder);
      if (folder.length < first.length) break;
    }
  }

  /** Makes the folders of the key, again where a `remove` has found one of them empty in between. */
  async #place(key: string, place: (path: string) => Promise<void>): Promise<void> {
    const path = this.pathOf(key);
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#files.mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
        return await place(path);
      } catch (error) {
        if (codeOf(error) !== 'ENOENT' || attempt === LIMITS.blobRenameAttemptsMax) throw error;
      }
    }
  }

  /** `isFilled` says that the folder itself has something new in it. */
  async #syncUpwards(from: string, isFilled = true): Promise<void> {
    const due = isFilled ? [from] : [];
    const known: [folder: string, identity: string][] = [];
    let below = from;
    for (const folder of this.#upwards(dirname(from))) {
      if (below === this.root) break;
      // Before anything is synced, so that a folder that takes another's place meanwhile is not taken for it.
      const identity = await this.#identity(below);
      // While it stands, none above it can have been taken away.
      if (identity !== null && this.#durable.get(below) === identity) break;
      if (identity !== null) known.push([below, identity]);
      due.push(folder);
      below = folder;
    }
    await Promise.all(due.map((folder) => this.#sync(folder)));
    if (this.#durable.size > LIMITS.blobFoldersKnown) this.#durable.clear();
    for (const [folder, identity] of known) this.#durable.set(folder, identity);
  }

  /** Other than any other folder's that has been there, or null where there is none. */
  async #identity(folder: string): Promise<string | null> {
    const facts = await unlessAbsent(this.#files.stat(folder, { bigint: true }));
    return facts === null ? null : `${facts.ino} ${facts.birthtimeNs}`;
  }

  /** The folder and those above it, the root being the last. */
  *#upwards(from: string): Iterable<string> {
    for (let folder = from; folder.startsWith(this.root + sep); folder = dirname(folder)) yield folder;
    yield this.root;
  }

  /** A folder that is gone was removed with what was in it, and has nothing to sync. */
  async #sync(folder: string): Promise<void> {
    const handle = await unlessAbsent(this.#files.open(folder, 'r'));
    try {
      await handle?.sync();
    } finally {
      await handle?.close();
    }
  }
}

/** A write may take less than it was given, for example when the disk is nearly full. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at);
    at += bytesWritten;
  }
}
