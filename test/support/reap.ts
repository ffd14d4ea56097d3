import type { ChildProcess } from 'node:child_process';

const children = new Map<ChildProcess, NodeJS.Signals>();
let watching = false;

/** Sees to it that a child does not outlive this process, however a test ends. */
export function reapAtExit(child: ChildProcess, signal: NodeJS.Signals): void {
  children.set(child, signal);
  child.once('exit', () => children.delete(child));
  if (watching) return;
  watching = true;
  process.once('exit', () => {
    for (const [running, how] of children) running.kill(how);
  });
}

/** What is under way may start another in the place of one that has ended; that goes with this process. */
const ROUNDS = 3;

/** Ends all children, and waits until they have. */
export async function reapNow(): Promise<void> {
  for (let round = 0; round < ROUNDS && children.size > 0; round++) {
    const ended = [...children].map(([child, how]) => {
      const exit = new Promise((resolve) => child.once('exit', resolve));
      child.kill(how);
      return exit;
    });
    await Promise.all(ended);
  }
}
