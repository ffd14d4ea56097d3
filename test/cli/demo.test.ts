import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { freePorts } from '../support/ports.ts';
import { reapAtExit } from '../support/reap.ts';
import { holdfast } from './support.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

let folder: { readonly path: string; remove(): Promise<void> };
let environment: Record<string, string>;
let child: ChildProcess | null = null;

beforeAll(async () => {
  folder = await temporaryFolder();
  const [port, adminPort] = await freePorts(2);
  environment = {
    HOLDFAST_LISTEN: `127.0.0.1:${port}`,
    HOLDFAST_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
    HOLDFAST_SNAPSHOTS: `file:${join(folder.path, 'data/snapshots')}`,
    HOLDFAST_AUDIT_SIGNING_KEY: join(folder.path, 'data/audit-key.pem'),
  };
});
afterEach(async () => {
  if (child === null) return;
  const ended = new Promise((resolve) => child!.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
  child = null;
});
afterAll(async () => {
  await folder?.remove();
});

/** `npm start` in a directory of its own; gives what it has printed. */
async function start(more: Record<string, string> = {}): Promise<string> {
  const { PATH = '', HOME = '' } = process.env;
  child = spawn(process.execPath, [MAIN, 'serve'], {
    cwd: folder.path,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH, HOME, HOLDFAST_LOG_LEVEL: 'fatal', ...environment, ...more },
  });
  reapAtExit(child, 'SIGTERM');
  let out = '';
  await new Promise<void>((resolve, reject) => {
    child!.once('exit', () => reject(new Error(`the gateway ended:\n${out}`)));
    child!.stdout!.on('data', (chunk: Buffer) => {
      out += chunk.toString('utf8');
      if (out.includes('Press Ctrl-C')) resolve();
    });
  });
  return out;
}

it('plays the story on the sample, twice if need be, and leaves the data as they were', {
  timeout: 120_000,
}, async () => {
  const printed = await start();
  expect(printed).toMatch(/npm run -s holdfast -- demo$/m);
  const token = /HOLDFAST_TOKEN=(hf_\S+)/.exec(printed)![1]!;
  let env = environment;
  for (const time of ['first', 'second']) {
    const { code, out, err } = await holdfast(['demo'], { env });
    expect([time, code, err]).toEqual([time, 0, '']);
    expect(out).toMatch(/^ {4}UPDATE 15, in \d+ ms$/m);
    expect(out).toMatch(/^ {4}Done: 15 rows set back\.$/m);
    expect(out).toMatch(/^ {4}450 +1800 +4400$/m);
    expect(out).toMatch(/^ {4}Done: 850 rows put back\.$/m);
    expect(out).not.toContain('--triggers skip');
    if (time === 'first') expect(out).toContain('With HOLDFAST_TOKEN set');
    else expect(out).toMatch(/approvals approve apr_[\s\S]*Done: what was dropped is back\./);
    env = { ...env, HOLDFAST_TOKEN: token };
    expect(out).toMatch(/^Every row of customers, products, orders, order_lines is as it was before\.$/m);
  }
  // Undo over HTTP needs nothing more, either: the sample's password is no secret.
  const { items } = JSON.parse((await holdfast(['snapshots', '--json', '-n', '2'], { env })).out);
  // Undo past the gateway finds the sample that runs here, and with the token the gateway does it.
  for (const flags of [['--offline'], []]) {
    const args = [MAIN, 'undo', items[1].id, '--dry-run', '--json', ...flags];
    const { PATH = '', HOME = '' } = process.env;
    const admin = { HOLDFAST_ADMIN_URL: `http://${environment['HOLDFAST_ADMIN_LISTEN']}` };
    const more = { cwd: folder.path, env: { PATH, HOME, ...env, ...admin } };
    const ran = spawnSync(process.execPath, args, more);
    expect([ran.status, JSON.parse(ran.stdout.toString())]).toMatchObject([
      0,
      { audited: flags.length === 0 },
    ]);
  }
  const url = `http://${environment['HOLDFAST_ADMIN_LISTEN']}/v1/snapshots/${items[1].id}/undo/preview`;
  const answer = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  expect(await answer.json()).toMatchObject({ tables: [{ removed: 50 }, {}, {}], conflicts: [], next: null });
});

it('puts the data back itself where no snapshots are taken, and says what to set', {
  timeout: 60_000,
}, async () => {
  await start({ HOLDFAST_SNAPSHOTS_TAKEN: 'off', HOLDFAST_SNAPSHOTS: `file:${join(folder.path, 'none')}` });
  const env = { ...environment, HOLDFAST_SNAPSHOTS: `file:${join(folder.path, 'none')}` };
  const { code, err } = await holdfast(['demo'], { env });
  expect([code, err]).toEqual([2, expect.stringContaining('HOLDFAST_SNAPSHOTS_TAKEN=on')]);
});

it('says what to start where nothing is there', async () => {
  const { code, err } = await holdfast(['demo'], { env: environment });
  expect([code, err]).toEqual([
    1,
    expect.stringMatching(/there is no sample database behind[\s\S]*npm start/),
  ]);
});
