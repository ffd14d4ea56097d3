import { writeSync } from 'node:fs';
import { ChainedStore } from './chained-store.ts';
import { entry, graveEntry } from './statements.ts';

/**
 * The child that the SIGKILL test kills: an audit that is signed and anchored all the time, with statements under
 * way. What is durable is printed, a number a line, without a buffer between.
 */
const HEADS_MS = 7;

const audit = ChainedStore.at(process.argv[2]!);
await audit.start(HEADS_MS);
for (let i = 0; ; i++) {
  const grave = graveEntry({ text: `delete from orders where id = ${i}` });
  audit.log.begin(grave);
  for (let n = 0; n < i % 5; n++) audit.log.finish(entry({ text: `select ${i}, ${n}` }));
  await audit.log.flush();
  if (i % 3 !== 0) audit.log.finish(grave);
  const { lastSeq } = await audit.store.auditHead();
  writeSync(1, `${lastSeq}\n`);
}
