import { nowMs } from '../base/clock.ts';
import { withinMs } from '../base/deadline.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';

export interface StorageWatchDeps {
  /** Where the blobs are, as people name it. */
  readonly place: string;
  /** Writes so many bytes there, and takes them away again. */
  readonly probe: (bytes: number) => Promise<void>;
  readonly metrics: Pick<Metrics, 'snapshotStorageFailing' | 'snapshotStorageFailures'>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** Since when, and by what, the storage takes nothing. */
export interface StorageTrouble {
  readonly sinceMs: number;
  readonly error: HoldfastError;
  /** It does not answer, so that whatever is written waits. */
  readonly stalls: boolean;
}

export interface StorageWatchTimes {
  /** How long a write may take until it is asked whether the storage answers at all, and how long that may take. */
  readonly doubtedMs: number;
  /** How soon a storage that fails is tried again, and how late at last. */
  readonly retryMs: number;
  readonly retryMaxMs: number;
  /** What has worked for so long is tried as soon as that again. */
  readonly steadyMs: number;
}

const TIMES = { doubtedMs: 2_500, retryMs: 5_000, retryMaxMs: 10_000, steadyMs: 60_000 };
/** Each request to a bucket is paid for, and may well take longer. */
const TIMES_OF_S3 = { ...TIMES, doubtedMs: 5_000, retryMaxMs: 60_000 };
/** A disk may have room for little and none for what there was to write. */
const PROBE_BYTES_MIN = 64;
const PROBE_BYTES_MAX = 1024 * 1024;

interface Call {
  readonly sinceMs: number;
  readonly bytes: () => number;
  doubtedMs: number;
}

/**
 * Knows whether the storage of the snapshots works, by what becomes of the writes that are made anyway: as long as these
 * succeed in time, nothing is asked. It is in one of three modes.
 *
 * - *Working*.
 * - *Doubted*: a write has failed, or has taken long. As much as that is written as a probe, which says whether it was the
 *   storage: one write of many that fails, or one that is only long, is not told to anybody.
 * - *Failing*: the probe has failed, or is not answered. It is repeated, later and later, until it succeeds, so that this
 *   ends without anybody writing anything. What others write meanwhile may succeed by being small, and ends nothing; it only
 *   has the probe repeated sooner.
 *
 * Invariant: one probe is under way at a time, and none while it works.
 */
export class StorageWatch {
  readonly place: string;
  readonly #deps: StorageWatchDeps;
  readonly #times: StorageWatchTimes;
  /** The oldest first. */
  readonly #calls = new Set<Call>();
  #looking: NodeJS.Timeout | null = null;
  #trouble: StorageTrouble | null = null;
  #probing = false;
  #probedMs = Number.NEGATIVE_INFINITY;
  #probeBytes = PROBE_BYTES_MIN;
  #waitMs: number;
  #workingSinceMs = Number.NEGATIVE_INFINITY;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(deps: StorageWatchDeps, kind: 'file' | 's3', times?: StorageWatchTimes) {
    this.#deps = deps;
    this.place = deps.place;
    this.#times = times ?? (kind === 's3' ? TIMES_OF_S3 : TIMES);
    this.#waitMs = this.#times.retryMs;
  }

  /** Null while it works. */
  get trouble(): StorageTrouble | null {
    return this.#trouble;
  }

