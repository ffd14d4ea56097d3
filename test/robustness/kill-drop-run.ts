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
 * Kills the gateway with SIGKILL in the middle of a DROP: in front of any of its own queries to the server, or of any
 * answer. Afterwards the table is there, or its manifest and an audit record are.
 */

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: what goes, match: { operation: [drop table] }, action: snapshot }
  - { name: the rest, action: allow }
`;

export interface DropKilled extends Checked {
  /** Null where the DROP was over before it came to the step. */
  readonly where: 'before the snapshot' | 'before the commit' | 'before the answer' | null;
  /** How many such steps it took, up to this one. */
  readonly steps: number;
}

/** `transaction`: in a block of the client's, which it commits behind the DROP. */
export async function killDropAt(
  postgres: TestPostgres,
  step: Omit<Step, 'type'>,
  transaction: boolean,
): Promise<DropKilled> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-kill-drop-'));
  await postgres.sql(`drop schema if exists holdfast_trash cascade;
    drop schema public cascade; create schema public; create table precious (id int, note text);
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
  const attempt: Attempt = { number: 1, what: { kind: 'table', name: 'doomed' }, told: null };
  try {
    const client = await RawClient.open(gateway.port);
    if (transaction) await client.query('begin');
    const reached = proxy.stopAt({ ...step, type: step.from === 'client' ? 'P' : 'Z' });
    client.write(fe.query(`${markOf(attempt)} drop table doomed cascade`));
    const finished = client.untilReady(20_000).then(async () => {
      if (transaction) client.write(fe.query('commit'));
      if (transaction) await client.untilReady(20_000);
    });
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

function whereOf({ committed, snapshots }: Checked): Exclude<DropKilled['where'], null> {
  if (committed > 0) return 'before the answer';
  return snapshots > 0 ? 'before the commit' : 'before the snapshot';
}
