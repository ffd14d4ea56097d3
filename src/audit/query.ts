import { Worker } from 'node:worker_threads';
import { nowMs } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { ControlStore } from '../store/control-store.ts';
import type { AuditFilter } from './filter.ts';
import type { RecordedEvent } from './recorded-event.ts';
import type { Scan } from './scan.ts';
import type { FoundMessage, ScanMessage } from './scan-worker.ts';

export interface AuditPage {
  readonly filter: AuditFilter;
  /** The `next` of the page before, or null for the newest events. */
  readonly cursor: string | null;
  readonly limit: number;
}

export interface AuditPageFound {
  readonly items: readonly RecordedEvent[];
  /** Where to go on. A page may be short and still have a next one: a search stops after LIMITS.auditSearchMs. */
  readonly next: string | null;
}

export interface AuditQueryDeps {
  readonly store: ControlStore;
  /** Makes what has happened so far readable. */
  readonly log: { flush(): Promise<boolean> };
}

interface Waiting {
  resolve(found: readonly RecordedEvent[]): void;
  reject(error: HoldfastError): void;
}

const BEYOND_ALL_SEQS = Number.MAX_SAFE_INTEGER;

/** Searches the audit, newest first. */
export class AuditQuery {
  readonly #deps: AuditQueryDeps;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;

  constructor(deps: AuditQueryDeps) {
    this.#deps = deps;
  }

  async search(page: AuditPage): Promise<AuditPageFound> {
    // A store that fails has what was written before; that is worth seeing just then.
    if (page.cursor === null) await this.#deps.log.flush();
    const { filter, limit } = page;
    const deadlineMs = nowMs() + LIMITS.auditSearchMs;
    const items: RecordedEvent[] = [];
    let beforeSeq = page.cursor === null ? BEYOND_ALL_SEQS : seqOf(page.cursor);
    for (;;) {
      const blocks = await this.#deps.store.readAudit({
        beforeSeq,
        sinceMs: filter.sinceMs ?? Number.MIN_SAFE_INTEGER,
        untilMs: filter.untilMs ?? Number.MAX_SAFE_INTEGER,
        bytesMax: LIMITS.auditSearchBytes,
      });
      const oldest = blocks.at(-1);
      if (oldest === undefined) return { items, next: null };
      items.push(...(await this.#scan({ blocks, filter, beforeSeq, limit: limit - items.length })));
      if (items.length === limit) return { items, next: nextAfter(Number(items.at(-1)!.id)) };
      beforeSeq = oldest.firstSeq;
      if (nowMs() > deadlineMs) return { items, next: nextAfter(beforeSeq) };
    }
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #scan(scan: Scan): Promise<readonly RecordedEvent[]> {
    this.#worker ??= this.#start();
    const id = ++this.#lastId;
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, ...scan } satisfies ScanMessage);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL('./scan-worker.ts', import.meta.url), { name: 'audit search' });
    worker.unref();
    worker.on('message', (answer: FoundMessage) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('found' in answer) waiting?.resolve(answer.found);
      else waiting?.reject(new HoldfastError('STORE_FAILED', `the audit cannot be read: ${answer.problem}`));
    });
    worker.on('error', (cause) => this.#lose(worker, cause));
    worker.on('exit', () => this.#lose(worker));
    return worker;
  }

  /** The next search starts another one. */
  #lose(worker: Worker, cause?: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const waiting of this.#waiting.values()) {
      waiting.reject(new HoldfastError('INTERNAL', 'the search of the audit was stopped', { cause }));
    }
    this.#waiting.clear();
  }
}

function nextAfter(seq: number): string | null {
  return seq <= 1 ? null : String(seq);
}

function seqOf(cursor: string): number {
  const seq = /^[1-9]\d{0,15}$/.test(cursor) ? Number(cursor) : Number.NaN;
  if (!Number.isSafeInteger(seq)) throw new HoldfastError('NOT_FOUND', 'there is no such cursor');
  return seq;
}
