import fs from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { codeOf } from './directory-errors.ts';
import { DurableFolder, type Files } from './durable-folder.ts';

/** The body of the thread that puts small blobs; see put-thread.ts. */
export interface PutMessage {
  readonly id: number;
  readonly root: string;
  readonly key: string;
  readonly bytes: Uint8Array;
}

export type PutAnswer =
  | { readonly id: number; readonly ok: true; readonly created: boolean }
  | { readonly id: number; readonly ok: false; readonly message: string; readonly code: string | undefined };

/** Calls that wait where they are made: this thread has nothing else to do meanwhile. */
const WAITING = {
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
      sync: async () => fs.fsyncSync(descriptor),
      close: async () => fs.closeSync(descriptor),
    };
  },
} as unknown as Files;

assert(parentPort !== null, 'this file is the body of a worker thread');
const port = parentPort;
const folders = new Map<string, DurableFolder>();

function folderOf(root: string): DurableFolder {
  let folder = folders.get(root);
  if (folder === undefined) {
    folder = new DurableFolder(root, WAITING);
    folders.set(root, folder);
  }
  return folder;
}

port.on('message', ({ id, root, key, bytes }: PutMessage) => {
  const tell = (answer: PutAnswer) => port.postMessage(answer);
  folderOf(root)
    .putIfAbsent(key, bytes)
    .then((created) => tell({ id, ok: true, created }))
    .catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      tell({ id, ok: false, message, code: codeOf(error) });
    });
});
