import { ask, token } from '../api/client.ts';
import { onServerEvent } from '../api/live.ts';
import { Cell } from './cell.ts';

export interface Paused {
  readonly id: string;
  readonly reason: string;
  readonly by: string;
  readonly since: string;
}

/** The pause that is in force; null also where the token may not know of it. */
export const pause = new Cell<Paused | null>(null);

/** Learns of it with each stream of events that begins, and by its events. */
export function followPause(): void {
  token.watch(() => pause.set(null));
  onServerEvent(({ name }) => {
    if (name === 'pause' || name === 'ready' || name === 'reset') void learnPause();
  });
}

export async function learnPause(): Promise<void> {
  try {
    pause.set((await ask<{ readonly paused: Paused | null }>('/v1/pause')).paused);
  } catch {
    // Without the right to know, or an answer, nothing is said of it.
  }
}
