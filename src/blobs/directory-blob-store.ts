import { createHash } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { agreedMs } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { assertBlobKey, assertBlobPrefix } from './blob-key.ts';
import type {
  BlobEntry,
  BlobStat,
  BlobStore,
  BlobSummary,
  BlobWriter,
  PutResult,
  ReadOptions,
} from './blob-store.ts';
import { type BlockSink, BlockWriter } from './block-writer.ts';
import { directoryError, unlessAbsent } from './directory-errors.ts';
import { readFile, walk } from './directory-read.ts';
import { DurableFolder, type FileHandle, type Files, writeAll } from './durable-folder.ts';
import { type PackStream, packThread } from './pack-thread.ts';
import type { PackedWriter } from './packed-writer.ts';
import { probeStore, sweepProbes } from './probe.ts';
import { putThread } from './put-thread.ts';
import { slottedFiles } from './slotted-files.ts';
import { notFound, verified } from './verified.ts';

/** Blobs as files below one folder, the key being the path. */
export class DirectoryBlobStore implements BlobStore {
  readonly #files: Files;
  readonly #folder: DurableFolder;
  /** By the path of their unfinished files. */
  readonly #writers = new Map<string, Pick<BlobWriter, 'abort'>>();
  #closed = false;

  readonly pack?: (key: string) => Promise<PackedWriter>;
  readonly expect?: (key: string) => void;

  /** From where `putIfAbsent` and `pack` write; see put-thread.ts and pack-thread.ts. */
  readonly #puts: 'thread' | 'pool';

  constructor(directory: string, files: Files = slottedFiles, puts: 'thread' | 'pool' = 'pool') {
    this.#files = files;
    this.#puts = puts;
    this.#folder = new DurableFolder(directory, files);
    if (puts !== 'thread') return;
    this.pack = (key) => this.#pack(key);
    this.expect = (key) => {
      assertBlobKey(key);
      if (!this.#closed) putThread.expect(this.#folder.root, key);
    };
  }

  async create(key: string): Promise<BlobWriter> {
    assertBlobKey(key);
    return await this.#named(async () => {
      const { path, handle } = await this.#folder.openUnfinished();
      const sink = new FileSink(this.#folder, key, path, handle);
      const writer = new BlockWriter(sink, () => this.#writers.delete(path));
      this.#writers.set(path, writer);
      return writer;
    });
  }

  async #pack(key: string): Promise<PackedWriter> {
    assertBlobKey(key);
    return await this.#named(async () => {
      const { path, handle } = await this.#folder.openUnfinished();
      const sink = new FileSink(this.#folder, key, path, handle);
      const ended = () => this.#writers.delete(path);
      const writer = new PackedFile(packThread.open(handle.fd), sink, this.#folder.root, ended);
      this.#writers.set(path, writer);
      return writer;
    });
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult> {
    assertBlobKey(key);
    assert(bytes.length <= LIMITS.blobAtOnceBytes, 'what is put at once is short');
    return await this.#named(async () => {
      const created =
        this.#puts === 'thread'
          ? await putThread.putIfAbsent(this.#folder.root, key, bytes)
          : await this.#folder.putIfAbsent(key, bytes);
      if (!created) return { kind: 'exists' };
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      return { kind: 'created', summary: { bytes: bytes.length, sha256 } };
    });
  }

  read(key: string, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    assertBlobKey(key);
    const { start = 0, end = Number.POSITIVE_INFINITY, expected } = options;
    assert(
      expected === undefined || (start === 0 && end === Number.POSITIVE_INFINITY),
      'a part is not verified',
    );
    const chunks = this.#read(key, start, end);
    return expected === undefined ? chunks : verified(key, chunks, expected);
  }

