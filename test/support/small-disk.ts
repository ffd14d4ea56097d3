import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A disk in memory that is soon full, can be made to take nothing, and can be taken away. */
export class SmallDisk {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Null where nobody may mount one, as only root may. */
  static mount(path: string, sizeMib: number): SmallDisk | null {
    mkdirSync(path);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMib}m`, 'tmpfs', path], { stdio: 'ignore' });
      return new SmallDisk(path);
    } catch {
      return null;
    }
  }

  /** Takes all the room that there is. */
  fill(): void {
    const file = openSync(join(this.path, 'filler'), 'w');
    try {
      for (;;) writeSync(file, Buffer.alloc(4096, 1));
    } catch {
      closeSync(file);
    }
  }

  empty(): void {
    rmSync(join(this.path, 'filler'));
  }

  writable(isIt: boolean): void {
    execFileSync('mount', ['-o', isIt ? 'remount,rw' : 'remount,ro', this.path]);
  }

  unmount(): void {
    execFileSync('umount', ['-l', this.path]);
  }
}
