import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertFolderCanBe, makeFolder } from '../../src/base/made-folder.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-folder-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const proc = existsSync('/proc/self');

describe('a folder', () => {
  it('is made with those above it that are missing, and stays as it is where it is there', () => {
    const path = join(folder, 'a/b/c');
    makeFolder(path, 0o700);
    makeFolder(path, 0o755);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  it('may be a link to one', () => {
    symlinkSync(folder, join(folder, 'link'));
    makeFolder(join(folder, 'link'), 0o700);
    makeFolder(join(folder, 'link/a'), 0o700);
    expect(readdirSync(folder).sort()).toEqual(['a', 'link']);
  });

  it('is not made where a file stands', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => makeFolder(join(folder, 'file'), 0o700)).toThrow('EEXIST');
    expect(() => makeFolder(join(folder, 'file/a/b'), 0o700)).toThrow('ENOTDIR');
  });

  it.runIf(proc)('is not tried for ever where none can be made', () => {
    expect(() => makeFolder('/proc/holdfast/a/b', 0o700)).toThrow('ENOENT');
    expect(() => assertFolderCanBe('/proc/holdfast/a/b')).toThrow('ENOENT');
  });

  it('is left unmade where it is only asked for', () => {
    assertFolderCanBe(join(folder, 'a/b/c'));
    assertFolderCanBe(folder);
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(join(folder, 'file'), '');
    expect(() => assertFolderCanBe(join(folder, 'file/a'))).toThrow('ENOTDIR');
  });
});
