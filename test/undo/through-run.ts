import { join } from 'node:path';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { auditFaultsOfKilled } from '../robustness/audit-verified.ts';
import { shownFinding, shrunk } from '../snapshot/sent.ts';
import { sentScript } from '../snapshot/sent-script.ts';
import { atLength, testItself } from '../support/at-length.ts';
import { runThrough, ThroughTally, throughGateway, throughSetting } from './through.ts';

const THROUGH = {
  script: 'fuzz:through',
  does: `Sessions that destroy, in every form in which statements are sent, in random schemas: through a gateway, undone over its
API, and every table compared byte for byte with how it was.`,
  repeats: ['sessions', 200],
} as const;

await atLength(THROUGH, async (run) => {
  const postgres = await run.postgres();
  const gateway = run.stopping(await throughGateway(postgres));
  const setting = await throughSetting(postgres, gateway);
  const tally = new ThroughTally();
  await run.each(async (seed) => {
    const script = sentScript(seed);
    const found = await runThrough(setting, script, tally).catch(testItself);
    if (found === null) return null;
    return shownFinding(await shrunk((one) => runThrough(setting, one, new ThroughTally()), script, found));
  });
  run.foundIn(gateway);
  const store = new DirectoryBlobStore(join(gateway.directory, 'snapshots'));
  for (const fault of await auditFaultsOfKilled(gateway, store)) run.found(fault);
  run.tell(tally);
});
