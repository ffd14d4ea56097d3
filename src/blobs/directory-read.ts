import { join } from 'node:path';
import { LIMITS } from '../base/limits.ts';
import { isBlobKey } from './blob-key.ts';
import type { BlobEntry } from './blob-store.ts';
import { unlessAbsent } from './directory-errors.ts';
import type { FileHandle, Files } from './durable-folder.ts';
import { damaged } from './verified.ts';

/** A file's bytes from `start` up to `end` or its own end. The handle is the caller's to close. */
export async function* readFile(
  handle: FileHandle,
  key: string,
  start: number,
  end: number,
): AsyncIterable<Uint8Array> {
  const until = Math.min(end, (await handle.stat()).size);
  for (let at = start; at < until; ) {
    const buffer = Buffer.allocUnsafe(Math.min(LIMITS.blobChunkBytes, until - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw damaged(key, `the file was cut off at ${at} bytes while it was read`);
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

/**
 * Blobs below a folder in the order of their keys. The names of one folder are in memory at a time, and of those
 * above it.
 */
export async function* walk(
  files: Files,
  folder: string,
  keyOfFolder: string,
  prefix: string,
): AsyncIterable<BlobEntry> {
  const entries = (await unlessAbsent(files.readdir(folder, { withFileTypes: true }))) ?? [];
  // With its slash a folder sorts among the files as the keys in it do: `a-b`, `a/b`, `a0`.
  const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
  for (const name of names) {
    const key = keyOfFolder + name;
    if (name.endsWith('/')) {
      const maybe = key.startsWith(prefix) || prefix.startsWith(key);
      if (maybe && isBlobKey(key.slice(0, -1))) yield* walk(files, join(folder, name), key, prefix);
    } else if (key.startsWith(prefix) && isBlobKey(key)) {
      const facts = await unlessAbsent(files.stat(join(folder, name)));
      if (facts?.isFile() === true) yield { key, bytes: facts.size, modifiedAtMs: facts.mtimeMs };
    }
  }
}
