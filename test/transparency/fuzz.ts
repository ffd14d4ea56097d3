/**
 * The differential fuzzer at length: `npm run fuzz -- --sessions 5000 --seed 7 --version 15`.
 * `--through pipe` puts the bare pipe in the gateway's place, to test the fuzzer itself; `--through snapshots` has the
 * gateway take a snapshot of whatever it can.
 */
import { parseArgs } from 'node:util';
import { startGateway, startPipe } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { fuzz, printFinding } from './differential.ts';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '3000' },
    seed: { type: 'string' },
    workers: { type: 'string', default: '3' },
    version: { type: 'string', default: '18' },
    through: { type: 'string', default: 'gateway' },
    findings: { type: 'string', default: '5' },
  },
});

const EVERYTHING_SNAPSHOTTED = {
  policy: `
mode: protect
rules:
  - { name: what changes, match: { operation: [insert, update, delete, merge, truncate] }, action: snapshot, snapshot: best_effort }
  - { name: the rest, action: allow }
`,
  environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on' },
};

if (values.through === 'snapshots') process.env['HOLDFAST_FUZZ_ERRORS'] = 'code';
const firstSeed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
const middle =
  values.through === 'pipe'
    ? await startPipe(postgres.port)
    : await startGateway({
        upstreamPort: postgres.port,
        ...(values.through === 'snapshots' ? EVERYTHING_SNAPSHOTTED : {}),
      });
const started = performance.now();
try {
  const result = await fuzz({
    postgres,
    middlePort: middle.port,
    firstSeed,
    sessions: Number(values.sessions),
    workers: Number(values.workers),
    findingsMax: Number(values.findings),
    onProgress: (done) => {
      if (done % 500 === 0) console.log(`${done} sessions`);
    },
  });
  middle.assertAlive();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  for (const finding of result.findings) console.log(`\n${printFinding(finding)}`);
  console.log(
    `${result.sessions} sessions from seed ${firstSeed}, ${result.messages} messages compared in ${seconds} s, ` +
      `${result.stuck} stuck on both sides, ${result.findings.length} differences`,
  );
  if (result.findings.length > 0) process.exitCode = 1;
} finally {
  await middle.stop();
  await postgres.stop();
}