  /** Passes on what becomes of a write; `bytes` says how many it is about, `isGivenUp` whether nobody wants it any more. */
  async write<T>(
    bytes: () => number,
    write: () => Promise<T>,
    isGivenUp: () => boolean = () => false,
  ): Promise<T> {
    const call = { sinceMs: nowMs(), bytes, doubtedMs: this.#times.doubtedMs };
    this.#calls.add(call);
    this.#looking ??= setTimeout(() => this.#look(), this.#times.doubtedMs).unref();
    try {
      const value = await write();
      if (this.#trouble !== null) this.#tryAgainSoon();
      return value;
    } catch (error) {
      if (isOfStorage(error) && !isGivenUp()) {
        this.#deps.metrics.snapshotStorageFailures++;
        this.#doubt(error, nowMs(), bytes());
      }
      throw error;
    } finally {
      this.#calls.delete(call);
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#looking !== null) clearTimeout(this.#looking);
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  /** Runs while anything is under way, and costs those that are quick nothing. */
  #look(): void {
    this.#looking = null;
    const [oldest] = this.#calls;
    if (oldest === undefined || this.#closed) return;
    this.#looking = setTimeout(() => this.#look(), this.#times.doubtedMs / 2).unref();
    // What was shown to work a moment ago is slow, and each request to a bucket is paid for.
    const isShownToWork = nowMs() - this.#workingSinceMs < this.#times.doubtedMs;
    if (nowMs() - oldest.sinceMs < oldest.doubtedMs || isShownToWork) return;
    oldest.doubtedMs *= 2;
    this.#doubt(this.#unanswered(), oldest.sinceMs, oldest.bytes());
  }

  #doubt(error: HoldfastError, sinceMs: number, bytes: number): void {
    if (this.#trouble !== null || this.#probing || this.#closed) return;
    if (nowMs() - this.#workingSinceMs > this.#times.steadyMs) this.#waitMs = this.#times.retryMs;
    this.#probeBytes = Math.min(Math.max(bytes, PROBE_BYTES_MIN), PROBE_BYTES_MAX);
    void this.#probe({ sinceMs, error, stalls: false });
  }

  async #probe(doubted: StorageTrouble): Promise<void> {
    const { probe, log, metrics } = this.#deps;
    const { doubtedMs } = this.#times;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#probing = true;
    this.#probedMs = nowMs();
    const probing = probe(this.#probeBytes);
    const late = () => new Unanswered();
    try {
      await withinMs(doubtedMs, probing, late).catch(async (error: unknown) => {
        if (!(error instanceof Unanswered)) throw error;
        this.#fails({ ...doubted, error: this.#unanswered(), stalls: true });
        // It is as good as the next one, and would only have another wait behind it.
        await probing;
      });
      if (this.#trouble === null)
        log.warn({ error: doubted.error }, 'one write of a snapshot failed or took long');
      else log.info({ storage: this.place }, 'snapshots can be stored again');
      metrics.snapshotStorageFailing = 0;
      this.#trouble = null;
      this.#workingSinceMs = nowMs();
    } catch (error) {
      if (this.#closed) return;
      this.#fails({ ...doubted, error: isOfStorage(error) ? error : doubted.error, stalls: false });
      this.#retry = setTimeout(() => void this.#probe(doubted), this.#waitMs).unref();
      this.#waitMs = Math.min(this.#waitMs * 2, this.#times.retryMaxMs);
    } finally {
      this.#probing = false;
    }
  }

  #fails(trouble: StorageTrouble): void {
    const { log, metrics } = this.#deps;
    if (this.#trouble === null && !this.#closed) {
      const { error } = trouble;
      const facts = { storage: this.place, error, detail: error.detail, hint: error.hint };
      log.error(facts, 'snapshots cannot be stored; until they can, statements that need one are refused');
    }
    metrics.snapshotStorageFailing = 1;
    this.#trouble = trouble;
  }

  /** Something has been written: it may work again. */
  #tryAgainSoon(): void {
    if (this.#probing || this.#closed || this.#retry === null) return;
    if (nowMs() - this.#probedMs >= this.#times.retryMs) void this.#probe(this.#trouble!);
  }

  #unanswered(): HoldfastError {
    return new HoldfastError('BLOBS_FAILED', 'the snapshots storage does not answer', {
      hint: 'See whether its disk or server answers at all.',
    });
  }
}

class Unanswered extends Error {}

const OF_STORAGE: ReadonlySet<string> = new Set(['BLOBS_FULL', 'BLOBS_REFUSED', 'BLOBS_FAILED']);

/** Whether it says that the storage does not take what it is given. */
function isOfStorage(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && OF_STORAGE.has(error.code);
}
