import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const INSERT = 'insert into other values (7)';
const extended = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()];

/** As above, behind a BEGIN that has been answered. */
const IN_BLOCK: readonly { readonly name: string; readonly messages: readonly Buffer[] }[] = [
  { name: 'a Query behind its ROLLBACK', messages: [fe.query(`rollback; ${INSERT}`)] },
  {
    name: 'a segment behind its ROLLBACK',
    messages: [...extended('rollback'), ...extended(INSERT), fe.sync()],
  },
  { name: 'a segment behind its COMMIT', messages: [...extended('commit'), ...extended(INSERT), fe.sync()] },
  { name: 'a Query with a COMMIT', messages: [fe.query(`${INSERT}; commit`)] },
];

/** All the ways in which something commits, as messages that are sent at once; each is answered by one ReadyForQuery. */
const WAYS: readonly { readonly name: string; readonly messages: readonly Buffer[] }[] = [
  { name: 'a statement by itself', messages: [fe.query(INSERT)] },
  { name: 'several statements', messages: [fe.query(`${INSERT}; select 1`)] },
  { name: 'several statements with a COMMIT', messages: [fe.query(`begin; ${INSERT}; commit`)] },
  { name: 'a segment', messages: [...extended(INSERT), fe.sync()] },
  {
    name: 'a transaction in one segment',
    messages: [...extended('begin'), ...extended(INSERT), ...extended('commit'), fe.sync()],
  },
  {
    name: 'what a segment runs behind its COMMIT',
    messages: [...extended('commit'), ...extended(INSERT), fe.sync()],
  },
  {
    name: 'a utility statement',
    messages: [...extended('create table made ()'), ...extended(INSERT), fe.sync()],
  },
  { name: 'a DO that commits', messages: [fe.query(`do $$ begin ${INSERT}; commit; end $$`)] },
  {
    name: 'a DO that commits, by Execute',
    messages: [...extended(`do $$ begin ${INSERT}; commit; end $$`), fe.flush(), fe.sync()],
  },
];

describe('with audit.durable_before_commit', () => {
  let fixture: DecisionFixture;
  let client: RawClient;
  let other: RawClient;
  beforeAll(async () => {
    fixture = await DecisionFixture.start('mode: monitor\n', { HOLDFAST_AUDIT_DURABLE_BEFORE_COMMIT: 'on' });
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.reset();
    await fixture.postgres.sql('drop table if exists made');
    client = await fixture.client();
    other = await RawClient.open(fixture.postgres.port);
  });
  afterEach(async () => {
    await client.terminate();
    await other.terminate();
  });

  /** As another session sees them. */
  const rows = async (): Promise<number> => Number((await other.rows('select count(*) from other'))[0]![0]);

  /** While `work` runs, the store writes nothing; it waits for a second before it calls that a failure. */
  const withoutStore = async (work: () => Promise<void>): Promise<void> => {
    const store = new DatabaseSync(join(fixture.gateway.directory, 'h.db'), { timeout: 1_000 });
    store.exec('begin immediate');
    try {
      await work();
    } finally {
      store.exec('rollback');
      store.close();
    }
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  it.each(WAYS)('$name commits only once it is recorded', async ({ messages }) => {
    await withoutStore(async () => {
      client.write(...messages);
      await pause(200);
      expect(await rows()).toBe(0);
    });
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await rows()).toBe(1);
  });

  it.each(IN_BLOCK)('$name, in a transaction, commits only once it is recorded', async ({ messages }) => {
    client.write(fe.query('begin'));
    await client.untilReady();
    await withoutStore(async () => {
      client.write(...messages);
      await pause(200);
      expect(await rows()).toBe(0);
    });
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await rows()).toBe(1);
  });

  it('a ROLLBACK waits for nothing', async () => {
    await withoutStore(async () => {
      for (const sql of ['begin', INSERT, 'rollback']) {
        client.write(fe.query(sql));
        expect(errorsOf(await client.untilReady())).toEqual([]);
      }
    });
    expect(await rows()).toBe(0);
  });

  it('a COMMIT waits for what its transaction has done, which waits for nothing', async () => {
    await withoutStore(async () => {
      for (const messages of [[fe.query('begin')], [fe.query(INSERT)], [...extended(INSERT), fe.sync()]]) {
        client.write(...messages);
        expect(errorsOf(await client.untilReady())).toEqual([]);
      }
      client.write(fe.query('commit'));
      await pause(200);
      expect(await rows()).toBe(0);
    });
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await rows()).toBe(2);
  });

  it('reads wait for nothing', async () => {
    await withoutStore(async () => {
      expect(await client.rows('select 1')).toEqual([['1']]);
      client.write(...extended('select 1'), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
    });
  });

  it.each([
    ['a statement by itself', [fe.query(INSERT)]],
    ['a segment', [...extended(INSERT), fe.sync()]],
  ])('%s of which no record can be made is refused, and commits nothing', async (_, messages) => {
    await withoutStore(async () => {
      client.write(...messages);
      expect(errorsOf(await client.untilReady()).map(({ C }) => C)).toEqual(['58030']);
    });
    expect(await rows()).toBe(0);
    await pause(2_500);
    client.write(...messages);
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await rows()).toBe(1);
  });
});
