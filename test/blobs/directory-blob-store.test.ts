import { spawn } from 'node:child_process';
import { once } from 'node:events';
import nodeFiles, {
  chmod,
  mkdir,
  readdir,
  readFile,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { DurableFolder, type FileHandle, type Files } from '../../src/blobs/durable-folder.ts';
import { all, blobStoreConformance } from '../conformance/blobs.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

for (const puts of ['pool', 'thread'] as const) {
  blobStoreConformance(
    puts === 'pool' ? 'directory' : 'directory, small blobs put from a thread',
    async () => {
      const folder = await temporaryFolder();
      const root = join(folder.path, 'data', 'snapshots');
      return {
        open: () => new DirectoryBlobStore(root, undefined, puts),
        unfinished: async () => (await readdir(join(root, '.unfinished')).catch(() => [])).length,
        remove: folder.remove,
      };
    },
    {
      largeBytes: (puts === 'pool' ? 200 : 20) * 1024 * 1024,
      memoryBytes: 64 * 1024 * 1024,
      entries: puts === 'pool' ? 300 : 30,
    },
  );
}

/** What was done to the file system, in order, with paths from the root; and what is to fail. */
class WatchedFiles {
  readonly calls: string[] = [];
  /** The code that a call fails by, by its line in `calls`. */
  readonly failures = new Map<string, string>();
  /** At most so many bytes are taken by one write. */
  writeBytesMax = Number.POSITIVE_INFINITY;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  get files(): Files {
    const watched = (name: keyof Files) => this.#watched(name, nodeFiles[name] as AnyCall);
    const names = ['mkdir', 'rename', 'link', 'unlink', 'rmdir', 'readdir', 'stat'] as const;
    return {
      ...(Object.fromEntries(names.map((name) => [name, watched(name)])) as unknown as Files),
      open: (async (path: string, flags: string, mode?: number) => {
        const handle = await this.#watched('open', nodeFiles.open as AnyCall)(path, flags, mode);
        return this.#handle(handle as FileHandle, path);
      }) as Files['open'],
    };
  }

  #watched(name: string, call: AnyCall): AnyCall {
    return async (...parameters) => {
      const paths = parameters.filter((one) => typeof one === 'string' && one.startsWith('/'));
      this.#note([name, ...paths.map((path) => this.#short(path as string))].join(' '));
      return await call(...parameters);
    };
  }

  #handle(handle: FileHandle, path: string): FileHandle {
    const note = (name: string): void => this.#note(`${name} ${this.#short(path)}`);
    return {
      write: (bytes: Uint8Array, at: number, length: number) => {
        note('write');
        return handle.write(bytes, at, Math.min(length, this.writeBytesMax));
      },
      sync: () => {
        note('sync');
        return handle.sync();
      },
      close: () => handle.close(),
      stat: () => handle.stat(),
      read: handle.read.bind(handle),
    } as unknown as FileHandle;
  }

  #short(path: string): string {
    return path.replace(this.#root, '~').replace(/blob_\w+/, 'new');
  }

  #note(line: string): void {
    this.calls.push(line);
    const code = this.failures.get(line);
    if (code !== undefined) throw Object.assign(new Error(`${code}: made up for a test`), { code });
  }
}

type AnyCall = (...parameters: unknown[]) => Promise<unknown>;

