import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHAIN_URL } from '../../src/audit/chain.ts';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { analysis, entry } from '../audit/statements.ts';

/**
 * What the audit costs by itself: `node test/bench/audit.ts [events]`. Processor time of the thread that carries
 * the traffic, and of the rest of the process (the store's thread, compression), for an event.
 */
const SAME = [
  'select 1',
  'select * from orders where id = $1',
  'update orders set total = $1 where id = $2',
].map((text) => entry({ analysis: analysis(), text }));
const EVENTS = Number(process.argv[2] ?? 1_000_000);
const BATCH = 4_000;
const DURATIONS = Array.from({ length: 100_003 }, () => Math.random() * 3);

await measure('the same few statements', (i) => SAME[i % SAME.length]!);
await measure('every text another one', (i) =>
  entry({
    analysis: analysis(),
    text: `select * from orders where customer = 'c${i}' and total > ${i % 977}`,
  }),
);

async function measure(name: string, next: (i: number) => ReturnType<typeof entry>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  const path = join(folder, 'holdfast.db');
  const store = await SqliteControlStore.open(path, process.env['CHAIN'] === 'no' ? null : CHAIN_URL);
  const log = await StoredAuditLog.open({ store, metrics: new Metrics(), log: createLogger('error') });
  const batch = Array.from({ length: BATCH }, (_, i) => next(i));
  await write(log, batch, EVENTS / 10);
  const [process0, main0, wall0] = [
    cpu(process.cpuUsage()),
    cpu(process.threadCpuUsage()),
    performance.now(),
  ];
  await write(log, batch, EVENTS);
  const wallNs = (performance.now() - wall0) * 1e6;
  const mainNs = cpu(process.threadCpuUsage()) - main0;
  const restNs = cpu(process.cpuUsage()) - process0 - mainNs;
  await log.close();
  await store.close();
  const each = (ns: number): string => `${(ns / EVENTS).toFixed(0)} ns`;
  const bytes = ((await stat(path)).size / (EVENTS * 1.1)).toFixed(1);
  console.log(
    `${name}: main ${each(mainNs)}, rest ${each(restNs)}, elapsed ${each(wallNs)}, ${bytes} bytes an event`,
  );
  await rm(folder, { recursive: true });
}

async function write(
  log: StoredAuditLog,
  batch: readonly ReturnType<typeof entry>[],
  events: number,
): Promise<void> {
  for (let done = 0; done < events; done += BATCH) {
    for (let i = 0; i < BATCH; i++) {
      const one = batch[i]!;
      one.startedAtMs += 0.25;
      one.durationMs = DURATIONS[(done + i * 7) % DURATIONS.length]!;
      log.finish(one);
    }
    if (log.saturated) await new Promise<void>((resolve) => log.onceDrained(resolve));
    if (done % (BATCH * 10) === 0) await log.flush();
  }
  await log.flush();
}

function cpu(usage: { user: number; system: number }): number {
  return (usage.user + usage.system) * 1000;
}
