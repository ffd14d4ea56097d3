import nodeFiles from 'node:fs/promises';
import { DISK_SLOTS } from '../base/thread-pool.ts';
import type { FileHandle, Files } from './durable-folder.ts';

type Call = (...given: never[]) => Promise<unknown>;

function slotted<C extends Call>(call: C): C {
  return ((...given: Parameters<C>) => DISK_SLOTS.run(() => call(...given))) as C;
}

/** Node's own, of which a disk that stalls keeps some of the threads only that all else needs as well. */
export const slottedFiles: Files = {
  mkdir: slotted(nodeFiles.mkdir),
  rename: slotted(nodeFiles.rename),
  link: slotted(nodeFiles.link),
  unlink: slotted(nodeFiles.unlink),
  rmdir: slotted(nodeFiles.rmdir),
  readdir: slotted(nodeFiles.readdir as Call) as Files['readdir'],
  stat: slotted(nodeFiles.stat as Call) as Files['stat'],
  open: async (...given) => slottedHandle(await DISK_SLOTS.run(() => nodeFiles.open(...given))),
};

function slottedHandle(handle: FileHandle): FileHandle {
  const { fd } = handle;
  return {
    fd,
    write: (...given: Parameters<FileHandle['write']>) => DISK_SLOTS.run(() => handle.write(...given)),
    read: (...given: Parameters<FileHandle['read']>) => DISK_SLOTS.run(() => handle.read(...given)),
    stat: () => DISK_SLOTS.run(() => handle.stat()),
    sync: () => DISK_SLOTS.run(() => handle.sync()),
    close: () => DISK_SLOTS.run(() => handle.close()),
  } as unknown as FileHandle;
}
