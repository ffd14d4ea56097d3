import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { StorageWatch } from '../../src/blobs/storage-watch.ts';
import { eventually } from '../support/process-facts.ts';

const FULL = new HoldfastError('BLOBS_FULL', 'full', { hint: 'Make room.' });
const DOUBTED_MS = 40;
const TIMES = { doubtedMs: DOUBTED_MS, retryMs: 40, retryMaxMs: 80, steadyMs: 10_000 };

describe('what is known of a storage', () => {
  let metrics: Metrics;
  let said: string[];
  let probes: number[];
  /** What becomes of a probe. */
  let answer: () => Promise<void>;
  let watch: StorageWatch;
  beforeEach(() => {
    metrics = new Metrics();
    [said, probes] = [[], []];
    answer = async () => {};
    const log = ['info', 'warn', 'error'].map((level) => [
      level,
      (_facts: unknown, message: string) => void said.push(`${level}: ${message}`),
    ]);
    const probe = async (bytes: number) => {
      probes.push(bytes);
      await answer();
    };
    watch = new StorageWatch({ place: '/disk', probe, metrics, log: Object.fromEntries(log) }, 'file', TIMES);
  });
  afterEach(() => watch.close());

  const rejected = async (error: unknown, bytes = 0) =>
    await watch
      .write(
        () => bytes,
        () => Promise.reject(error),
      )
      .catch(() => {});
  const works = async () =>
    await eventually('it works', async () => (watch.trouble === null ? null : 'it does not'));
  const fails = async () =>
    await eventually('it fails', async () => (watch.trouble === null ? 'it works' : null));

  it('asks nothing while writes succeed', async () => {
    for (let i = 0; i < 100; i++)
      await watch.write(
        () => 1,
        async () => {},
      );
    await sleep(3 * DOUBTED_MS);
    expect([probes, said, watch.trouble]).toEqual([[], [], null]);
  });

  it('tells nobody of one write that failed where as much as that can be written', async () => {
    await rejected(FULL, 300_000);
    await eventually('it was asked', async () => (said.length > 0 ? null : 'it was not'));
    expect([probes, watch.trouble]).toEqual([[300_000], null]);
    expect(metrics).toMatchObject({ snapshotStorageFailures: 1, snapshotStorageFailing: 0 });
    expect(said).toEqual(['warn: one write of a snapshot failed or took long']);
  });

  it('fails with the probe, and works again with it, whatever else is written', async () => {
    answer = () => Promise.reject(FULL);
    const beganMs = Date.now();
    await rejected(FULL, 10_000_000);
    await fails();
    expect(watch.trouble).toMatchObject({ error: FULL });
    expect(watch.trouble!.sinceMs).toBeGreaterThan(beganMs - 100);
    expect(metrics.snapshotStorageFailing).toBe(1);
    // What is small has room yet, and fails as often as not.
    for (let i = 0; i < 3; i++) {
      await watch.write(
        () => 1,
        async () => {},
      );
      await rejected(FULL, 1);
      await sleep(20);
    }
    expect(watch.trouble).not.toBe(null);
    answer = async () => {};
    await works();
    expect(new Set(probes)).toEqual(new Set([1024 * 1024]));
    expect(said).toEqual([
      'error: snapshots cannot be stored; until they can, statements that need one are refused',
      'info: snapshots can be stored again',
    ]);
    expect(metrics.snapshotStorageFailing).toBe(0);
  });

  it('asks a storage that fails later and later, up to a limit', async () => {
    answer = () => Promise.reject(FULL);
    await rejected(FULL);
    await sleep(1_000);
    // At once, after 40 ms, and then each 80.
    expect(probes.length).toBeGreaterThan(5);
    expect(probes.length).toBeLessThan(15);
  });

  it('fails where a write and a probe are not answered, asks no second time, and works when they are', async () => {
    const { promise: stalled, resolve: goOn } = Promise.withResolvers<void>();
    answer = () => stalled;
    const writing = watch.write(
      () => 5,
      () => stalled,
    );
    await fails();
    expect(watch.trouble!.error.message).toMatch(/does not answer/);
    await sleep(10 * DOUBTED_MS);
    expect(probes.length).toBe(1);
    goOn();
    await writing;
    await works();
  });

  it('takes a long write for no trouble where others succeed', async () => {
    const { promise: long, resolve: end } = Promise.withResolvers<void>();
    const writing = watch.write(
      () => 5,
      () => long,
    );
    await sleep(6 * DOUBTED_MS);
    expect(watch.trouble).toBe(null);
    expect(probes.length).toBeLessThan(4);
    end();
    await writing;
  });

  it('hears of nothing that is not about the storage, or was given up', async () => {
    await rejected(new HoldfastError('BLOB_DAMAGED', 'damaged'));
    await rejected(new Error('a fault'));
    await watch
      .write(
        () => 1,
        () => Promise.reject(FULL),
        () => true,
      )
      .catch(() => {});
    await sleep(20);
    expect([probes, metrics.snapshotStorageFailures]).toEqual([[], 0]);
  });
});
