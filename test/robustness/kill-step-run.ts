import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Step, StepProxy } from '../support/step-proxy.ts';
import { type Checked, check } from './fire-check.ts';
import { type Attempt, markOf } from './fire-writers.ts';

/**
 * Kills the gateway with SIGKILL in the middle of a statement: in front of any of its own queries to the server, or of any
 * answer. Afterwards what it takes away is there, or its manifest and an audit record are.
 */

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: what goes, match: { operation: [drop table, delete, update] }, action: snapshot }
  - { name: the rest, action: allow }
`;

/** A Query, or the messages of a segment. */
type Said = string | Buffer;

export interface KilledAt {
  readonly what: Attempt['what'];
  /** Sent in front of it, one by one. */
  readonly before: readonly Said[];
  readonly said: Said;
  readonly behind: readonly Said[];
}

const table: Attempt = { number: 1, what: { kind: 'table', name: 'doomed' }, told: null };
const drop = `${markOf(table)} drop table doomed cascade`;
export const DROP: KilledAt = { what: table.what, before: [], said: drop, behind: [] };
export const DROP_IN_BLOCK: KilledAt = { ...DROP, before: ['begin'], behind: ['commit'] };

/** In the round trip in which its row is captured, which a comment would keep it from. */
const ofOne = (sql: string): KilledAt => ({
  what: { kind: 'rows', first: 1, last: 1 },
  // So that there is a plan, and no snapshot.
  before: ['update precious set note = note where id = 0', 'update precious set note = note where id = 0'],
  said: `${sql} where id = 1 and 'attempt 1 ' <> ''`,
  behind: [],
});
export const DELETE_OF_ONE = ofOne('delete from precious');
export const UPDATE_OF_ONE = ofOne(`update precious set note = 'changed'`);

/** The same, prepared and in a transaction: it is captured behind its Bind. */
const boundInBlock = (sql: string, ...values: string[]): KilledAt => {
  const bound = (id: string) => [
    fe.bind({ statement: 'one', parameters: [...values, id] }),
    fe.execute(),
    fe.sync(),
  ];
  const [prepared, none] = [[fe.parse('one', `${sql} and 'attempt 1 ' <> ''`), fe.sync()], bound('0')];
  return {
    what: { kind: 'rows', first: 1, last: 1 },
    before: [...[prepared, none, none].map((each) => Buffer.concat(each)), 'begin'],
    said: Buffer.concat(bound('1')),
    behind: ['commit'],
  };
};
export const UPDATE_IN_BLOCK = boundInBlock('update precious set note = $1 where id = $2', 'changed');

export interface Killed extends Checked {
  /** Null where it was over before it came to the step. */
  readonly where: 'before the snapshot' | 'before the commit' | 'before the answer' | null;
  /** How many such steps it took, up to this one. */
  readonly steps: number;
}

export async function killAt(
  postgres: TestPostgres,
  step: Step,
  { what, before, said, behind }: KilledAt,
): Promise<Killed> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-kill-step-'));
  await postgres.sql(`drop schema if exists holdfast_trash cascade;
    drop schema public cascade; create schema public; create table precious (id int primary key, note text);
    insert into precious values (1, 'row 1'), (2, 'row 2');
    create table doomed (id int primary key, note text); insert into doomed values (1, 'one'), (2, 'two');
    create table beside (id int references doomed); create view looks as select note from doomed`);
  const proxy = await StepProxy.start(postgres.port);
  const gateway = await startGateway({
    upstreamPort: proxy.port,
    policy: POLICY,
    environment: {
      HOLDFAST_SNAPSHOTS_TAKEN: 'on',
      HOLDFAST_SNAPSHOTS: `file:${join(folder, 'snapshots')}`,
      HOLDFAST_STORE: `sqlite:${join(folder, 'h.db')}`,
    },
  });
  const attempt: Attempt = { number: 1, what, told: null };
  try {
    const client = await RawClient.open(gateway.port);
    const say = async (each: Said) => {
      if (typeof each === 'string') return await client.query(each, 20_000);
      client.write(each);
      return await client.untilReady(20_000);
    };
    for (const each of before) await say(each);
    const reached = proxy.stopAt(step);
    const finish = async () => {
      for (const each of [said, ...behind]) await say(each);
    };
    const finished = finish();
    await Promise.race([reached, finished.catch(() => reached)]);
    const wasReached = proxy.hasStopped;
    if (!wasReached) attempt.told = 'committed';
    await gateway.killHard();
    client.destroy();
    await eventually('the ends of all sessions', async () => {
      const open = await postgres.clientSessions();
      return open === 0 ? null : `${open} are open`;
    });
    const store = new DirectoryBlobStore(join(folder, 'snapshots'));
    const checked = await check(postgres, store, join(folder, 'h.db'), [attempt]);
    await store.close();
    return { ...checked, where: wasReached ? whereOf(checked) : null, steps: proxy.seen };
  } finally {
    await gateway.stop();
    await proxy.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function whereOf({ committed, snapshots }: Checked): Exclude<Killed['where'], null> {
  if (committed > 0) return 'before the answer';
  return snapshots > 0 ? 'before the commit' : 'before the snapshot';
}
