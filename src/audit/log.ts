import { unreachable } from '../base/assert.ts';
import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { AuditWrite, ControlStore, OpenAuditRecord } from '../store/control-store.ts';
import { lostBlock } from './block-reader.ts';
import { BlockWriter } from './block-writer.ts';
import { Dictionary } from './dictionary.ts';
import type { AuditEntry, AuditLog } from './event.ts';
import { StatementCounts } from './statement-counts.ts';

export interface AuditLogDeps {
  readonly store: ControlStore;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

/**
 * The audit log over a control store. It is in one of three modes.
 *
 * - *Idle*: nothing is encoded that is not durable, and no timer runs.
 * - *Gathering*: events lie in the current block, which is handed on when it is full or LIMITS.auditFlushMs
 *   after its first event. One write is under way at a time; what comes meanwhile makes the next one.
 * - *Failing*: the store refused a write. The same write is tried again until it succeeds; all is kept, and
 *   `saturated` stays true, so that no client is read before the record can be kept again.
 */
export class StoredAuditLog implements AuditLog {
  /** A plain field, since the path of every byte reads it. */
  saturated = false;

  readonly #deps: AuditLogDeps;
  readonly #dictionary = new Dictionary();
  readonly #block = new BlockWriter(this.#dictionary);
  readonly #openWriter = new BlockWriter(this.#dictionary);
  readonly #counts: StatementCounts;
  #nextSeq: number;
  #nextOpenId: number;

  /** Statements begun and not ended; the number of their record in the store, or 0 where there is none yet. */
  readonly #open = new Map<AuditEntry, number>();
  #begun: AuditEntry[] = [];
  #closed: number[] = [];

  #queue: AuditWrite[] = [];
  #queuedBytes = 0;
  #writing = false;
  #failing = false;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #drained: (() => void)[] = [];
  #flushed: ((durable: boolean) => void)[] = [];

