/**
 * `npm run test:soak -- [--connections 10000] [--warm-up 4000] [--seed N] [--through gateway|pipe]`: bad
 * connections by the thousand. The connections of the warm-up are among those of `--connections`; what the process
 * holds is compared between its end and the end of all.
 */
import { parseArgs } from 'node:util';
import { startGateway, startPipe } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { residentBytes } from '../support/process-facts.ts';
import { seedOfRun } from '../support/random.ts';
import { withMemoryProbe } from './memory-held.ts';
import { type Look, memoryProblems, soak } from './soak-run.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '10000' },
    'warm-up': { type: 'string', default: '4000' },
    seed: { type: 'string' },
    through: { type: 'string', default: 'gateway' },
  },
});
const seed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const through = values.through;
const warmUp = Number(values['warm-up']);
const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

const postgres = await startPostgres();
const environment = { ...withMemoryProbe(), HOLDFAST_SNAPSHOTS_TAKEN: 'off' };
const middle =
  through === 'pipe'
    ? await startPipe(postgres.port, environment)
    : await startGateway({ upstreamPort: postgres.port, environment });
try {
  const result = await soak(postgres, middle, {
    connections: Number(values.connections) - warmUp,
    warmUp,
    seed,
    probed: true,
    judged: through !== 'pipe',
    onProgress: (done) => {
      if (done > 0 && done % 1000 === 0)
        console.log(`${done} connections, ${mib(residentBytes(middle.pid))} resident`);
    },
  });
  tell('at the start', result.atStart);
  tell(`after ${warmUp} connections`, result.warm);
  tell(`after ${values.connections} connections`, result.atEnd);
  const problems = [...result.problems, ...memoryProblems(result)];
  console.log(problems.join('\n'));
  console.log(`${values.connections} connections from seed ${seed}: ${problems.length} problems`);
  if (problems.length > 0) process.exitCode = 1;
} finally {
  await middle.stop();
  await postgres.stop();
}

function tell(when: string, look: Look): void {
  console.log(
    `${when}: heap ${mib(look.held!.heapUsed)}, buffers ${mib(look.held!.arrayBuffers)}, ` +
      `resident ${mib(look.resident)}, ${look.files} files`,
  );
}
