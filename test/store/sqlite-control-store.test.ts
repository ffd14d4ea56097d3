import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { controlStoreConformance } from './conformance.ts';
import { temporaryFolder } from './temporary-folder.ts';

controlStoreConformance('sqlite', async () => {
  const folder = await temporaryFolder();
  return { open: () => SqliteControlStore.open(join(folder.path, 'holdfast.db')), remove: folder.remove };
});

describe('the SQLite file', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let path: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    path = join(folder.path, 'data', 'holdfast.db');
  });
  afterEach(() => folder.remove());

  async function refusal(): Promise<string> {
    const opened = await SqliteControlStore.open(path).catch((error: Error) => error);
    if (opened instanceof SqliteControlStore) await opened.close();
    expect(opened).toMatchObject({ code: 'STORE_FAILED' });
    return (opened as Error).message;
  }

  async function filled(): Promise<void> {
    const store = await SqliteControlStore.open(path);
    for (let i = 0; i < 500; i++) void store.setMeta(`key ${i}`, 'x'.repeat(200));
    await store.close();
  }

  it('is made with its folder, and is readable by its owner only', async () => {
    await filled();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700);
  });

  it('is refused while another gateway has it', async () => {
    const store = await SqliteControlStore.open(path);
    expect(await refusal()).toBe(`the store ${path} is in use by another process`);
    await store.setMeta('still', 'works');
    await store.close();
    await (await SqliteControlStore.open(path)).close();
  });

  it('is refused when it is no database', async () => {
    await filled();
    await writeFile(path, 'This was a database once, before somebody wrote a letter over it.\n'.repeat(100));
    expect(await refusal()).toBe(`${path} is not a Holdfast store`);
  });

  it('is refused when it is cut short', async () => {
    await filled();
    await truncate(path, 8192);
    expect(await refusal()).toContain(`the store ${path} is damaged`);
  });

  it('is refused when a page of it is overwritten', async () => {
    await filled();
    const { open } = await import('node:fs/promises');
    const file = await open(path, 'r+');
    await file.write(Buffer.alloc(4096, 0xa5), 0, 4096, 4096 * 3);
    await file.close();
    expect(await refusal()).toContain(`the store ${path} is damaged`);
  });

  it('is refused when it is a database of something else', async () => {
    await filled();
    const other = join(folder.path, 'other.db');
    const database = new DatabaseSync(other);
    database.exec('create table cats (name text)');
    database.close();
    path = other;
    expect(await refusal()).toBe(`${path} is a database of another program, not a Holdfast store`);
  });

  it('is refused when a newer Holdfast wrote it', async () => {
    await filled();
    const database = new DatabaseSync(path);
    database.exec('pragma user_version = 99');
    database.close();
    expect(await refusal()).toMatch(/was written by a newer Holdfast \(schema 99, this one knows \d+\)/);
  });

  it('is refused when the path is a folder', async () => {
    path = folder.path;
    expect(await refusal()).toContain(path);
  });

  it('has all that was acknowledged after SIGKILL, many times over', async () => {
    let acknowledged = 0;
    for (let round = 0; round < 5; round++) {
      acknowledged = await writeUntilKilled(path, acknowledged, 20 + round * 40);
      const store = await SqliteControlStore.open(path);
      const { lastSeq } = await store.auditHead();
      expect(lastSeq).toBeGreaterThanOrEqual(acknowledged);
      // The two calls of a writer may be in two commits; what was acknowledged is in both.
      const last = Number(await store.meta('last'));
      expect(last).toBeGreaterThanOrEqual(acknowledged);
      expect(last).toBeLessThanOrEqual(lastSeq);
      await store.close();
      acknowledged = lastSeq;
    }
    expect(acknowledged).toBeGreaterThan(0);
  });
});

/** Lets a child write one event after the other from `from` on, kills it, and returns the last acknowledged. */
async function writeUntilKilled(path: string, from: number, afterMs: number): Promise<number> {
  const writer = fileURLToPath(new URL('endless-writer.ts', import.meta.url));
  const child = spawn(process.execPath, [writer, path, String(from)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let acknowledged = from;
  const exited = once(child, 'exit');
  let first = true;
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged = Math.max(acknowledged, Number(line));
    if (first) setTimeout(() => child.kill('SIGKILL'), afterMs);
    first = false;
  }
  await exited;
  return acknowledged;
}