  async stat(key: string): Promise<BlobStat | null> {
    assertBlobKey(key);
    return await this.#named(async () => {
      const facts = await unlessAbsent(this.#files.stat(this.#folder.pathOf(key)));
      return facts?.isFile() ? { bytes: facts.size, modifiedAtMs: facts.mtimeMs } : null;
    });
  }

  async *list(prefix: string): AsyncIterable<BlobEntry> {
    assertBlobPrefix(prefix);
    try {
      for await (const entry of walk(this.#files, this.#folder.root, '', prefix)) {
        this.#assertOpen();
        yield entry;
      }
    } catch (error) {
      throw directoryError(error, this.#folder.root);
    }
  }

  async remove(key: string): Promise<void> {
    assertBlobKey(key);
    await this.#named(() => this.#folder.remove(key));
  }

  async sweepOrphans(olderThanMs: number): Promise<number> {
    const beforeMs = agreedMs() - olderThanMs;
    const files = await this.#named(() => this.#folder.sweep(beforeMs, new Set(this.#writers.keys())));
    return files + (await sweepProbes(this, beforeMs));
  }

  async probe(): Promise<void> {
    await probeStore(this);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#writers.values()].map((writer) => writer.abort()));
  }

  async *#read(key: string, start: number, end: number): AsyncIterable<Uint8Array> {
    const handle = await this.#named(() => unlessAbsent(this.#files.open(this.#folder.pathOf(key), 'r')));
    if (handle === null) throw notFound(key);
    try {
      if (!(await handle.stat()).isFile()) throw notFound(key);
      for await (const chunk of readFile(handle, key, start, end)) {
        this.#assertOpen();
        yield chunk;
      }
    } catch (error) {
      throw directoryError(error, this.#folder.root);
    } finally {
      await handle.close();
    }
  }

  /** Gives what the file system says our own name. */
  async #named<T>(call: () => Promise<T>): Promise<T> {
    this.#assertOpen();
    try {
      return await call();
    } catch (error) {
      throw directoryError(error, this.#folder.root);
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new HoldfastError('BLOBS_FAILED', 'the snapshots storage is closed');
  }
}

/** One file that is being written, block after block. */
class FileSink implements BlockSink {
  readonly putsMax = 1;
  readonly #folder: DurableFolder;
  readonly #key: string;
  readonly #path: string;
  readonly #handle: FileHandle;

  constructor(folder: DurableFolder, key: string, path: string, handle: FileHandle) {
    this.#folder = folder;
    this.#key = key;
    this.#path = path;
    this.#handle = handle;
  }

  blockBytes(): number {
    return LIMITS.blobChunkBytes;
  }

  async put(block: Uint8Array): Promise<void> {
    await this.#named(() => writeAll(this.#handle, block));
  }

  async finish(last: Uint8Array, _index: number, _summary: BlobSummary): Promise<void> {
    await this.#named(async () => {
      await writeAll(this.#handle, last);
      await this.#handle.sync();
      await this.#handle.close();
      await this.#folder.publish(this.#path, this.#key);
    });
  }

  cancel(): void {}

  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {});
    await this.#folder.discard(this.#path);
  }

  async #named(call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      throw directoryError(error, this.#folder.root);
    }
  }
}

/**
 * One file that another thread fills. `failed` and `given up` are ends: the file is taken away when that thread has left it,
 * since its descriptor may be another file's by then.
 */
class PackedFile implements PackedWriter {
  readonly #stream: PackStream;
  readonly #sink: FileSink;
  readonly #root: string;
  readonly #ended: () => void;
  #finishing: Promise<BlobSummary> | null = null;
  #gone: Promise<void> | null = null;

  constructor(stream: PackStream, sink: FileSink, root: string, ended: () => void) {
    this.#stream = stream;
    this.#sink = sink;
    this.#root = root;
    this.#ended = ended;
  }

  async put(block: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
    try {
      return await this.#stream.put(block);
    } catch (error) {
      throw await this.#failed(error);
    }
  }

  finish(): Promise<BlobSummary> {
    this.#finishing = this.#finish();
    return this.#finishing;
  }

  async #finish(): Promise<BlobSummary> {
    try {
      const summary = await this.#stream.end();
      await this.#sink.finish(NOTHING, 0, summary);
      this.#ended();
      return summary;
    } catch (error) {
      throw await this.#failed(error);
    }
  }

  async abort(): Promise<void> {
    const leaving = this.#stream.abort();
    if (this.#finishing !== null) await this.#finishing.catch(() => {});
    else await this.#leave(leaving);
  }

  async #failed(error: unknown): Promise<HoldfastError> {
    await this.#leave(this.#stream.abort());
    return directoryError(error, this.#root);
  }

  #leave(leaving: Promise<void>): Promise<void> {
    const leave = async () => {
      await leaving;
      await this.#sink.discard();
      this.#ended();
    };
    this.#gone ??= leave();
    return this.#gone;
  }
}

const NOTHING = new Uint8Array(0);
