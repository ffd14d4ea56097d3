/** `npm run test:fire -- [--seconds 120] [--seed N] [--version 18|15]`: everything fails at once, and nothing is lost. */
import { parseArgs } from 'node:util';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { fire } from './fire-run.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
  },
});
const seed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
try {
  const { problems, ...figures } = await fire(postgres, seed, Number(values.seconds));
  for (const problem of problems) console.log(problem);
  console.log(JSON.stringify({ seed, seconds: Number(values.seconds), ...figures, wrong: problems.length }));
  if (problems.length > 0) process.exitCode = 1;
} finally {
  await postgres.stop();
}