describe('the directory', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let root: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    root = join(folder.path, 'data', 'snapshots');
  });
  afterEach(() => folder.remove());

  async function written(store: DirectoryBlobStore, key: string): Promise<void> {
    const writer = await store.create(key);
    await writer.write(Buffer.from('some rows'));
    await writer.finish();
  }

  /** What was done but for looking. The syncs at the end go on at once, in any order. */
  function doneBy({ calls }: WatchedFiles): { readonly inOrder: string[]; readonly syncs: string[] } {
    const done = calls.filter((call) => !call.startsWith('open') && !call.startsWith('stat'));
    const placed = done.findLastIndex((call) => !call.startsWith('sync')) + 1;
    return { inOrder: done.slice(0, placed), syncs: done.slice(placed).toSorted() };
  }

  it('syncs the file before it gets its name, and every folder after', async () => {
    const watched = new WatchedFiles(folder.path);
    const store = new DirectoryBlobStore(root, watched.files);
    await written(store, 'a/b/c');
    expect(doneBy(watched)).toEqual({
      inOrder: [
        'mkdir ~/data/snapshots/.unfinished',
        'sync ~/data/snapshots',
        'sync ~/data',
        'sync ~',
        'write ~/data/snapshots/.unfinished/new',
        'sync ~/data/snapshots/.unfinished/new',
        'mkdir ~/data/snapshots/a/b',
        'rename ~/data/snapshots/.unfinished/new ~/data/snapshots/a/b/c',
      ],
      syncs: ['sync ~/data/snapshots', 'sync ~/data/snapshots/a', 'sync ~/data/snapshots/a/b'],
    });
  });

  it('does likewise for what must not replace, and when something else was there first', async () => {
    for (const kind of ['created', 'exists']) {
      const watched = new WatchedFiles(folder.path);
      const store = new DirectoryBlobStore(root, watched.files);
      await store.probe();
      watched.calls.length = 0;
      expect(await store.putIfAbsent('m/1', Buffer.from('x'))).toMatchObject({ kind });
      expect(doneBy(watched)).toEqual({
        inOrder: [
          'write ~/data/snapshots/.unfinished/new',
          'sync ~/data/snapshots/.unfinished/new',
          'mkdir ~/data/snapshots/m',
          'link ~/data/snapshots/.unfinished/new ~/data/snapshots/m/1',
          'unlink ~/data/snapshots/.unfinished/new',
        ],
        syncs: ['sync ~/data/snapshots', 'sync ~/data/snapshots/m'],
      });
    }
  });

  it('syncs a folder above only where it does not know that what stands in it is durable', async () => {
    const watched = new WatchedFiles(folder.path);
    const store = new DirectoryBlobStore(root, watched.files);
    const other = new DirectoryBlobStore(root);
    const syncsOf = async (key: string) => {
      watched.calls.length = 0;
      await written(store, key);
      return doneBy(watched).syncs;
    };
    await written(store, 'a/b/c/1');
    expect(await syncsOf('a/b/c/2')).toEqual(['sync ~/data/snapshots/a/b/c']);
    expect(await syncsOf('a/b/d/1')).toEqual(['sync ~/data/snapshots/a/b', 'sync ~/data/snapshots/a/b/d']);
    // Somebody else takes folders away and makes them anew, and may not have synced them yet.
    for (const key of ['a/b/c/1', 'a/b/c/2', 'a/b/d/1']) await other.remove(key);
    await mkdir(join(root, 'a/b/c'), { recursive: true });
    expect(await syncsOf('a/b/c/3')).toEqual([
      'sync ~/data/snapshots',
      'sync ~/data/snapshots/a',
      'sync ~/data/snapshots/a/b',
      'sync ~/data/snapshots/a/b/c',
    ]);
  });

  it('has the folder of what is expected there, durably, so that only that is synced with it', async () => {
    const watched = new WatchedFiles(folder.path);
    const place = new DurableFolder(root, watched.files);
    const later = {
      inOrder: expect.arrayContaining(['mkdir ~/data/snapshots/a/b']),
      syncs: ['sync ~/data/snapshots/a/b'],
    };
    await place.expect('a/b/c');
    expect(doneBy(watched)).toEqual({
      inOrder: [
        'mkdir ~/data/snapshots/.unfinished',
        'sync ~/data/snapshots',
        'sync ~/data',
        'sync ~',
        'mkdir ~/data/snapshots/a/b',
      ],
      syncs: ['sync ~/data/snapshots', 'sync ~/data/snapshots/a'],
    });
    watched.calls.length = 0;
    await place.putIfAbsent('a/b/c', Buffer.from('x'));
    expect(doneBy(watched)).toEqual(later);
    // The folder was taken away and made anew by somebody else.
    await place.expect('a/d/c');
    await rmdir(join(root, 'a/d'));
    await mkdir(join(root, 'a/d'));
    watched.calls.length = 0;
    await place.putIfAbsent('a/d/c', Buffer.from('x'));
    expect(doneBy(watched).syncs).toEqual(['sync ~/data/snapshots/a', 'sync ~/data/snapshots/a/d']);
  });

  it('syncs the folder after removing, and takes away folders that are empty then', async () => {
    const watched = new WatchedFiles(folder.path);
    const store = new DirectoryBlobStore(root, watched.files);
    await written(store, 'a/b/c');
    await written(store, 'a/d');
    watched.calls.length = 0;
    await store.remove('a/b/c');
    expect(watched.calls).toEqual([
      'unlink ~/data/snapshots/a/b/c',
      'open ~/data/snapshots/a/b',
      'sync ~/data/snapshots/a/b',
      'rmdir ~/data/snapshots/a/b',
      'rmdir ~/data/snapshots/a',
    ]);
    expect(await readdir(join(root, 'a'))).toEqual(['d']);
  });

  it('keeps what is removed and what is written in one folder apart', async () => {
    const store = new DirectoryBlobStore(root);
    const rounds = Array.from({ length: 100 }, async (_, i) => {
      await written(store, `deep/er/${i}`);
      await store.remove(`deep/er/${i}`);
    });
    await Promise.all(rounds);
    expect(await all(store.list(''))).toEqual([]);
  });

  it("is nobody else's to read", async () => {
    const store = new DirectoryBlobStore(root);
    await written(store, 'a/b');
    await store.putIfAbsent('a/m', Buffer.from('x'));
    for (const name of ['a/b', 'a/m']) expect((await stat(join(root, name))).mode & 0o777).toBe(0o600);
    for (const name of ['', 'a', '.unfinished']) {
      expect((await stat(join(root, name))).mode & 0o777).toBe(0o700);
    }
  });

  it('writes on where the system took less than it was given', async () => {
    const watched = new WatchedFiles(folder.path);
    watched.writeBytesMax = 1000;
    const store = new DirectoryBlobStore(root, watched.files);
    const writer = await store.create('a');
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
    await writer.write(bytes);
    await writer.finish();
    expect((await readFile(join(root, 'a'))).equals(bytes)).toBe(true);
  });

  const FAILURES = {
    ENOSPC: 'BLOBS_FULL',
    EDQUOT: 'BLOBS_FULL',
    EIO: 'BLOBS_FAILED',
    EROFS: 'BLOBS_REFUSED',
    EACCES: 'BLOBS_REFUSED',
  };
  const PLACES = [
    'mkdir ~/data/snapshots/.unfinished',
    'open ~/data/snapshots/.unfinished/new',
    'write ~/data/snapshots/.unfinished/new',
    'sync ~/data/snapshots/.unfinished/new',
    'mkdir ~/data/snapshots/a',
    'rename ~/data/snapshots/.unfinished/new ~/data/snapshots/a/b',
  ];
  for (const [errno, code] of Object.entries(FAILURES)) {
    it(`says ${code} for ${errno}, wherever it comes, and leaves nothing`, async () => {
      for (const place of PLACES) {
        const watched = new WatchedFiles(folder.path);
        watched.failures.set(place, errno);
        const store = new DirectoryBlobStore(root, watched.files);
        const failure = await written(store, 'a/b').catch((error: unknown) => error);
        expect(failure, place).toMatchObject({ code, message: expect.stringContaining(root) });
        expect(await store.stat('a/b')).toBeNull();
        expect(await readdir(join(root, '.unfinished')).catch(() => [])).toEqual([]);
      }
    });
  }

  it('does not say that a blob is durable when its folder could not be synced', async () => {
    const watched = new WatchedFiles(folder.path);
    const store = new DirectoryBlobStore(root, watched.files);
    watched.failures.set('sync ~/data/snapshots/a', 'EIO');
    await expect(written(store, 'a/b')).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
    await expect(store.putIfAbsent('a/c', Buffer.from('x'))).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
  });

  it.each(['pool', 'thread'] as const)('says at once that it cannot be written (%s)', async (puts) => {
    await writeFile(join(folder.path, 'data'), 'a file');
    await expect(new DirectoryBlobStore(root, undefined, puts).probe()).rejects.toMatchObject({
      code: 'BLOBS_REFUSED',
      message: `a file stands where a folder of ${root} has to be`,
    });
  });

  it('says that it was taken away', async () => {
    const store = new DirectoryBlobStore(root);
    await written(store, 'a/b');
    await rm(root, { recursive: true });
    await expect(store.putIfAbsent('a/c', Buffer.from('x'))).rejects.toMatchObject({
      ...{ code: 'BLOBS_FAILED', message: `the snapshots folder ${root} is not there any more` },
    });
  });

  it.skipIf(process.getuid?.() === 0)('says at once that it may not be written', async () => {
    await mkdir(root, { recursive: true });
    await chmod(root, 0o500);
    await expect(new DirectoryBlobStore(root).probe()).rejects.toMatchObject({
      code: 'BLOBS_REFUSED',
      message: `the snapshots folder ${root} may not be written or read`,
    });
  });

  it('lists no strangers', async () => {
    const store = new DirectoryBlobStore(root);
    await written(store, 'a/b');
    await writeFile(join(root, 'README.md'), 'Not one of ours.');
    await writeFile(join(root, 'a', '.hidden'), '');
    await mkdir(join(root, 'Lost+Found'));
    await symlink('/nowhere', join(root, 'dangling'));
    expect((await all(store.list(''))).map(({ key }) => key)).toEqual(['a/b']);
  });

  it('sees the end of a file that is cut off while it is read', async () => {
    const store = new DirectoryBlobStore(root);
    const writer = await store.create('a');
    await writer.write(Buffer.alloc(LIMITS.blobChunkBytes * 3));
    const summary = await writer.finish();
    const reading = (async () => {
      for await (const _ of store.read('a', { expected: summary }))
        await nodeFiles.truncate(join(root, 'a'), 10);
    })();
    await expect(reading).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  });

  it('shows only whole blobs after its process was killed at any time', async () => {
    for (let round = 0; round < 8; round++) {
      const child = spawn(process.execPath, [WRITER, root, String(round)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const acknowledged: { key: string; sha256: string; bytes: number }[] = [];
      const lines = createInterface({ input: child.stdout });
      lines.on('line', (line) => acknowledged.push(JSON.parse(line)));
      await once(lines, 'line');
      await new Promise((resolve) => setTimeout(resolve, 13 * round));
      child.kill('SIGKILL');
      await once(child, 'close');

      const store = new DirectoryBlobStore(root);
      for (const { key, ...expected } of acknowledged) {
        for await (const _ of store.read(key, { expected }));
      }
      for await (const { key, bytes } of store.list(''))
        expect(bytes, key).toBe(Number(key.split('.').at(-1)));
      await store.sweepOrphans(0);
      expect(await readdir(join(root, '.unfinished'))).toEqual([]);
    }
  });
});

const WRITER = fileURLToPath(new URL('./endless-writer.ts', import.meta.url));
