/**
 * `npm run test:kill -- [--rounds 100] [--seed N] [--version 18|15]`: kills the gateway under load, again and again; and
 * then at every step of a DROP.
 */
import { parseArgs } from 'node:util';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { killDropAt } from './kill-drop-run.ts';
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
  const drops: Record<string, number> = {};
  for (const inBlock of [false, true]) {
    for (const from of ['client', 'server'] as const) {
      for (let nth = 1; ; nth++) {
        const { problems, where } = await killDropAt(postgres, { from, nth }, inBlock);
        for (const problem of problems) {
          wrong++;
          console.log(`in front of ${nth} of the ${from}${inBlock ? ' in a block' : ''}: ${problem}`);
        }
        if (where === null) break;
        drops[where] = (drops[where] ?? 0) + 1;
      }
    }
  }
  console.log(JSON.stringify({ drops, wrong }));
  if (wrong > 0) process.exitCode = 1;
} finally {
  await postgres.stop();
}
