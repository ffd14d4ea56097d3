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
  /** Null where the put is yet to come, and its folder is made ahead of it; that is not answered. */
  readonly bytes: Uint8Array | null;
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

function put({ id, root, key }: PutMessage, bytes: Uint8Array): void {
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

function expect({ root, key }: PutMessage, puts: readonly PutMessage[]): void {
  // What has come already does so itself.
  if (puts.some((each) => each.root === root && each.key === key)) return;
  folderOf(root)
    .expect(key)
    .catch(() => {});
}

port.on('message', (first: PutMessage) => {
  // A put that waits for the disk lets nobody see those behind it, so that all are taken before the first begins.
  const waiting = [first];
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    waiting.push(next.message as PutMessage);
  }
  const puts = waiting.filter(({ bytes }) => bytes !== null);
  underWay += puts.length;
  for (const message of waiting) {
    if (message.bytes === null) expect(message, puts);
    else put(message, message.bytes);
  }
});
