import { atLength } from '../support/at-length.ts';
import { startGateway, startPipe } from '../support/gateway.ts';
import { residentBytes } from '../support/process-facts.ts';
import { withMemoryProbe } from './memory-held.ts';
import { type Look, memoryProblems, soak } from './soak-run.ts';

const SOAK = {
  script: 'test:soak',
  does: `Bad connections by the thousand. What the process holds is compared between the end of the warm-up, whose connections are
among them, and the end of all.`,
  numbers: { connections: [10_000, 'in all'], 'warm-up': [4_000, 'connections of it'] },
  words: { through: [['gateway', 'pipe'], 'what stands between'] },
} as const;

const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

await atLength(SOAK, async (run) => {
  const [connections, warmUp] = [run.number('connections'), run.number('warm-up')];
  const isPipe = run.word('through') === 'pipe';
  const postgres = await run.postgres();
  const environment = { ...withMemoryProbe(), HOLDFAST_SNAPSHOTS_TAKEN: 'off' };
  const middle = run.stopping(
    isPipe
      ? await startPipe(postgres.port, environment)
      : await startGateway({ upstreamPort: postgres.port, environment }),
  );
  const result = await soak(postgres, middle, {
    connections: connections - warmUp,
    warmUp,
    seed: run.seed,
    probed: true,
    judged: !isPipe,
    onProgress: (done) => {
      if (done > 0 && done % 1000 === 0)
        console.log(`${done} connections, ${mib(residentBytes(middle.pid))} resident`);
    },
  });
  tell('at the start', result.atStart);
  tell(`after ${warmUp} connections`, result.warm);
  tell(`after ${connections} connections`, result.atEnd);
  for (const problem of [...result.problems, ...memoryProblems(result)]) run.found(problem);
  run.tell({ connections });
});

function tell(when: string, look: Look): void {
  console.log(
    `${when}: heap ${mib(look.held!.heapUsed)}, buffers ${mib(look.held!.arrayBuffers)}, ` +
      `resident ${mib(look.resident)}, ${look.files} files`,
  );
}
