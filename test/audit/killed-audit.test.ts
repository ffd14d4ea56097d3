import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { Random } from '../support/random.ts';
import { ChainedStore } from './chained-store.ts';

const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 12);
const RUN_MS_MAX = 600;

it('an audit that is killed again and again goes on where it was, and is intact all the time', async () => {
  const random = new Random(9);
  const audit = await ChainedStore.create();
  let lastSeq = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { acknowledged, verifiedMeanwhile } = await runUntilKilled(audit, random.between(1, RUN_MS_MAX));
    expect(verifiedMeanwhile).toEqual([]);
    // As it was left, with statements open and SQLite's log not yet in the file.
    const left = await audit.verify();
    expect(left.faults).toEqual([]);
    expect(left.lastSeq).toBeGreaterThanOrEqual(acknowledged);
    await audit.start();
    const { open } = await audit.store.auditHead();
    expect(open).toEqual([]);
    await audit.stop();
    const next = await audit.verify();
    expect(next).toMatchObject({
      faults: [],
      signedTo: next.lastSeq,
      anchoredTo: next.lastSeq,
      chainedFrom: 1,
    });
    expect(next.lastSeq).toBeGreaterThanOrEqual(left.lastSeq);
    lastSeq = next.lastSeq;
  }
  expect(lastSeq).toBeGreaterThan(ROUNDS);
  await audit.remove();
}, 300_000);

/** Verifies while the child writes, too. */
async function runUntilKilled(audit: ChainedStore, afterMs: number) {
  const body = fileURLToPath(new URL('endless-audit.ts', import.meta.url));
  const child = spawn(process.execPath, [body, audit.folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let acknowledged = 0;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    acknowledged = Number(line);
  });
  await once(lines, 'line');
  const killed = sleep(afterMs).then(() => child.kill('SIGKILL'));
  const { faults } = await audit.verify();
  await killed;
  await exited;
  return { acknowledged, verifiedMeanwhile: faults };
}
