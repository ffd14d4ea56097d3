import { Worker } from 'node:worker_threads';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobSummary } from './blob-store.ts';
import type { PackAnswer, PackMessage } from './pack-worker.ts';

interface Waiting<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

type Send = (message: PackMessage, memory?: readonly ArrayBuffer[]) => void;

/** What is written under zstd to one open file, which stays the caller's, and is left alone once it has ended or gone. */
export class PackStream {
  readonly #send: Send;
  readonly #id: number;
  readonly #left: () => void;
  readonly #blocks: Waiting<ArrayBuffer>[] = [];
  #end: Waiting<BlobSummary> | null = null;
  #gone: PromiseWithResolvers<void> | null = null;
  #isLeft = false;
  #failure: Error | null = null;

  constructor(id: number, send: Send, left: () => void) {
    this.#id = id;
    this.#send = send;
    this.#left = left;
  }

  put(block: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) return reject(this.#failure);
      this.#blocks.push({ resolve, reject });
      this.#send({ kind: 'block', id: this.#id, block }, [block.buffer]);
    });
  }

  /** Resolves when all is written. */
  end(): Promise<BlobSummary> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) return reject(this.#failure);
      this.#end = { resolve, reject };
      this.#send({ kind: 'end', id: this.#id });
    });
  }

  /** Resolves when nothing is under way any more. */
  abort(): Promise<void> {
    if (this.#isLeft) return Promise.resolve();
    if (this.#gone === null) {
      this.#gone = Promise.withResolvers();
      this.fail(new HoldfastError('BLOBS_FAILED', 'writing the blob was given up'));
      this.#send({ kind: 'abort', id: this.#id });
    }
    return this.#gone.promise;
  }

  /** @internal */
  take(answer: PackAnswer): void {
    switch (answer.kind) {
      case 'taken':
        return this.#blocks.shift()?.resolve(answer.memory);
      case 'ended':
        this.leave();
        return this.#end?.resolve(answer.summary);
      case 'failed':
        return this.fail(Object.assign(new Error(answer.message), { code: answer.code }));
      case 'gone':
        return this.leave();
      default:
        answer satisfies never;
    }
  }

  /** @internal Whoever waits is told, and the file is still the thread's. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#blocks.splice(0)) reject(this.#failure);
    this.#end?.reject(this.#failure);
  }

  /** @internal The thread has left the file. */
  leave(): void {
    this.#isLeft = true;
    this.#left();
    this.#gone?.resolve();
  }
}

/**
 * Compresses what many rows are into files from a thread of its own, one for the process. The compressor makes memory for
 * all that comes out of it, which has V8 mark the whole heap for every few of them: that of the gateway took it as long as
 * all else that is done with the rows, and that of a thread which does nothing else is next to nothing.
 *
 * States: *none*, without a thread; *working*, while files are written; *idle*, with a thread that keeps no process alive and
 * is ended after a while, since it holds memory. One that fails fails what it has begun, and the next file starts another.
 */
class PackThread {
  #worker: Worker | null = null;
  #idle: NodeJS.Timeout | null = null;
  readonly #streams = new Map<number, PackStream>();
  #lastId = 0;

  open(descriptor: number): PackStream {
    const worker = this.#started();
    const id = ++this.#lastId;
    const stream = new PackStream(
      id,
      (message, memory = []) => worker.postMessage(message, memory),
      () => this.#left(id),
    );
    this.#streams.set(id, stream);
    worker.ref();
    worker.postMessage({ kind: 'open', id, descriptor } satisfies PackMessage);
    return stream;
  }

  #left(id: number): void {
    this.#streams.delete(id);
    if (this.#streams.size > 0) return;
    this.#worker?.unref();
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = null;
      void worker?.terminate();
    }, LIMITS.packIdleMs).unref();
  }

  #started(): Worker {
    if (this.#idle !== null) clearTimeout(this.#idle);
    if (this.#worker !== null) return this.#worker;
    const worker = new Worker(new URL('./pack-worker.ts', import.meta.url), { name: 'rows' });
    worker.on('message', (answer: PackAnswer) => this.#streams.get(answer.id)?.take(answer));
    worker.on('error', (error) =>
      this.#lose(worker, error instanceof Error ? error : new Error(String(error))),
    );
    worker.on('exit', () => this.#lose(worker, new Error('the thread that compresses rows has ended')));
    this.#worker = worker;
    return worker;
  }

  #lose(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    for (const stream of [...this.#streams.values()]) {
      stream.fail(error);
      stream.leave();
    }
  }
}

export const packThread = new PackThread();
