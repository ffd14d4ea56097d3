import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startGateway } from '../support/gateway.ts';
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
