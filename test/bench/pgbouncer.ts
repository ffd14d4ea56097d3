import { spawn } from 'node:child_process';
import { chownSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Middle } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { scratchFolder, serverOwner } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';
import { reapAtExit } from '../support/reap.ts';

export const PGBOUNCER = '/usr/sbin/pgbouncer';

/** PgBouncer in session mode, as the user who owns the server: it refuses to run as root. */
export async function startPgbouncer(upstreamPort: number): Promise<Middle> {
  const port = await freePort();
  const folder = await scratchFolder('pgbouncer');
  const owner = serverOwner();
  const configuration = join(folder, 'pgbouncer.ini');
  writeFileSync(
    configuration,
    `[databases]
* = host=127.0.0.1 port=${upstreamPort} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = session
max_client_conn = 300
default_pool_size = 120
log_connections = 0
log_disconnections = 0
`,
  );
  if (owner !== null) chownSync(folder, owner.uid, owner.gid);
  const child = spawn(PGBOUNCER, ['-q', configuration], { ...(owner ?? {}), cwd: folder, stdio: 'ignore' });
  reapAtExit(child, 'SIGKILL');
  await eventually('PgBouncer', async () => {
    const client = await RawClient.open(port).catch(() => null);
    if (client === null) return 'not listening';
    await client.terminate();
    return null;
  });
  return {
    port,
    pid: child.pid!,
    log: () => '',
    assertAlive() {},
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
