import fs, { type PathLike } from 'node:fs';
import promises from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';

/**
 * Loaded into a gateway by `--import`, and so into each of its threads. While the file `$STALLED_DISK/stalled` is there, whatever
 * opens or makes a file below that folder, and each commit of SQLite where `$STALLED_DISK/stalled` says `store`, waits in a
 * call of the system as on a disk that does not answer: for somebody to write to the pipe beside it.
 */
const disk = process.env['STALLED_DISK'] ?? '';
const { openSync, existsSync, readFileSync } = fs;
const isBelow = (path: unknown): boolean => disk !== '' && String(path).startsWith(`${disk}/snapshots`);
const says = (what: string): boolean => {
  if (!existsSync(`${disk}/stalled`)) return false;
  return readFileSync(`${disk}/stalled`, 'utf8').includes(what);
};
const stall = (path: PathLike): void => {
  if (isBelow(path) && says('snapshots')) openSync(`${disk}/pipe`, 'r');
};
const stallAside = async (path: PathLike): Promise<void> => {
  if (isBelow(path) && says('snapshots')) await (await open(`${disk}/pipe`, 'r')).close();
};
const { open } = promises;

const mutable = fs as unknown as Record<string, (path: PathLike, ...rest: unknown[]) => unknown>;
for (const name of ['openSync', 'mkdirSync', 'linkSync', 'renameSync', 'statSync', 'unlinkSync']) {
  const original = mutable[name]!;
  mutable[name] = (path, ...rest) => {
    stall(path);
    return original(path, ...rest);
  };
}
const later = promises as unknown as Record<string, (path: PathLike, ...rest: unknown[]) => Promise<unknown>>;
for (const name of ['open', 'mkdir', 'link', 'rename', 'stat', 'unlink', 'readdir']) {
  const original = later[name]!;
  later[name] = async (path, ...rest) => {
    await stallAside(path);
    return await original(path, ...rest);
  };
}

const { exec } = DatabaseSync.prototype;
DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string): void {
  if (sql === 'commit' && says('store')) openSync(`${disk}/pipe`, 'r');
  exec.call(this, sql);
};
