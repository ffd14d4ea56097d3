/**
 * Sessions that change one row after another by its key, in transactions and by what is prepared, directly and through a
 * gateway: `npm run fuzz:ahead -- --sessions 500 --seed 7 --version 15`.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { SNAPSHOTS, startGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { AheadTally, AheadWatch, runAhead, shownAhead } from './ahead.ts';
import { aheadScript } from './ahead-script.ts';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '200' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
    show: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '100000' },
  },
});

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: what changes, match: { operation: [update, delete] }, action: snapshot }
  - { name: the rest, action: allow }
`;

const firstSeed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
const started = performance.now();
const seconds = () => (performance.now() - started) / 1000;
const DATABASES = ['ahead_direct', 'ahead_through'];
await postgres.sql('create role limited login');
for (const database of DATABASES) await postgres.sql(`create database ${database}`);
const watch = await AheadWatch.start(postgres.port);
const gateway = await startGateway({ upstreamPort: watch.port, policy: POLICY, environment: { ...SNAPSHOTS, EARLY_PAUSE: process.env["EARLY_PAUSE"] ?? "20" } });
const store = new DirectoryBlobStore(join(gateway.directory, 'snapshots'));
const undoing = await connectForUndo(postgres.url(DATABASES[1]!));
try {
  const [direct, through] = await Promise.all(
    DATABASES.map(async (database) => ({
      database,
      control: await RawClient.open(postgres.port, { database, application_name: 'control' }),
      other: await RawClient.open(postgres.port, { database, application_name: 'other' }),
    })),
  );
  const setting = {
    direct: { ...direct!, port: postgres.port },
    through: { ...through!, port: gateway.port },
    store,
    undoing,
  };
  const tally = new AheadTally();
  let findings = 0;
  for (let i = 0; i < Number(values.sessions) && findings < Number(values.show); i++) {
    if (seconds() > Number(values.seconds)) break;
    const script = aheadScript(firstSeed + i);
    const found = await runAhead(setting, script, tally).catch(
      (error: unknown) => `the test itself: ${error instanceof Error ? error.stack : String(error)}`,
    );
    await setting.direct.other.query('rollback');
    await setting.through.other.query('rollback');
    if (found === null) continue;
    findings++;
    console.log(`\nseed ${script.seed}: ${found}\n${values.sessions === '1' ? shownAhead(script) : ''}`);
  }
  gateway.assertAlive();
  const faults = gateway
    .log()
    .split('\n')
    .filter((line) => line.includes('"level":"error"') || line.includes('"level":50'));
  for (const line of faults.slice(0, 5)) console.log(line);
  const { inBlock, inBlockBack, bound, boundKept } = watch;
  console.log(JSON.stringify({ version: values.version, firstSeed, ...tally, inBlock, inBlockBack, bound, boundKept, findings, faults: faults.length, seconds: seconds() }));
  if (findings + faults.length > 0) process.exitCode = 1;
  for (const { control, other } of [direct!, through!]) for (const each of [control, other]) each.destroy();
} finally {
  await undoing.close();
  await store.close();
  await gateway.stop();
  await watch.stop();
  await postgres.stop();
}
