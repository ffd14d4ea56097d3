import { setTimeout as sleep } from 'node:timers/promises';
import type { Middle } from '../support/gateway.ts';

/** What a process holds when its garbage is collected: its heap, and the buffers outside of it. */
export interface MemoryHeld {
  readonly heapUsed: number;
  readonly arrayBuffers: number;
}

const ANSWER_MS = 10_000;
const LOOKS = 3;
const BETWEEN_LOOKS_MS = 200;

/** The environment of a program that can be asked with `memoryHeld`, with what else is loaded ahead of it. */
export function withMemoryProbe(...preloads: readonly string[]): { readonly NODE_OPTIONS: string } {
  const imports = [new URL('./memory-probe.ts', import.meta.url).href, ...preloads];
  return { NODE_OPTIONS: ['--expose-gc', ...imports.map((url) => `--import=${url}`)].join(' ') };
}

/** The least of several looks: what is only under way is not held. */
export async function memoryHeld(middle: Middle): Promise<MemoryHeld> {
  let least = await look(middle);
  for (let n = 1; n < LOOKS; n++) {
    await sleep(BETWEEN_LOOKS_MS);
    const now = await look(middle);
    least = {
      heapUsed: Math.min(least.heapUsed, now.heapUsed),
      arrayBuffers: Math.min(least.arrayBuffers, now.arrayBuffers),
    };
  }
  return least;
}

async function look(middle: Middle): Promise<MemoryHeld> {
  const answers = (): string[] => middle.log().match(/^memory-probe \{.*\}$/gm) ?? [];
  const before = answers().length;
  process.kill(middle.pid, 'SIGUSR2');
  const deadline = performance.now() + ANSWER_MS;
  while (answers().length === before) {
    middle.assertAlive();
    if (performance.now() > deadline) throw new Error('the memory probe did not answer');
    await sleep(10);
  }
  return JSON.parse(answers().at(-1)!.slice('memory-probe '.length)) as MemoryHeld;
}
