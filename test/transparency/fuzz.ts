import { atLength, type Run } from '../support/at-length.ts';
import { type Middle, startGateway, startPipe } from '../support/gateway.ts';
import { fuzz, printFinding } from './differential.ts';

const FUZZ = {
  script: 'fuzz',
  does: `Random sessions, directly and through a gateway, compared message for message. The bare pipe in the gateway's place
tests the fuzzer itself; with snapshots the gateway takes one of whatever it can.`,
  repeats: ['sessions', 3_000],
  numbers: { workers: [3, 'that run sessions side by side'] },
  words: { through: [['gateway', 'pipe', 'snapshots'], 'what stands between'] },
} as const;

const EVERYTHING_SNAPSHOTTED = {
  policy: `
mode: protect
rules:
  - { name: what changes, match: { operation: [insert, update, delete, merge, truncate] }, action: snapshot, snapshot: best_effort }
  - { name: the rest, action: allow }
`,
  environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on' },
};

await atLength(FUZZ, async (run) => {
  const postgres = await run.postgres();
  const middle = run.stopping(await startMiddle(run, postgres.port));
  const { findings, ...figures } = await fuzz({
    postgres,
    middlePort: middle.port,
    firstSeed: run.seed,
    sessions: run.times,
    workers: run.number('workers'),
    findingsMax: run.findingsMax,
    deadlineMs: run.secondsLeft * 1000,
    onProgress: (done) => run.progress(done),
  });
  middle.assertAlive();
  for (const finding of findings) run.found(printFinding(finding), finding.seed);
  run.tell(figures);
});

async function startMiddle(run: Run, upstreamPort: number): Promise<Middle> {
  if (run.word('through') === 'pipe') return await startPipe(upstreamPort);
  if (run.word('through') === 'gateway') return await startGateway({ upstreamPort });
  process.env['HOLDFAST_FUZZ_ERRORS'] = 'code';
  return await startGateway({ upstreamPort, ...EVERYTHING_SNAPSHOTTED });
}
