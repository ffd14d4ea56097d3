import { nowMs } from '../base/clock.ts';
import type { Progress, UndoStep } from '../undo/outcome.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';

export const STEP_WORDS: Readonly<Record<UndoStep, string>> = {
  find: 'looking for the tables',
  lock: 'waiting for writers to let go of the tables',
  load: 'loading',
  compare: 'comparing',
  keep: 'snapshotting what will be changed',
  apply: 'putting back',
  check: 'checking',
  commit: 'committing',
};

const TERMINAL_MS = 1_000;
const OTHERWISE_MS = 15_000;

export interface ShownProgress {
  readonly onProgress: (progress: Progress) => void;
  /** Something else is about to be printed; what comes after it is shown again. */
  pause(): void;
  end(): void;
}

/** Says where long work is: nothing of what is done in a second, and a line that changes where there is a terminal. */
export function showProgress(io: Io): ShownProgress {
  const startedMs = nowMs();
  let now: Progress | null = null;
  const everyMs = io.terminal ? TERMINAL_MS : OTHERWISE_MS;
  const timer = setInterval(() => {
    if (now === null) return;
    const table = now.table === null ? '' : ` ${printable(now.table)}`;
    const part = now.of > 1 ? ` (${now.done + 1} of ${now.of})` : '';
    const line = `${STEP_WORDS[now.step]}${table}${part}, ${Math.round((nowMs() - startedMs) / 1000)} s`;
    io.err(io.terminal ? `\r\x1b[K${line}` : `${line}\n`);
  }, everyMs);
  const pause = (): void => {
    if (now !== null && io.terminal) io.err('\r\x1b[K');
    now = null;
  };
  return {
    onProgress: (progress) => {
      now = progress;
    },
    pause,
    end() {
      clearInterval(timer);
      pause();
    },
  };
}
