import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SNAPSHOTS, startGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.stop());

it('a gateway whose tokens cannot be read ends, though it listens for clients by then', async () => {
  const file = join(await scratchFolder('tokens'), 'tokens.yaml');
  writeFileSync(file, 'tokens:\n  - { name: ops, sha256: short, scopes: ["*"] }\n', { mode: 0o600 });
  const environment = { HOLDFAST_ADMIN_TOKENS: file };
  await expect(startGateway({ upstreamPort: postgres.port, environment })).rejects.toThrow(
    /the gateway is gone \(exit 2, .*expected the token's SHA-256/s,
  );
});

it('a gateway whose snapshots can never be stored ends before it listens', async () => {
  const folder = await scratchFolder('snapshots');
  writeFileSync(join(folder, 'file'), '');
  const started = (place: string) =>
    startGateway({
      upstreamPort: postgres.port,
      environment: { ...SNAPSHOTS, HOLDFAST_SNAPSHOTS: `file:${place}` },
    });
  await expect(started(join(folder, 'file'))).rejects.toThrow(
    /the gateway is gone \(exit 1, .*holdfast: a file stands where a folder of \S+file has to be/s,
  );
});

it.runIf(existsSync('/proc/self'))('a gateway ends where a folder of it can never be made', async () => {
  const started = (environment: Record<string, string>) =>
    startGateway({ upstreamPort: postgres.port, environment });
  await expect(started({ HOLDFAST_SNAPSHOTS: 'file:/proc/holdfast/snapshots' })).rejects.toThrow(
    'holdfast: the snapshots folder /proc/holdfast/snapshots cannot be made',
  );
  await expect(started({ HOLDFAST_STORE: 'sqlite:/proc/holdfast/h.db' })).rejects.toThrow(
    /holdfast: the store \/proc\/holdfast\/h\.db failed: ENOENT.*mkdir/,
  );
});
