import { createHash } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobSummary, BlobWriter } from './blob-store.ts';

/** What an adapter does with the blocks of one blob. Its rejections are HoldfastErrors. */
export interface BlockSink {
  /** How many `put` may be under way at once. */
  readonly putsMax: number;
  /** The size of every block but the last, by its number from 0. */
  blockBytes(index: number): number;
  /** Stores a whole block, which is the sink's own until this settles. */
  put(block: Uint8Array, index: number): Promise<void>;
  /** Called when every `put` has resolved, with what is left over, which may be empty only if it is all. */
  finish(last: Uint8Array, index: number, summary: BlobSummary): Promise<void>;
  /** Lets what is under way fail soon. */
  cancel(): void;
  /** Called when nothing is under way; takes away what is there and never rejects. */
  discard(): Promise<void>;
}

/**
 * Gathers chunks of any size into a sink's blocks. Memory is `putsMax` blocks and one that is being filled, however
 * long the blob becomes. `open` takes chunks; `failed`, `aborted` and `finished` are ends, and are never left.
 */
export class BlockWriter implements BlobWriter {
  readonly #sink: BlockSink;
  readonly #hash = createHash('sha256');
  readonly #underWay = new Set<Promise<void>>();
  #state: 'open' | 'failed' | 'aborted' | 'finished' = 'open';
  #busy = false;
  #failure: HoldfastError | undefined;
  #spare: Uint8Array[] = [];
  #block: Uint8Array | undefined;
  #filled = 0;
  #index = 0;
  #bytes = 0;
  #call: Promise<void> | undefined;
  #gone: Promise<void> | undefined;
  readonly #ended: () => void;

  /** `ended` is called once, when the blob is there or everything of it is gone. */
  constructor(sink: BlockSink, ended: () => void) {
    this.#sink = sink;
    this.#ended = ended;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#oneAtATime(async () => {
      if (this.#bytes + chunk.length > LIMITS.blobBytes) {
        throw new HoldfastError('BLOBS_FAILED', `a blob is at most ${LIMITS.blobBytes} bytes long`);
      }
      for (let rest = chunk; rest.length > 0; ) {
        const block = await this.#blockWithRoom();
        const taken = rest.subarray(0, block.length - this.#filled);
        block.set(taken, this.#filled);
        this.#hash.update(taken);
        this.#filled += taken.length;
        this.#bytes += taken.length;
        rest = rest.subarray(taken.length);
      }
    });
  }

  async finish(): Promise<BlobSummary> {
    return await this.#oneAtATime(async () => {
      while (this.#underWay.size > 0) await this.#oneSettled();
      const summary = { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
      const last = this.#block?.subarray(0, this.#filled) ?? new Uint8Array(0);
      await this.#sink.finish(last, this.#index, summary);
      // An abort that came meanwhile has come too late: the blob is there.
      this.#state = 'finished';
      this.#letGo();
      this.#ended();
      return summary;
    });
  }

  async abort(): Promise<void> {
    if (this.#state === 'open') {
      this.#state = 'aborted';
      this.#failure = new HoldfastError('BLOBS_FAILED', 'writing the blob was given up');
      this.#sink.cancel();
    }
    // A call under way ends by the cancellation and cleans up itself.
    if (this.#busy) await this.#call;
    else if (this.#state !== 'finished') await this.#end();
  }

  /** Runs one call; whatever it fails by is what every later call fails by. */
  async #oneAtATime<T>(call: () => Promise<T>): Promise<T> {
    assert(!this.#busy, 'one call of a blob writer at a time');
    assert(this.#state !== 'finished', 'a finished blob is not written to');
    this.#busy = true;
    const settled = Promise.withResolvers<void>();
    this.#call = settled.promise;
    try {
      if (this.#failure !== undefined) throw this.#failure;
      return await call();
    } catch (error) {
      this.#fail(error);
      await this.#end();
      throw this.#failure;
    } finally {
      this.#busy = false;
      settled.resolve();
    }
  }

  async #blockWithRoom(): Promise<Uint8Array> {
    if (this.#block !== undefined && this.#filled < this.#block.length) return this.#block;
    // A full block waits for the byte after it, so that the last one is never empty.
    if (this.#block !== undefined) this.#send(this.#block);
    while (this.#underWay.size >= this.#sink.putsMax) await this.#oneSettled();
    if (this.#failure !== undefined) throw this.#failure;
    const size = this.#sink.blockBytes(this.#index);
    const spare = this.#spare.pop();
    // Untouched pages of fresh memory cost nothing, so that a short blob does not pay for a long one's block.
    this.#block = spare?.length === size ? spare : Buffer.allocUnsafeSlow(size);
    this.#filled = 0;
    return this.#block;
  }

  #send(block: Uint8Array): void {
    this.#block = undefined;
    const put: Promise<void> = this.#sink
      .put(block, this.#index++)
      .then(
        () => void this.#spare.push(block),
        (error: unknown) => this.#fail(error),
      )
      .finally(() => this.#underWay.delete(put));
    this.#underWay.add(put);
  }

  async #oneSettled(): Promise<void> {
    await Promise.race(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #fail(error: unknown): void {
    if (this.#state === 'open') this.#state = 'failed';
    this.#failure ??=
      error instanceof HoldfastError
        ? error
        : new HoldfastError('INTERNAL', 'writing a blob failed', { cause: error });
  }

  #end(): Promise<void> {
    const end = async (): Promise<void> => {
      this.#sink.cancel();
      await Promise.all(this.#underWay);
      this.#letGo();
      await this.#sink.discard();
      this.#ended();
    };
    this.#gone ??= end();
    return this.#gone;
  }

  #letGo(): void {
    this.#spare = [];
    this.#block = undefined;
  }
}
