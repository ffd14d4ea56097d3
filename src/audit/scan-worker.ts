import { parentPort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import type { RecordedEvent } from './recorded-event.ts';
import { type Scan, scan } from './scan.ts';

/** Decodes and filters stored blocks on a thread of its own, so that a search delays no session. */
export interface ScanMessage extends Scan {
  readonly id: number;
}

export type FoundMessage =
  | { readonly id: number; readonly found: readonly RecordedEvent[] }
  | { readonly id: number; readonly problem: string };

assert(parentPort !== null, 'this file is the body of a worker thread');
const port = parentPort;

port.on('message', ({ id, ...wanted }: ScanMessage) => {
  let answer: FoundMessage;
  try {
    answer = { id, found: scan(wanted) };
  } catch (error) {
    answer = { id, problem: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(answer);
});
