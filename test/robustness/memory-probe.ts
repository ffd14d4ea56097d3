/**
 * Loaded ahead of a program with `--expose-gc --import`: on SIGUSR2 it tells, in a line on stderr, what the
 * program's main thread holds once all that is garbage is gone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { isMainThread } from 'node:worker_threads';

const COLLECTIONS = 3;

async function tell(): Promise<void> {
  for (let n = 0; n < COLLECTIONS; n++) {
    globalThis.gc?.();
    // What a finalizer gives back is garbage for the next collection.
    await sleep(20);
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  process.stderr.write(`memory-probe ${JSON.stringify({ heapUsed, arrayBuffers })}\n`);
}

// Code that was not run for a while would be dropped, which hides as much as a small leak leaves.
setFlagsFromString('--no-flush-bytecode');
if (isMainThread) process.on('SIGUSR2', () => void tell());
