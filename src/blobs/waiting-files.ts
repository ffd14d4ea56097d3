import fs from 'node:fs';
import { promisify } from 'node:util';
import { DISK_SLOTS } from '../base/thread-pool.ts';
import type { Files } from './durable-folder.ts';

export interface Syncs {
  /** Waits where it is called. */
  now(descriptor: number): void;
  /** Lets the caller go on with others' meanwhile. */
  aside(descriptor: number): Promise<void>;
}

const fsync = promisify(fs.fsync);
const SYNCS: Syncs = { now: fs.fsyncSync, aside: (descriptor) => DISK_SLOTS.run(() => fsync(descriptor)) };

/**
 * Calls that wait where they are made, for a thread that has nothing else to do meanwhile. Where it has (`isBusy`), it
 * does not wait for the disk: files of several puts are synced side by side, as slow disks need it.
 */
export function waitingFiles(isBusy: () => boolean, syncs: Syncs = SYNCS): Files {
  return {
    mkdir: async (path: string, options: fs.MakeDirectoryOptions) => fs.mkdirSync(path, options),
    rename: async (from: string, to: string) => fs.renameSync(from, to),
    link: async (from: string, to: string) => fs.linkSync(from, to),
    unlink: async (path: string) => fs.unlinkSync(path),
    rmdir: async (path: string) => fs.rmdirSync(path),
    readdir: async (path: string) => fs.readdirSync(path),
    stat: async (path: string, options?: fs.StatSyncOptions) => fs.statSync(path, options),
    open: async (path: string, flags: string, mode?: number) => {
      const descriptor = fs.openSync(path, flags, mode);
      return {
        write: async (bytes: Uint8Array, at: number, length: number) => ({
          bytesWritten: fs.writeSync(descriptor, bytes, at, length),
        }),
        sync: async () => {
          if (isBusy()) await syncs.aside(descriptor);
          else syncs.now(descriptor);
        },
        close: async () => fs.closeSync(descriptor),
      };
    },
  } as unknown as Files;
}
