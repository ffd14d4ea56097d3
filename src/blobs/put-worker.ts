import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { codeOf } from './directory-errors.ts';
import { DurableFolder } from './durable-folder.ts';
import { waitingFiles } from './waiting-files.ts';

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

assert(parentPort !== null, 'this file is the body of a worker thread');
const port = parentPort;
const folders = new Map<string, DurableFolder>();
let underWay = 0;
const files = waitingFiles(() => underWay > 1);

function folderOf(root: string): DurableFolder {
  let folder = folders.get(root);
  if (folder === undefined) {
    folder = new DurableFolder(root, files);
    folders.set(root, folder);
  }
  return folder;
}

function put({ id, root, key, bytes }: PutMessage): void {
  const tell = (answer: PutAnswer) => port.postMessage(answer);
  folderOf(root)
    .putIfAbsent(key, bytes)
    .then((created) => tell({ id, ok: true, created }))
    .catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      tell({ id, ok: false, message, code: codeOf(error) });
    })
    .finally(() => underWay--);
}

port.on('message', (first: PutMessage) => {
  // A put that waits for the disk lets nobody see those behind it, so that all are taken before the first begins.
  const waiting = [first];
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    waiting.push(next.message as PutMessage);
  }
  underWay += waiting.length;
  for (const message of waiting) put(message);
});
