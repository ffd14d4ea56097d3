import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { check } from './fire-check.ts';
import { type Attempt, markOf } from './fire-writers.ts';

const POLICY = `
mode: protect
rules:
  - { name: what goes, match: { operation: [delete, drop table] }, action: snapshot }
  - { name: the rest, action: allow }
`;
const row = (id: number): Attempt['what'] => ({ kind: 'rows', first: id, last: id });

/** What finds nothing wrong under fire has to find what is: each case falsifies one thing of a book that is right. */
describe('the check of the test under fire', () => {
  let postgres: TestPostgres;
  let folder = '';
  let attempts: Attempt[] = [];

  /** A row deleted, another whose deletion is rolled back, and a table dropped. */
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.sql(`drop schema if exists holdfast_trash cascade; drop schema public cascade; create schema public;
      create table precious (id int primary key, note text); insert into precious select i, 'row ' || i from generate_series(1, 4) i;
      create table doomed (id int)`);
    folder = await scratchFolder('book');
    attempts = [
      { number: 1, what: row(1), told: 'committed' },
      { number: 2, what: row(2), told: 'rolled back' },
      { number: 3, what: { kind: 'table', name: 'doomed' }, told: 'committed' },
    ];
    const gateway = await startGateway({
      upstreamPort: postgres.port,
      policy: POLICY,
      environment: {
        HOLDFAST_SNAPSHOTS_TAKEN: 'on',
        HOLDFAST_SNAPSHOTS: `file:${join(folder, 'snapshots')}`,
        HOLDFAST_STORE: `sqlite:${join(folder, 'h.db')}`,
      },
    });
    const client = await RawClient.open(gateway.port);
    const [deleted, kept, dropped] = attempts.map((attempt) => markOf(attempt));
    for (const sql of [
      `${deleted} delete from precious where id = 1`,
      'begin',
      `${kept} delete from precious where id = 2`,
      'rollback',
      `${dropped} drop table doomed`,
    ]) {
      client.write(fe.query(sql));
      await client.untilReady();
    }
    await client.terminate();
    await gateway.terminate();
    await gateway.stop();
  });
  afterAll(async () => {
    await postgres?.stop();
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  });

  async function found(controlStore = 'h.db'): Promise<string> {
    const store = new DirectoryBlobStore(join(folder, 'snapshots'));
    const { problems } = await check(postgres, store, join(folder, controlStore), attempts);
    await store.close();
    return problems.join('\n');
  }

  /** The file of that name in the snapshot of an attempt. */
  function fileOf(number: number, name: string): string {
    const root = join(folder, 'snapshots');
    const manifest = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('manifest.json'))
      .map((path) => join(root, path))
      .find((path) => readFileSync(path, 'utf8').includes(markOf(attempts[number - 1]!)));
    return manifest!.replace('manifest.json', name);
  }

  /** What is found while a file of a snapshot says something else, or is not there. */
  async function foundWith(path: string, said: string | null): Promise<string> {
    const right = readFileSync(path);
    try {
      if (said === null) rmSync(path);
      else writeFileSync(path, said);
      return await found();
    } finally {
      writeFileSync(path, right);
    }
  }

  const manifestOf = (number: number) => readFileSync(fileOf(number, 'manifest.json'), 'utf8');
  const xidOf = (number: number) => (JSON.parse(manifestOf(number)) as { xid: string }).xid;

  it('finds nothing wrong with a book that is right', async () => {
    expect(await found()).toBe('');
  });

  it('finds that a client was told what is not so', async () => {
    const [deleted, kept] = attempts as [Attempt, Attempt];
    [deleted.told, kept.told] = ['rolled back', 'committed'];
    expect(await found()).toBe(
      'attempt 1 was told to be rolled back, and is not\nattempt 2 was told to be committed, and is not',
    );
    [deleted.told, kept.told] = ['committed', 'rolled back'];
  });

  it('finds what is committed without a record, and without a snapshot', async () => {
    attempts.push({ number: 4, what: row(3), told: null });
    await postgres.sql('delete from precious where id = 3');
    expect(await found()).toBe(
      'attempt 4 is committed without a record in the audit\nattempt 4 is committed with 0 snapshots',
    );
    await postgres.sql(`insert into precious values (3, 'row 3')`);
    attempts.pop();
    await (await SqliteControlStore.open(join(folder, 'another.db'))).close();
    const lines = (await found('another.db')).split('\n');
    // The anchors tell of the audit that is not there.
    expect(lines[0]).toMatch(/^the audit: /);
    expect(lines.filter((line) => !line.startsWith('the audit'))).toEqual([
      'attempt 1 is committed without a record in the audit',
      'attempt 3 is committed without a record in the audit',
    ]);
    expect(await foundWith(fileOf(1, 'manifest.json'), null)).toMatch(
      /^attempt 1 is committed with 0 snapshots\n/,
    );
  });

  it('finds a snapshot that says to be committed, of what is there', async () => {
    await postgres.sql(`insert into precious values (1, 'row 1')`);
    attempts[0]!.told = null;
    expect(await found()).toBe('attempt 1 is not there, and its snapshot says so');
    await postgres.sql('delete from precious where id = 1');
    attempts[0]!.told = 'committed';
  });

  it('finds a mark of a rollback where there was none, and a claim of the audit that is none', async () => {
    const mark = fileOf(1, 'rolled-back.json');
    writeFileSync(mark, readFileSync(fileOf(2, 'rolled-back.json')));
    expect(await found()).toMatch(/^snap_\w+ is marked as rolled back, and was committed$/);
    rmSync(mark);
    const ofAborted = manifestOf(1).replaceAll(`"${xidOf(1)}"`, `"${xidOf(2)}"`);
    expect(await foundWith(fileOf(1, 'manifest.json'), ofAborted)).toMatch(
      /^attempt 1 is committed with 0 snapshots\nevent \S+ says that snap_\w+ was committed, and it was not$/,
    );
  });

  it('finds a snapshot that lacks what is gone', async () => {
    const other = manifestOf(3).replaceAll('"doomed"', '"other"');
    expect(await foundWith(fileOf(3, 'manifest.json'), other)).toBe(
      'the snapshot of attempt 3 does not name doomed',
    );
    const [first] = attempts as [Attempt];
    const { what } = first;
    attempts[0] = { ...first, what: { kind: 'rows', first: 1, last: 2 } };
    expect(await found()).toBe('the snapshot of attempt 1 has the rows 1, and not 1,2');
    attempts[0] = { ...first, what };
  });
});
