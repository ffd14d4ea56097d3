import { atLength } from '../support/at-length.ts';
import { killOnce } from './kill-run.ts';
import { DELETE_OF_ONE, DROP, DROP_IN_BLOCK, killAt, UPDATE_OF_ONE } from './kill-step-run.ts';

const KILL = {
  script: 'test:kill',
  does: `Kills the gateway under load, again and again; and then at every step of a DROP, and of what changes one row. What is
committed is compared with what is recorded.`,
  repeats: ['rounds', 100],
} as const;

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

await atLength(KILL, async (run) => {
  const postgres = await run.postgres();
  const cutOff: Record<string, number> = {};
  let [statements, committed, snapshots] = [0, 0, 0];
  await run.each(async (seed) => {
    const result = await killOnce(postgres, seed);
    statements += result.statements;
    committed += result.committed;
    snapshots += result.snapshots;
    for (const [where, count] of Object.entries(result.cutOff)) cutOff[where] = (cutOff[where] ?? 0) + count;
    return result.problems;
  });
  const steps: Record<string, number> = {};
  for (const [what, scene, kinds] of SCENES) {
    for (const { from, type } of kinds) {
      for (let nth = 1; ; nth++) {
        const { problems, where } = await killAt(postgres, { from, type, nth }, scene);
        for (const problem of problems)
          run.found(`${what}, in front of ${type} ${nth} of the ${from}: ${problem}`);
        if (where === null) break;
        const key = `${what}, ${where}`;
        steps[key] = (steps[key] ?? 0) + 1;
      }
    }
  }
  run.tell({ statements, committed, snapshots, cutOff, steps });
});
