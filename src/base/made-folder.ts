import { existsSync, mkdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder and those above it that are missing. Node's own `recursive` never ends where a folder is there and none
 * can be made in it, as in /proc, or in a working directory that was removed.
 */
export function makeFolder(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (isFolder(path)) return;
    const above = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || above === path) throw error;
    makeFolder(above, mode);
    makeLast(path, mode);
  }
}

/** Throws where a folder is not there and cannot be made, and leaves everything as it was. */
export function assertFolderCanBe(path: string): void {
  let first = resolve(path);
  if (existsSync(first)) return;
  while (!existsSync(dirname(first))) first = dirname(first);
  mkdirSync(first);
  rmdirSync(first);
}

/** Another process may make it at the same time. */
function makeLast(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (!isFolder(path)) throw error;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
