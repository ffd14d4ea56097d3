/**
 * Sessions that destroy, in every form in which statements are sent, directly and through a gateway that takes snapshots:
 * `npm run fuzz:sent -- --sessions 500 --seed 7 --version 15`.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { auditFaultsOfKilled } from '../robustness/audit-verified.ts';
import { SNAPSHOTS, startGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { runSent, SentTally, shownFinding, shrunk } from './sent.ts';
import { sentScript } from './sent-script.ts';
import { SENT_POLICY, settingOf } from './sent-setting.ts';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '200' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
    show: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '100000' },
  },
});

const firstSeed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
const gateway = await startGateway({
  upstreamPort: postgres.port,
  policy: SENT_POLICY,
  environment: SNAPSHOTS,
});
const store = new DirectoryBlobStore(join(gateway.directory, 'snapshots'));
const started = performance.now();
try {
  const setting = await settingOf(postgres, gateway, store);
  const tally = new SentTally();
  let findings = 0;
  for (let i = 0; i < Number(values.sessions) && findings < Number(values.show); i++) {
    if (performance.now() - started > Number(values.seconds) * 1000) break;
    const script = sentScript(firstSeed + i);
    const found = await runSent(setting, script, tally).catch(
      (error: unknown) => `the test itself: ${error instanceof Error ? error.stack : String(error)}`,
    );
    if (found === null) continue;
    findings++;
    console.log(`\n${shownFinding(await shrunk(setting, script, found))}`);
  }
  gateway.assertAlive();
  const faults = gateway
    .log()
    .split('\n')
    .filter((line) => line.includes('"level":"error"'));
  faults.push(...(await auditFaultsOfKilled(gateway, store)));
  for (const line of faults.slice(0, 5)) console.log(line);
  const seconds = (performance.now() - started) / 1000;
  console.log(
    JSON.stringify({
      version: values.version,
      firstSeed,
      ...tally,
      findings,
      faults: faults.length,
      seconds,
    }),
  );
  if (findings > 0 || faults.length > 0) process.exitCode = 1;
} finally {
  await gateway.stop();
  await postgres.stop();
}
