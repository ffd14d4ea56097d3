/** `npm run test:soak -- [--connections 10000] [--seed N] [--through pipe]` */
import { parseArgs } from 'node:util';
import { startGateway, startPipe } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { residentBytes } from '../support/process-facts.ts';
import { seedOfRun } from '../support/random.ts';
import { soak } from './soak-run.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '10000' },
    seed: { type: 'string' },
    through: { type: 'string', default: 'gateway' },
  },
});
const seed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres();
const middle =
  values.through === 'pipe'
    ? await startPipe(postgres.port)
    : await startGateway({ upstreamPort: postgres.port });
try {
  const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0)} MiB`;
  const result = await soak(postgres, middle, {
    connections: Number(values.connections),
    seed,
    onProgress: (done) => {
      if (done > 0 && done % 1000 === 0)
        console.log(`${done} connections, ${mib(residentBytes(middle.pid))}`);
    },
  });
  console.log(result.problems.join('\n'));
  console.log(
    `${result.connections} connections from seed ${seed}: ${result.problems.length} problems, ` +
      `files ${result.filesBefore} → ${result.filesAfter}, ` +
      `memory ${mib(result.residentBefore)} → ${mib(result.residentAfter)}`,
  );
  if (result.problems.length > 0) process.exitCode = 1;
} finally {
  await middle.stop();
  await postgres.stop();
}
