/**
 * `npm run test:kill -- [--rounds 100] [--seed N] [--version 18|15]`: kills the gateway under load, again and again; and
 * then at every step of a DROP, and of what changes one row.
 */
import { parseArgs } from 'node:util';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { killOnce } from './kill-run.ts';
import { DELETE_OF_ONE, DROP, DROP_IN_BLOCK, killAt, UPDATE_OF_ONE } from './kill-step-run.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
  },
});
/** Messages in front of which it is killed: Parse of the gateway's, ReadyForQuery, and CommandComplete where many share one. */
const STEPS = [
  { from: 'client', type: 'P' },
  { from: 'server', type: 'Z' },
] as const;
const STEPS_OF_ONE = [...STEPS, { from: 'server', type: 'C' }] as const;
const SCENES = [
  ['a DROP', DROP, STEPS],
  ['a DROP in a block', DROP_IN_BLOCK, STEPS],
  ['a DELETE of one row', DELETE_OF_ONE, STEPS_OF_ONE],
  ['an UPDATE of one row', UPDATE_OF_ONE, STEPS_OF_ONE],
] as const;

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
  const steps: Record<string, number> = {};
  for (const [what, scene, kinds] of SCENES) {
    for (const { from, type } of kinds) {
      for (let nth = 1; ; nth++) {
        const { problems, where } = await killAt(postgres, { from, type, nth }, scene);
        for (const problem of problems) {
          wrong++;
          console.log(`${what}, in front of ${type} ${nth} of the ${from}: ${problem}`);
        }
        if (where === null) break;
        const key = `${what}, ${where}`;
        steps[key] = (steps[key] ?? 0) + 1;
      }
    }
  }
  console.log(JSON.stringify({ steps, wrong }));
  if (wrong > 0) process.exitCode = 1;
} finally {
  await postgres.stop();
}
