import { atLength } from '../support/at-length.ts';
import { fire } from './fire-run.ts';

const FIRE = {
  script: 'test:fire',
  does: 'Everything fails at once, gateway, network and storage, and nothing is lost.',
  numbers: { seconds: [120, 'of it'] },
} as const;

await atLength(FIRE, async (run) => {
  const { problems, ...figures } = await fire(await run.postgres(), run.seed, run.number('seconds'));
  for (const problem of problems) run.found(problem);
  run.tell(figures);
});
