import { unreachable } from '../base/assert.ts';
import { nowMs } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { AuditWrite, ControlStore } from '../store/control-store.ts';
import { lostBlock } from './block-reader.ts';
import { BlockWriter } from './block-writer.ts';
import { Dictionary } from './dictionary.ts';
import type { AuditEntry, AuditLog, AuditSession } from './event.ts';
import { OpenRecords } from './open-records.ts';
import { StatementCounts } from './statement-counts.ts';

export interface AuditLogDeps {
  readonly store: ControlStore;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

/** A write that takes longer is told by /readyz, and counts as failed in the end; most take a few milliseconds. */
const PATIENCE: Patience = { toldMs: 5_000, failedMs: LIMITS.auditRecordMs };

interface Patience {
  readonly toldMs: number;
  readonly failedMs: number;
}

/**
 * The audit log over a control store. It is in one of three modes.
 *
 * - *Idle*: nothing is encoded that is not durable, and no timer runs.
 * - *Gathering*: events lie in the current block, which is handed on when it is full or LIMITS.auditFlushMs
 *   after its first event. One write is under way at a time; what comes meanwhile makes the next one.
 * - *Failing*: the store refused a write, or has not answered it for long. It is tried until it succeeds; all is kept. Sessions refuse what changes something, and read on until the queue is full.
 */
export class StoredAuditLog implements AuditLog {
  /** A plain field, since the path of every byte reads it. */
  saturated = false;
  failing = false;

  readonly #deps: AuditLogDeps;
  readonly #patience: Patience;
  readonly #dictionary = new Dictionary();
  readonly #block = new BlockWriter(this.#dictionary);
  readonly #counts: StatementCounts;
  #nextSeq: number;

  /** Statements begun since the last seal; most of them have ended by the next. */
  #begun: AuditEntry[] = [];
  /** Those that had not have a record in the store, one for all of a seal. */
  readonly #open: OpenRecords;

  /** Statements begun so far, and how many of them are in the queue or durable. */
  #begins = 0;
  #sealedBegins = 0;
  /** The last statement that a session has begun, by its id, as long as that is not durable. */
  readonly #unrecorded = new Map<string, number>();
  #recordWaiters: { readonly begins: number; readonly settle: (recorded: boolean) => void }[] = [];
  #workWaiters: (() => void)[] = [];

  #queue: AuditWrite[] = [];
  #queuedBytes = 0;
  #writing = false;
  /** When the write under way was begun, by the clock that nobody sets. */
  #writingSinceMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #drained: (() => void)[] = [];
  #flushed: ((durable: boolean) => void)[] = [];

