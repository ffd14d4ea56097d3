import { Worker } from 'node:worker_threads';
import { ownCopy } from '../base/own-copy.ts';
import type { PutAnswer, PutMessage } from './put-worker.ts';

interface Waiting {
  resolve(created: boolean): void;
  reject(error: Error): void;
}

/**
 * Puts small blobs into folders from a thread of its own, one for the process. To make one durable takes about fifteen
 * calls to the file system, of which only the syncs last; through Node's thread pool each would cost two changes of
 * thread, together several times as long as the disk. Several that wait are synced side by side.
 *
 * States: *idle*, without a thread or with one that keeps no process alive; *working*, while puts wait for answers. A
 * thread that fails rejects these, and the next put starts another.
 */
class PutThread {
  #worker: Worker | null = null;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  /** Whether it was created, durably; rejects with the code that the file system gave. */
  putIfAbsent(root: string, key: string, bytes: Uint8Array): Promise<boolean> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const worker = this.#started();
      this.#waiting.set(id, { resolve, reject });
      worker.ref();
      // A short Buffer would take all the memory along that it shares with others.
      const own = ownCopy(bytes);
      worker.postMessage({ id, root, key, bytes: own } satisfies PutMessage, [own.buffer as ArrayBuffer]);
    });
  }

  /** Makes the folder of a put ahead of it, in the background. */
  expect(root: string, key: string): void {
    const worker = this.#started();
    if (this.#waiting.size === 0) worker.unref();
    worker.postMessage({ id: 0, root, key, bytes: null } satisfies PutMessage);
  }

  #started(): Worker {
    if (this.#worker !== null) return this.#worker;
    const worker = new Worker(new URL('./put-worker.ts', import.meta.url), { name: 'blobs' });
    worker.on('message', (answer: PutAnswer) => this.#settle(answer));
    worker.on('error', (error) =>
      this.#lose(worker, error instanceof Error ? error : new Error(String(error))),
    );
    worker.on('exit', () => this.#lose(worker, new Error('the thread that writes blobs has ended')));
    this.#worker = worker;
    return worker;
  }

  #settle(answer: PutAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker?.unref();
    if (answer.ok) waiting?.resolve(answer.created);
    else waiting?.reject(Object.assign(new Error(answer.message), { code: answer.code }));
  }

  #lose(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    const lost = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of lost) reject(error);
  }
}

export const putThread = new PutThread();
