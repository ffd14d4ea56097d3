import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Link } from '../../src/session/link.ts';

let server: Server;
let port: number;
beforeAll(async () => {
  server = createServer((socket) => socket.on('error', () => {}).resume());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.close();
});

async function connected(): Promise<Link> {
  const link = Link.connect({ host: '127.0.0.1', port });
  await once(link.socket, 'connect');
  return link;
}

test('what is to be done after a while is done, if the connection still stands', async () => {
  const link = await connected();
  link.after(10, (it) => it.destroy());
  await once(link.socket, 'close');
});

test('nothing is kept in mind of a connection that is gone', async () => {
  const link = await connected();
  let done = 0;
  link.after(20, () => done++);
  link.destroy();
  await once(link.socket, 'close');
  link.after(20, () => done++);
  await sleep(60);
  expect(done).toBe(0);
});
