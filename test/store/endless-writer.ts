import { writeSync } from 'node:fs';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';

/**
 * The child that the SIGKILL test kills: several writers at once, each acknowledged number printed on a line of
 * its own, without a buffer between.
 */
const [, , path, from] = process.argv;
const store = await SqliteControlStore.open(path!);
let seq = Number(from);

async function writer(): Promise<void> {
  for (;;) {
    const own = ++seq;
    const block = {
      firstSeq: own,
      lastSeq: own,
      firstTimeMs: own,
      lastTimeMs: own,
      bytes: Buffer.alloc(300, own),
    };
    await Promise.all([
      store.appendAudit({ blocks: [block], opened: [], closed: [] }),
      store.setMeta('last', String(own)),
    ]);
    writeSync(1, `${own}\n`);
  }
}

await Promise.all([writer(), writer(), writer(), writer()]);
