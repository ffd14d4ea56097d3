import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { readKeyFile } from '../../src/audit/key-file.ts';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { signCut } from '../../src/audit/signed-head.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { takeApart } from '../../src/sql/recent/shape-pieces.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { ChainedStore } from './chained-store.ts';
import { entry } from './statements.ts';

const SUM = takeApart(Buffer.from('select \u0001 + \u0004'));

it('the reader that docs/audit.md gives reads what the gateway wrote', async () => {
  const folder = await temporaryFolder();
  const path = join(folder.path, 'holdfast.db');
  const store = await SqliteControlStore.open(path);
  const log = await StoredAuditLog.open({ store, metrics: new Metrics(), log: createLogger('silent') });
  log.finish(entry({ text: 'select 1' }));
  await log.flush();
  log.finish(entry({ text: `select '${'x'.repeat(50_000)}'` }));
  for (let i = 0; i < 50; i++) log.finish(entry({ text: 'the same' }));
  for (const i of [3, 45]) log.finish(entry({ text: `select ${i} + '$1'`, shape: SUM }));
  await log.close();
  await store.close();

  const docs = await readFile(new URL('../../docs/audit.md', import.meta.url), 'utf8');
  const reader = join(folder.path, 'read.mjs');
  await writeFile(reader, [...docs.matchAll(/```js\n(.*?)```/gs)][0]![1]!);
  const { stdout } = await promisify(execFile)(process.execPath, [reader, path]);
  const lines = stdout.trimEnd().split('\n');
  expect(lines).toHaveLength(54);
  expect(lines[0]).toMatch(
    /^1 2026-05-17T09:30:05\.250Z \{"id":"ses_1",.*\} \{"action":"allow",.*\} select 1$/,
  );
  expect(lines[1]).toMatch(/^2 .* select 'x{10000,}$/);
  expect(lines[51]).toMatch(/^52 .* the same$/);
  expect(lines[52]).toMatch(/^53 .* select 3 \+ '\$1'$/);
  expect(lines[53]).toMatch(/^54 .* select 45 \+ '\$1'$/);
  await folder.remove();
});

it('the verifier that docs/audit.md gives agrees with the one that is built in', async () => {
  const audit = await ChainedStore.create();
  await audit.start();
  for (let i = 0; i < 600; i++) {
    audit.log.finish(entry({ text: `select ${i % 5}`, approvalId: i % 7 === 0 ? `apr_${i}` : null }));
    if (i % 2 === 0) await audit.log.flush();
  }
  await audit.stop();
  const docs = await readFile(new URL('../../docs/audit.md', import.meta.url), 'utf8');
  const verifier = join(audit.folder, 'verify.mjs');
  await writeFile(verifier, [...docs.matchAll(/```js\n(.*?)```/gs)][1]![1]!);
  const run = () => promisify(execFile)(process.execPath, [verifier, audit.path]);
  expect((await run()).stdout).toBe('600 records\n');
  expect(await audit.verify()).toMatchObject({ faults: [], lastSeq: 600 });
  await audit.start();
  const end = (await audit.store.auditEndBefore(Date.now(), 3))!;
  await audit.store.cutAudit(signCut({ ...end, time: new Date().toISOString() }, readKeyFile(audit.keyPath)));
  await audit.stop();
  expect((await run()).stdout).toBe('600 records\n');
  expect(await audit.verify()).toMatchObject({ faults: [], cut: { sequence: end.sequence }, lastSeq: 600 });
  audit.tamper((database) =>
    database.exec(`update audit_blocks set hash = zeroblob(32) where first_seq = ${end.sequence + 1}`),
  );
  await expect(run()).rejects.toThrow('are not what their hash is of');
  await audit.remove();
});
