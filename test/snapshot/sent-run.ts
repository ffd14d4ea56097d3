import { join } from 'node:path';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { auditFaultsOfKilled } from '../robustness/audit-verified.ts';
import { atLength, testItself } from '../support/at-length.ts';
import { SNAPSHOTS, startGateway } from '../support/gateway.ts';
import { runSent, SentTally, shownFinding, shrunk } from './sent.ts';
import { sentScript } from './sent-script.ts';
import { SENT_POLICY, settingOf } from './sent-setting.ts';

const SENT = {
  script: 'fuzz:sent',
  does: `Sessions that destroy, in every form in which statements are sent, directly and through a gateway that takes
snapshots.`,
  repeats: ['sessions', 200],
} as const;

await atLength(SENT, async (run) => {
  const postgres = await run.postgres();
  const options = { upstreamPort: postgres.port, policy: SENT_POLICY, environment: SNAPSHOTS };
  const gateway = run.stopping(await startGateway(options));
  const store = new DirectoryBlobStore(join(gateway.directory, 'snapshots'));
  const setting = await settingOf(postgres, gateway, store);
  const tally = new SentTally();
  await run.each(async (seed) => {
    const script = sentScript(seed);
    const found = await runSent(setting, script, tally).catch(testItself);
    return found === null
      ? null
      : shownFinding(await shrunk((one) => runSent(setting, one, new SentTally()), script, found));
  });
  run.foundIn(gateway);
  for (const fault of await auditFaultsOfKilled(gateway, store)) run.found(fault);
  run.tell(tally);
});
