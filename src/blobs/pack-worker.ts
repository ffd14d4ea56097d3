import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { promisify } from 'node:util';
import { parentPort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { DISK_SLOTS } from '../base/thread-pool.ts';
import type { BlobSummary, BlobWriter } from './blob-store.ts';
import { codeOf } from './directory-errors.ts';
import { ZstdWriter } from './packed-writer.ts';

/** The body of the thread that compresses into files; see pack-thread.ts. */
export type PackMessage =
  | { readonly kind: 'open'; readonly id: number; readonly descriptor: number }
  | { readonly kind: 'block'; readonly id: number; readonly block: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'end' | 'abort'; readonly id: number };

export type PackAnswer =
  /** The memory of the first block that was not taken yet. */
  | { readonly kind: 'taken'; readonly id: number; readonly memory: ArrayBuffer }
  /** All is written, though not yet durable. */
  | { readonly kind: 'ended'; readonly id: number; readonly summary: BlobSummary }
  | {
      readonly kind: 'failed';
      readonly id: number;
      readonly message: string;
      readonly code: string | undefined;
    }
  /** Nothing is under way any more. */
  | { readonly kind: 'gone'; readonly id: number };

assert(parentPort !== null, 'this file is the body of a worker thread');
const port = parentPort;
const writers = new Map<number, ZstdWriter>();
const dataSync = promisify(fs.fdatasync);

const tell = (answer: PackAnswer, memory: ArrayBuffer[] = []): void => port.postMessage(answer, memory);

/** What is written to an open file, which others make durable in the end, and close. */
class DescriptorWriter implements BlobWriter {
  readonly #descriptor: number;
  readonly #hash = createHash('sha256');
  #bytes = 0;
  #unsynced = 0;
  #syncing: Promise<void> | null = null;
  #failure: unknown = null;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async write(chunk: Uint8Array): Promise<void> {
    // The system tells of a fault of the disk once, so that the sync at the end would not.
    if (this.#failure !== null) throw this.#failure;
    this.#bytes += chunk.length;
    if (this.#bytes > LIMITS.blobBytes)
      throw new HoldfastError('BLOBS_FAILED', `a blob is at most ${LIMITS.blobBytes} bytes long`);
    this.#hash.update(chunk);
    for (let at = 0; at < chunk.length; )
      at += fs.writeSync(this.#descriptor, chunk, at, chunk.length - at, null);
    this.#unsynced += chunk.length;
    if (this.#unsynced >= LIMITS.blobUnsyncedBytes) this.#sync();
  }

  async finish(): Promise<BlobSummary> {
    await this.#syncing;
    if (this.#failure !== null) throw this.#failure;
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  async abort(): Promise<void> {
    await this.#syncing;
  }

  /** The disk works while more comes, and not all at once when the commit waits for it. */
  #sync(): void {
    if (this.#syncing !== null) return;
    this.#unsynced = 0;
    this.#syncing = DISK_SLOTS.run(() => dataSync(this.#descriptor))
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#syncing = null;
      });
  }
}

function failed(id: number, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  tell({ kind: 'failed', id, message, code: codeOf(error) });
}

async function take(message: PackMessage): Promise<void> {
  const { id } = message;
  switch (message.kind) {
    case 'open':
      writers.set(id, new ZstdWriter(new DescriptorWriter(message.descriptor)));
      return;
    case 'block': {
      const memory = await writers.get(id)?.put(message.block);
      if (memory !== undefined) tell({ kind: 'taken', id, memory }, [memory]);
      return;
    }
    case 'end': {
      const summary = await writers.get(id)!.finish();
      writers.delete(id);
      return tell({ kind: 'ended', id, summary });
    }
    case 'abort':
      await writers.get(id)?.abort();
      writers.delete(id);
      return tell({ kind: 'gone', id });
    default:
      message satisfies never;
  }
}

port.on('message', (message: PackMessage) => {
  take(message).catch((error: unknown) => failed(message.id, error));
});