  /** Goes on where the stored audit ends; what an earlier run had begun and not ended is recorded as lost. */
  static async open(deps: AuditLogDeps, patience = PATIENCE): Promise<StoredAuditLog> {
    const head = await deps.store.auditHead();
    const log = new StoredAuditLog(deps, patience, head.lastSeq + 1, head.open.at(-1)?.id ?? 0);
    if (head.open.length > 0) {
      const blocks = head.open.map((record) => {
        const block = lostBlock(record.bytes, log.#nextSeq);
        log.#nextSeq = block.lastSeq + 1;
        return block;
      });
      const closed = head.open.map((record) => record.id);
      await deps.store.appendAudit({ blocks, opened: [], closed });
      const statements = log.#nextSeq - head.lastSeq - 1;
      deps.log.info({ statements }, 'statements of an earlier run are recorded as lost');
    }
    return log;
  }

  private constructor(deps: AuditLogDeps, patience: Patience, nextSeq: number, lastOpenId: number) {
    this.#deps = deps;
    this.#patience = patience;
    this.#counts = new StatementCounts(deps.metrics);
    this.#nextSeq = nextSeq;
    this.#open = new OpenRecords(this.#dictionary, lastOpenId);
  }

  /** Whether writes reach the store, and in time; the gateway is not ready while they do not. */
  get healthy(): boolean {
    return !this.failing && !(this.#writing && nowMs() - this.#writingSinceMs > this.#patience.toldMs);
  }

  begin(entry: AuditEntry): void {
    const grave = isGrave(entry);
    if (grave === 'no') return;
    if (entry.openId !== undefined && entry.openId > 0) this.#open.left(entry.openId);
    entry.openId = 0;
    this.#begun.push(entry);
    this.#unrecorded.set(entry.session.id, ++this.#begins);
    this.#armTimer();
    if (grave === 'very') this.#flushSoon();
  }

  withdraw(entry: AuditEntry): void {
    this.#leave(entry);
  }

  isRecorded({ id }: AuditSession): boolean {
    return !this.#unrecorded.has(id);
  }

  abandon({ id }: AuditSession): void {
    this.#unrecorded.delete(id);
  }

  async whenRecorded({ id }: AuditSession): Promise<boolean> {
    const begins = this.#unrecorded.get(id);
    if (begins === undefined) return true;
    if (this.failing) return false;
    this.#flushSoon();
    return await withinMs(LIMITS.auditRecordMs, (settle) => this.#recordWaiters.push({ begins, settle }));
  }

  async whenWorking(): Promise<boolean> {
    if (!this.failing) return true;
    return await withinMs(LIMITS.auditRefuseMs, (settle) => this.#workWaiters.push(() => settle(true)));
  }

  finish(entry: AuditEntry): void {
    if (!this.#block.append(entry)) {
      this.#seal();
      if (!this.#block.append(entry)) throw new Error('one event fits an empty block');
      this.#pump();
    }
    this.#leave(entry);
    if (entry.protocol !== 'admin') this.#counts.count(entry);
    this.#armTimer();
  }

  /** It is under way no longer. */
  #leave(entry: AuditEntry): void {
    const { openId } = entry;
    if (openId === undefined || openId < 0) return;
    entry.openId = -1;
    if (openId === 0) return;
    this.#open.left(openId);
    this.#armTimer();
  }

  onceDrained(callback: () => void): void {
    if (this.saturated) this.#drained.push(callback);
    else queueMicrotask(callback);
  }

  /** Resolves when all events so far are durable, or with false as soon as the store fails. */
  flush(): Promise<boolean> {
    if (this.failing) return Promise.resolve(false);
    this.#flushNow();
    if (!this.#writing) return Promise.resolve(true);
    return new Promise((resolve) => this.#flushed.push(resolve));
  }

  /** Records what is still open as lost, and waits until all is durable, or the store has failed for too long. */
  async close(): Promise<void> {
    // An object that is used again may have begun twice since the last seal, and has ended once.
    const running = new Set(this.#begun.filter(({ openId }) => openId === 0));
    for (const entry of [...this.#open.running(), ...running]) {
      entry.end = 'lost';
      this.finish(entry);
    }
    const deadlineMs = nowMs() + LIMITS.auditCloseMs;
    const flushed = async () => {
      const leftMs = Math.max(deadlineMs - nowMs(), 0);
      return await withinMs(leftMs, (settle) => void this.flush().then(settle));
    };
    let isDurable = await flushed();
    while (!isDurable && nowMs() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, LIMITS.auditRetryMs));
      isDurable = await flushed();
    }
    clearTimeout(this.#timer);
    if (!isDurable)
      this.#deps.log.error({ bytes: this.#queuedBytes }, 'audit events are lost: the store failed');
  }

  #armTimer(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#flushNow(), LIMITS.auditFlushMs);
    this.#timer.unref();
    this.#deps.metrics.auditQueuedSinceMs ??= nowMs();
  }

  /** All that begins in this turn of the loop goes in one write. */
  #flushSoon(): void {
    this.#immediate ??= setImmediate(() => this.#flushNow());
  }

  #flushNow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
    this.#seal();
    this.#pump();
  }

  /** Moves what was gathered to the queue: all of it, or where something throws, nothing. */
  #seal(): void {
    const recording = this.#open.encode(this.#begun);
    const blocks = this.#block.events > 0 ? [this.#block.seal(this.#nextSeq)] : [];
    this.#open.keep(recording);
    if (this.#begun.length > 0) this.#begun = [];
    this.#sealedBegins = this.#begins;
    const { opened, closed } = recording;
    if (blocks.length === 0 && opened.length === 0 && closed.length === 0) return;
    const { metrics } = this.#deps;
    for (const block of blocks) {
      this.#nextSeq = block.lastSeq + 1;
      metrics.auditBlocks++;
      metrics.auditEvents += block.lastSeq - block.firstSeq + 1;
    }
    const write = { blocks, opened, closed };
    this.#queue.push(write);
    this.#queuedBytes += sizeOf(write);
    metrics.auditQueueBytes = this.#queuedBytes;
    this.#updateSaturated();
  }

  #pump(): void {
    if (this.#writing || this.#queue.length === 0) return;
    const write = joined(this.#queue);
    this.#queue = [];
    this.#writing = true;
    void this.#write(write, this.#sealedBegins);
  }

  async #write(write: AuditWrite, begins: number): Promise<void> {
    const { store, log, metrics } = this.#deps;
    this.#writingSinceMs = nowMs();
    const { failedMs } = this.#patience;
    // An error is made only where it is told, since it costs more than all else that is done here.
    const late = () =>
      new HoldfastError('STORE_FAILED', `the store has not answered a write for ${failedMs} ms`);
    const stalled = setTimeout(() => this.#fail(late()), failedMs).unref();
    for (let waitMs: number = LIMITS.auditRetryMs; ; waitMs = Math.min(waitMs * 2, LIMITS.auditRetryMaxMs)) {
      try {
        await store.appendAudit(write);
        break;
      } catch (error) {
        this.#fail(error);
        await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
      }
    }
    clearTimeout(stalled);
    this.#writing = false;
    this.#queuedBytes -= sizeOf(write);
    metrics.auditQueueBytes = this.#queuedBytes;
    if (this.failing) log.info({}, 'the audit is being written again');
    this.failing = false;
    this.#noteRecorded(begins);
    for (const goOn of this.#workWaiters.splice(0)) goOn();
    this.#pump();
    if (!this.#writing) {
      metrics.auditQueuedSinceMs = this.#timer === undefined ? null : nowMs();
      this.#settleFlushes(true);
    }
    this.#updateSaturated();
  }

  #fail(error: unknown): void {
    const { log, metrics } = this.#deps;
    metrics.auditFailures++;
    if (!this.failing) log.error({ error }, 'the audit cannot be written; until it can, only reads go on');
    this.failing = true;
    this.#settleFlushes(false);
    this.#settleRecordWaiters(Number.POSITIVE_INFINITY, false);
  }

  #settleFlushes(durable: boolean): void {
    const flushed = this.#flushed;
    this.#flushed = [];
    for (const settle of flushed) settle(durable);
  }

  #noteRecorded(begins: number): void {
    for (const [id, last] of this.#unrecorded) if (last <= begins) this.#unrecorded.delete(id);
    this.#settleRecordWaiters(begins, true);
  }

  #settleRecordWaiters(begins: number, recorded: boolean): void {
    if (this.#recordWaiters.length === 0) return;
    const due = this.#recordWaiters.filter((waiter) => waiter.begins <= begins);
    this.#recordWaiters = this.#recordWaiters.filter((waiter) => waiter.begins > begins);
    for (const { settle } of due) settle(recorded);
  }

  /** Saturated at the limit and drained at half of it, so that sessions do not stop and start at every block. */
  #updateSaturated(): void {
    const limit = this.saturated ? LIMITS.auditQueueBytes / 2 : LIMITS.auditQueueBytes;
    this.saturated = this.#queuedBytes > limit;
    if (this.saturated) return;
    const drained = this.#drained;
    this.#drained = [];
    for (const callback of drained) callback();
  }
}

/** What settles a promise of its own, or false when the time is over. */
async function withinMs(limitMs: number, ask: (settle: (value: boolean) => void) => void): Promise<boolean> {
  return await new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), limitMs);
    ask((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

/**
 * Whether the fact that a statement was sent must outlive the process: not of what is harmless and allowed; of
 * what destroys at once, and not only when the block is handed on.
 */
function isGrave(entry: AuditEntry): 'no' | 'yes' | 'very' {
  const { risk, action } = entry.decision;
  if (entry.onlyReads === true) return 'no';
  switch (risk) {
    case 'safe':
      return action === 'allow' ? 'no' : 'yes';
    case 'low':
    case 'high':
      return 'yes';
    case 'critical':
    case 'forbidden':
      return 'very';
    default:
      return unreachable(risk);
  }
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
