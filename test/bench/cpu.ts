import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds } from '../support/process-facts.ts';

const LOOK_MS = 150;
const LOOKS_MAX = 20;
/** What a process may use between two looks and count as at rest: one tick of the kernel's clock. */
const REST_SECONDS = 0.011;

/**
 * CPU seconds of a process once it has nothing left to do. What it puts off until after the load (the audit is
 * written every 100 ms) is part of what the load cost, and none of the next one's.
 */
export async function cpuSecondsAtRest(pid: number): Promise<number> {
  let last = cpuSeconds(pid);
  for (let look = 0; look < LOOKS_MAX; look++) {
    await sleep(LOOK_MS);
    const now = cpuSeconds(pid);
    if (now - last < REST_SECONDS) return now;
    last = now;
  }
  return last;
}
