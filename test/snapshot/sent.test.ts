import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { SNAPSHOTS, startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { runSent, SentTally } from './sent.ts';
import { sentScript, shownScript } from './sent-script.ts';
import { SENT_POLICY, settingOf } from './sent-setting.ts';

const SESSIONS = 5;

/** `npm run fuzz:sent` does the same at length, and makes what it finds small. */
describe('sessions that destroy, in every form in which statements are sent', () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    gateway = await startGateway({
      upstreamPort: postgres.port,
      policy: SENT_POLICY,
      environment: SNAPSHOTS,
    });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it('read what they would read directly, and leave snapshots of all that they commit', async () => {
    const store = new DirectoryBlobStore(join(gateway.directory, 'snapshots'));
    const setting = await settingOf(postgres, gateway, store);
    const tally = new SentTally();
    const seed = seedOfRun(900);
    for (let i = 0; i < SESSIONS; i++) {
      const script = sentScript(seed + i);
      const found = await runSent(setting, script, tally);
      if (found !== null) expect.fail(`${found}\n${shownScript(script)}`);
    }
    // Most of what is committed has snapshots, or the test would prove little.
    expect(tally.proved).toBeGreaterThan(tally.groups / 2);
    expect(tally.snapshots).toBeGreaterThan(SESSIONS);
  }, 60_000);
});
