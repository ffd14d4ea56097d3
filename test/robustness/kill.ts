/** `npm run test:kill -- [--rounds 100] [--seed N] [--version 18|15]`: kills the gateway under load, again and again. */
import { parseArgs } from 'node:util';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { killOnce } from './kill-run.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
  },
});
const seed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
const cutOff: Record<string, number> = {};
let [statements, committed, snapshots, wrong] = [0, 0, 0, 0];
try {
  for (let round = 0; round < Number(values.rounds); round++) {
    const result = await killOnce(postgres, seed + round);
    statements += result.statements;
    committed += result.committed;
    snapshots += result.snapshots;
    for (const [where, count] of Object.entries(result.cutOff)) cutOff[where] = (cutOff[where] ?? 0) + count;
    for (const problem of result.problems) {
      wrong++;
      console.log(`seed ${seed + round}: ${problem}`);
    }
  }
  console.log(
    JSON.stringify({ seed, rounds: values.rounds, statements, committed, snapshots, cutOff, wrong }),
  );
  if (wrong > 0) process.exitCode = 1;
} finally {
  await postgres.stop();
}
