import { Worker } from 'node:worker_threads';
import { LIMITS } from '../../base/limits.ts';
import { notParsed } from '../analyze.ts';
import { type Analysis, READ_OFTEN, type TextFacts } from '../effects.ts';
import { inexact, type WriteSlice } from '../slices/slice.ts';
import { received, type SentSlice } from '../slices/slice-one.ts';
import type { ParseReply, ParseRequest } from './parse-worker.ts';
import type { PlpgsqlReading } from './plpgsql.ts';

interface Job {
  readonly request: ParseRequest;
  readonly done: (answer: ParseReply['answer']) => void;
  readonly failed: (problem: string) => void;
}

export interface ParsePoolOptions {
  readonly timeoutMs?: number;
  readonly idleMs?: number;
  readonly workerUrl?: URL;
}

/**
 * One worker thread and the queue before it. One text is analysed at a time; when it takes too long, or the
 * thread dies, its analysis is `failed`, or it was not read, and a new thread goes on with the next. A thread that has been idle for
 * long is ended, and what it held goes back to the system. Nothing here ever throws.
 */
export class ParsePool {
  readonly #timeoutMs: number;
  readonly #idleMs: number;
  readonly #workerUrl: URL;
  readonly #queue: Job[] = [];
  #queuedBytes = 0;
  #worker: Worker | null = null;
  #running: Job | null = null;
  #timer: NodeJS.Timeout | null = null;
  #idle: NodeJS.Timeout | null = null;
  #nextId = 1;

  constructor(options: ParsePoolOptions = {}) {
    this.#timeoutMs = options.timeoutMs ?? LIMITS.parseTimeoutMs;
    this.#idleMs = options.idleMs ?? LIMITS.parseIdleMs;
    this.#workerUrl = options.workerUrl ?? new URL('./parse-worker.ts', import.meta.url);
  }

  /** Takes a copy of the bytes, which the caller may then reuse. */
  analyze(bytes: Buffer, facts: TextFacts): Promise<Analysis> {
    const copy = new Uint8Array(bytes);
    return new Promise((resolve) => {
      this.#add({
        request: { id: this.#nextId++, bytes: copy, facts },
        done: (answer) => resolve(answer as Analysis),
        failed: (problem) => resolve(failed(problem, copy)),
      });
    });
  }

  /** Reads a CREATE FUNCTION in PL/pgSQL, whose body is between its quotes. */
  readPlpgsql(definition: string, body: string): Promise<PlpgsqlReading> {
    const bytes = new Uint8Array(Buffer.from(definition, 'utf8'));
    return new Promise((resolve) => {
      this.#add({
        request: { id: this.#nextId++, bytes, body },
        done: (answer) => resolve(answer as PlpgsqlReading),
        failed: (why) => resolve({ kind: 'unread', why: `could not be read, because ${why}` }),
      });
    });
  }

  /** Which rows the one statement of a text changes; behind a view there is nothing to be told of them any more. */
  slice(utf8: Buffer): Promise<WriteSlice> {
    const bytes = new Uint8Array(utf8);
    return new Promise((resolve) => {
      this.#add({
        request: { id: this.#nextId++, bytes, slices: true },
        done: (answer) => resolve(received(answer as SentSlice)),
        failed: (why) => resolve(inexact(`its text could not be read, because ${why}`)),
      });
    });
  }

  #add(job: Job): void {
    const { length } = job.request.bytes;
    if (this.#queue.length >= LIMITS.parseQueueMax || this.#queuedBytes + length > LIMITS.parseQueueBytes) {
      job.failed('too many texts wait to be parsed');
      return;
    }
    this.#queuedBytes += length;
    this.#queue.push(job);
    this.#next();
  }

  /** Whether a thread stands ready, at work or not. */
  get hasWorker(): boolean {
    return this.#worker !== null;
  }

  async close(): Promise<void> {
    if (this.#idle !== null) clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = null;
    this.#settle('the gateway is stopping');
    for (const job of this.#queue.splice(0)) job.failed('the gateway is stopping');
    await worker?.terminate();
  }

  #next(): void {
    if (this.#running !== null) return;
    const job = this.#queue.shift();
    if (job === undefined) {
      this.#rest();
      return;
    }
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#running = job;
    this.#worker ??= this.#start();
    this.#worker.ref();
    this.#timer = setTimeout(() => this.#giveUp('parsing took too long'), this.#timeoutMs);
    this.#worker.postMessage(job.request);
  }

  #rest(): void {
    this.#worker?.unref();
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = null;
      void worker?.terminate();
    }, this.#idleMs).unref();
  }

  #start(): Worker {
    const worker = new Worker(this.#workerUrl, {
      resourceLimits: {
        maxOldGenerationSizeMb: LIMITS.parseHeapMb,
        maxYoungGenerationSizeMb: LIMITS.parseYoungHeapMb,
      },
    });
    worker.on('message', (reply: ParseReply) => {
      if (worker === this.#worker && reply.id === this.#running?.request.id)
        this.#finish(freezeDeep(reply.answer));
    });
    const died = () => {
      if (worker === this.#worker) this.#giveUp('the parser failed');
    };
    worker.on('error', died);
    worker.on('exit', died);
    return worker;
  }

  #giveUp(problem: string): void {
    const worker = this.#worker;
    this.#worker = null;
    void worker?.terminate();
    this.#settle(problem);
    this.#next();
  }

  #settle(problem: string): void {
    this.#taken()?.failed(problem);
  }

  #finish(answer: ParseReply['answer']): void {
    this.#taken()?.done(answer);
    this.#next();
  }

  /** What was under way, which is so no longer. */
  #taken(): Job | null {
    const job = this.#running;
    if (job === null) return null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#running = null;
    this.#queuedBytes -= job.request.bytes.length;
    return job;
  }
}

function failed(problem: string, bytes: Uint8Array): Analysis {
  return notParsed(
    'failed',
    problem,
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).utf8Slice(),
  ).analysis;
}

/** What comes from another thread is a copy, which has to be frozen again. */
function freezeDeep<T>(value: T, isReadOften = false): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const [name, inner] of Object.entries(value)) freezeDeep(inner, READ_OFTEN.has(name));
    if (!isReadOften) Object.freeze(value);
  }
  return value;
}
