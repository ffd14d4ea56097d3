import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Link, LinkFault } from '../../../src/session/connection/link.ts';

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

test('a fault of who reads a connection ends that connection, and no other', async () => {
  const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
  await once(echo.listen(0, '127.0.0.1'), 'listening');
  const open = async () => {
    const link = Link.connect({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port });
    await once(link.socket, 'connect');
    return link;
  };
  const [faulty, other] = await Promise.all([open(), open()]);
  const closed = new Promise<Error | null>((resolve) => {
    faulty.handler = {
      ...faulty.handler,
      onBytes: () => {
        throw new Error('a fault of our own');
      },
      onClose: resolve,
    };
  });
  const heard = new Promise<string>((resolve) => {
    other.handler = {
      ...other.handler,
      onBytes: (bytes, length) => resolve(bytes.toString('utf8', 0, length)),
    };
  });
  faulty.write(Buffer.from('one'));
  expect(await closed).toBeInstanceOf(LinkFault);
  other.write(Buffer.from('two'));
  expect(await heard).toBe('two');
  other.destroy();
  echo.close();
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

test('what was read may change as soon as it is passed on, however slow those are who get it', async () => {
  const received: Buffer[][] = [];
  const slow = createServer({ pauseOnConnect: true }, (socket) => {
    const chunks: Buffer[] = [];
    received.push(chunks);
    socket.on('data', (chunk) => chunks.push(chunk));
    // Long enough for more to be written than the kernel takes.
    setTimeout(() => socket.resume(), 200);
  });
  await once(slow.listen(0, '127.0.0.1'), 'listening');
  const links = await Promise.all(
    [1, 2, 3].map(async () => {
      const link = Link.connect({ host: '127.0.0.1', port: (slow.address() as AddressInfo).port });
      await once(link.socket, 'connect');
      return link;
    }),
  );
  const chunk = Buffer.alloc(50_000);
  for (let turn = 0; turn < 200; turn++) {
    for (const [i, link] of links.entries()) {
      chunk.fill(turn * 3 + i);
      link.relay(chunk, turn % 7, chunk.length - i);
      chunk.fill(0xee);
    }
  }
  expect(links.some((link) => link.socket.writableLength > 0)).toBe(true);
  for (const link of links) link.end();
  await Promise.all(links.map((link) => once(link.socket, 'close')));
  const seen = received.map((chunks) => {
    const bytes = Buffer.concat(chunks);
    const i = bytes[0]!;
    const parts = Array.from({ length: 200 }, (_, turn) =>
      Buffer.alloc(chunk.length - i - (turn % 7), turn * 3 + i),
    );
    return bytes.equals(Buffer.concat(parts)) ? i : -1;
  });
  expect(seen.toSorted()).toEqual([0, 1, 2]);
  slow.close();
});

test('sends what is written soon at once, in one piece, and in front of what is written behind it', async () => {
  const chunks: Buffer[] = [];
  const server = createServer((socket) => {
    socket.on('data', (chunk) => chunks.push(chunk));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const link = Link.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  await once(link.socket, 'connect');
  link.relay(Buffer.from('-a'), 1, 2);
  link.writeSoon(Buffer.from('b'));
  link.relay(Buffer.from('-c'), 1, 2);
  await Promise.resolve();
  link.writeSoon(Buffer.from('d'));
  link.write(Buffer.from('e'));
  link.end(Buffer.from('f'));
  await once(link.socket, 'close');
  expect(Buffer.concat(chunks).toString()).toBe('abcdef');
  expect(link.bytesOut).toBe(6);
  server.close();
});
