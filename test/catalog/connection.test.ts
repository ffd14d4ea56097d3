import { describe, expect, it } from 'vitest';
import { type HiddenConnection, HiddenQueryError, together } from '../../src/catalog/connection.ts';

const overlapping: HiddenConnection = { overlaps: true, run: () => Promise.reject(new Error('not asked')) };
const refused = (code: string) => new HiddenQueryError({ C: code, M: code });

/** Fails now; whoever waits for it hears so many turns of the microtask queue later. */
async function heardLate(error: unknown, turns: number): Promise<never> {
  const failing = Promise.reject(error);
  for (let i = 0; i < turns; i++) await Promise.resolve();
  return await failing;
}

describe('queries of ours that are sent together', () => {
  it('fail with what the first was refused with, whichever is heard of first', async () => {
    for (const turns of [0, 1, 5, 50]) {
      const canceled = refused('57014');
      for (const behind of [refused('25P02'), new Error('discarded')]) {
        const steps = [async () => 1, () => heardLate(canceled, turns), () => Promise.reject(behind)];
        await expect(together(overlapping, steps)).rejects.toBe(canceled);
      }
    }
  });

  it('fail with what fails them where the server refused none, and do not wait for the rest', async () => {
    const full = new Error('the disk is full');
    const steps = [() => new Promise<never>(() => {}), () => Promise.reject(full)];
    await expect(together(overlapping, steps)).rejects.toBe(full);
  });

  it('fail as a failed transaction where it had failed before', async () => {
    const aborted = refused('25P02');
    await expect(together(overlapping, [() => Promise.reject(aborted)])).rejects.toBe(aborted);
  });
});