  /** Goes on where the stored audit ends; what an earlier run had begun and not ended is recorded as lost. */
  static async open(deps: AuditLogDeps): Promise<StoredAuditLog> {
    const head = await deps.store.auditHead();
    const log = new StoredAuditLog(deps, head.lastSeq + 1, (head.open.at(-1)?.id ?? 0) + 1);
    if (head.open.length > 0) {
      const blocks = head.open.map((record) => lostBlock(record.bytes, log.#nextSeq++));
      const closed = head.open.map((record) => record.id);
      await deps.store.appendAudit({ blocks, opened: [], closed });
      deps.log.info({ statements: head.open.length }, 'statements of an earlier run are recorded as lost');
    }
    return log;
  }

  private constructor(deps: AuditLogDeps, nextSeq: number, nextOpenId: number) {
    this.#deps = deps;
    this.#counts = new StatementCounts(deps.metrics);
    this.#nextSeq = nextSeq;
    this.#nextOpenId = nextOpenId;
  }

  /** Whether the last write reached the store; the gateway is not ready while it did not. */
  get healthy(): boolean {
    return !this.#failing;
  }

  begin(entry: AuditEntry): void {
    const grave = isGrave(entry);
    if (grave === 'no') return;
    this.#open.set(entry, 0);
    this.#begun.push(entry);
    this.#armTimer();
    if (grave === 'very') this.#immediate ??= setImmediate(() => this.#flushNow());
  }

  finish(entry: AuditEntry): void {
    if (!this.#block.append(entry)) {
      this.#seal();
      if (!this.#block.append(entry)) throw new Error('one event fits an empty block');
      this.#pump();
    }
    if (this.#open.size > 0) {
      const openId = this.#open.get(entry);
      if (openId !== undefined) {
        this.#open.delete(entry);
        if (openId > 0) this.#closed.push(openId);
      }
    }
    if (entry.protocol !== 'admin') this.#counts.count(entry);
    this.#armTimer();
  }

  onceDrained(callback: () => void): void {
    if (this.saturated) this.#drained.push(callback);
    else queueMicrotask(callback);
  }

  /** Resolves when all events so far are durable, or with false as soon as the store fails. */
  flush(): Promise<boolean> {
    if (this.#failing) return Promise.resolve(false);
    this.#flushNow(Number.POSITIVE_INFINITY);
    if (!this.#writing) return Promise.resolve(true);
    return new Promise((resolve) => this.#flushed.push(resolve));
  }

  /** Records what is still open as lost, and waits until all is durable, or the store has failed for too long. */
  async close(): Promise<void> {
    for (const entry of [...this.#open.keys()]) {
      entry.end = 'lost';
      this.finish(entry);
    }
    const deadlineMs = nowMs() + LIMITS.auditCloseMs;
    while (!(await this.flush()) && nowMs() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, LIMITS.auditRetryMs));
    }
    clearTimeout(this.#timer);
    if (this.#failing)
      this.#deps.log.error({ bytes: this.#queuedBytes }, 'audit events are lost: the store failed');
  }

  #armTimer(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#flushNow(), LIMITS.auditFlushMs);
    this.#timer.unref();
    this.#deps.metrics.auditQueuedSinceMs ??= nowMs();
  }

  #flushNow(youngSinceMs?: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
    this.#seal(youngSinceMs);
    this.#pump();
  }

  /** Moves what was gathered to the queue. */
  #seal(youngSinceMs = nowMs() - LIMITS.auditFlushMs): void {
    const opened = this.#recordOpen(youngSinceMs);
    const closed = this.#closed;
    if (this.#block.events === 0 && opened.length === 0 && closed.length === 0) return;
    const { metrics } = this.#deps;
    const blocks = [];
    if (this.#block.events > 0) {
      const block = this.#block.seal(this.#nextSeq);
      this.#nextSeq = block.lastSeq + 1;
      blocks.push(block);
      metrics.auditBlocks++;
      metrics.auditEvents += block.lastSeq - block.firstSeq + 1;
    }
    this.#closed = [];
    const write = { blocks, opened, closed };
    this.#queue.push(write);
    this.#queuedBytes += sizeOf(write);
    metrics.auditQueueBytes = this.#queuedBytes;
    this.#updateSaturated();
  }

  /**
   * Those that began lately and have not ended: most have, and cost no more than this look. What has only just begun
   * is likely to end before the next time, and is looked at then, unless it is of the worst.
   */
  #recordOpen(youngSinceMs: number): OpenAuditRecord[] {
    if (this.#begun.length === 0) return [];
    const opened: OpenAuditRecord[] = [];
    const young: AuditEntry[] = [];
    for (const entry of this.#begun) {
      // An object that is used again is here twice, and has its record after the first time.
      if (this.#open.get(entry) !== 0) continue;
      if (entry.startedAtMs > youngSinceMs && isGrave(entry) !== 'very') {
        young.push(entry);
        continue;
      }
      const id = this.#nextOpenId++;
      this.#open.set(entry, id);
      this.#openWriter.append(asBegun(entry));
      opened.push({ id, bytes: this.#openWriter.seal(0).bytes });
    }
    this.#begun = young;
    if (young.length > 0) this.#armTimer();
    return opened;
  }

  #pump(): void {
    if (this.#writing || this.#queue.length === 0) return;
    const write = joined(this.#queue);
    this.#queue = [];
    this.#writing = true;
    void this.#write(write);
  }

  async #write(write: AuditWrite): Promise<void> {
    const { store, log, metrics } = this.#deps;
    for (let waitMs: number = LIMITS.auditRetryMs; ; waitMs = Math.min(waitMs * 2, LIMITS.auditRetryMaxMs)) {
      try {
        await store.appendAudit(write);
        break;
      } catch (error) {
        metrics.auditFailures++;
        if (!this.#failing) log.error({ error }, 'the audit cannot be written; clients wait until it can');
        this.#failing = true;
        this.#updateSaturated();
        this.#settleFlushes(false);
        await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
      }
    }
    this.#writing = false;
    this.#queuedBytes -= sizeOf(write);
    metrics.auditQueueBytes = this.#queuedBytes;
    if (this.#failing) log.info({}, 'the audit is being written again');
    this.#failing = false;
    this.#pump();
    if (!this.#writing) {
      metrics.auditQueuedSinceMs = this.#timer === undefined ? null : nowMs();
      this.#settleFlushes(true);
    }
    this.#updateSaturated();
  }

  #settleFlushes(durable: boolean): void {
    const flushed = this.#flushed;
    this.#flushed = [];
    for (const settle of flushed) settle(durable);
  }

  /** Saturated at the limit and drained at half of it, so that sessions do not stop and start at every block. */
  #updateSaturated(): void {
    const limit = this.saturated ? LIMITS.auditQueueBytes / 2 : LIMITS.auditQueueBytes;
    this.saturated = this.#failing || this.#queuedBytes > limit;
    if (this.saturated) return;
    const drained = this.#drained;
    this.#drained = [];
    for (const callback of drained) callback();
  }
}

/**
 * Whether the fact that a statement was sent must outlive the process: not of what is harmless and allowed; of
 * what destroys at once, and not only when the block is handed on.
 */
function isGrave(entry: AuditEntry): 'no' | 'yes' | 'very' {
  const { risk, action } = entry.decision;
  switch (risk) {
    case 'safe':
    case 'low':
      return action === 'allow' ? 'no' : 'yes';
    case 'high':
      return 'yes';
    case 'critical':
    case 'forbidden':
      return 'very';
    default:
      return unreachable(risk);
  }
}

/** As it is recorded before its outcome is known, and stays should that never come. */
function asBegun(entry: AuditEntry): AuditEntry {
  return { ...entry, end: 'lost', durationMs: -1, rows: -1, sqlstate: null, transactionStatus: '?' };
}

function joined(writes: readonly AuditWrite[]): AuditWrite {
  if (writes.length === 1) return writes[0]!;
  return {
    blocks: writes.flatMap((write) => write.blocks),
    opened: writes.flatMap((write) => write.opened),
    closed: writes.flatMap((write) => write.closed),
  };
}

function sizeOf(write: AuditWrite): number {
  let bytes = 0;
  for (const block of write.blocks) bytes += block.bytes.length;
  for (const record of write.opened) bytes += record.bytes.length;
  return bytes;
}
