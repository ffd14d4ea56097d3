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
