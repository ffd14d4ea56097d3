import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { eventually, openFiles } from '../support/process-facts.ts';
import { Random, seedOfRun } from '../support/random.ts';
import { HostileServer } from './hostile-server.ts';

const CLIENTS = 400;
const AT_ONCE = 20;
const POLICY = `
mode: protect
rules:
  - { name: what goes, match: { operation: [delete, "drop *"] }, action: snapshot }
  - { name: ask, match: { operation: [truncate] }, action: hold }
  - { name: the rest, action: allow }
`;

const TEXTS = [
  'select 1',
  'delete from t where id = 1',
  'drop table t',
  'begin',
  'commit',
  'truncate t',
  'copy t from stdin',
  'prepare s as select 1',
  'execute s',
  'do $$ begin end $$',
  'select f()',
];
const SAYS: readonly ((random: Random) => Buffer)[] = [
  (random) => fe.query(random.pick(TEXTS)),
  (random) => fe.parse(random.pick(['', 's']), random.pick(TEXTS)),
  (random) => fe.bind({ portal: random.pick(['', 'p']), statement: random.pick(['', 's']) }),
  (random) => fe.execute(random.pick(['', 'p'])),
  () => fe.sync(),
  () => fe.flush(),
  () => fe.describe('S', 's'),
  () => fe.close('S', 's'),
  () => fe.copyData('x\n'),
  () => fe.copyDone(),
];

describe('a server that says whatever comes to its mind', () => {
  const seed = seedOfRun(1);
  let server: HostileServer;
  let gateway: TestGateway;
  beforeAll(async () => {
    server = await HostileServer.start(seed);
    gateway = await startGateway({
      upstreamPort: server.port,
      policy: POLICY,
      environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on' },
    });
  });
  afterAll(async () => {
    await gateway?.stop();
    await server?.stop();
  });

  /** Reads nothing of what it is told, as that may be anything. */
  async function client(random: Random): Promise<void> {
    const socket = connect({ port: gateway.port, host: '127.0.0.1' });
    socket.on('error', () => {}).resume();
    socket.write(fe.startup({ user: 'a', database: 'a' }));
    for (let i = random.between(1, 8); i > 0; i--) {
      await new Promise((resolve) => setTimeout(resolve, random.between(0, 30)));
      const says = Array.from({ length: random.between(1, 6) }, () => random.pick(SAYS)(random));
      socket.write(Buffer.concat(says));
    }
    if (random.chance(0.3)) socket.end();
    else if (random.chance(0.4)) socket.resetAndDestroy();
    else socket.destroy();
    setTimeout(() => socket.destroy(), 1_000);
  }

  it('brings no session to a fault, and none stays behind', async () => {
    const before = openFiles(gateway.pid);
    let started = 0;
    const some = async () => {
      while (started < CLIENTS) await client(new Random(seed * 1_000 + ++started));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, some));
    gateway.assertAlive();
    // What a client has sent before it went waits for the server's answers, as it would directly.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    server.closeAll();
    await eventually(`seed ${seed}: the ends of all sessions`, async () => {
      const open = await gateway.metric('holdfast_sessions_open');
      const more = openFiles(gateway.pid) - before;
      return open === 0 && more <= 2 ? null : `${open} sessions and ${more} descriptors`;
    });
    expect(gateway.log()).not.toContain('because of a fault');
  });
});
