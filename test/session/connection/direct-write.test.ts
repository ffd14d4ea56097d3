import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DirectWriter } from '../../../src/session/connection/direct-write.ts';
import { Link } from '../../../src/session/connection/link.ts';

let server: Server;
let link: Link;
let peer: Socket;
beforeEach(async () => {
  server = createServer({ pauseOnConnect: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  link = Link.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  await once(link.socket, 'connect');
  [peer] = await accepted;
  peer.on('error', () => {});
});
afterEach(() => {
  link.destroy();
  peer.destroy();
  server.close();
});

/** Bytes that tell where in all that is sent they stand. */
function numbered(from: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => ((from + i) * 2654435761) >>> 24));
}

/** Relays out of one memory that is written over at once, until libuv has something left. Gives how much it was. */
function fill(lengthOf: (round: number) => number): number {
  const memory = Buffer.alloc(65536);
  const writer = writerOf(link);
  let sent = 0;
  for (let round = 0; !writer.isUnderWay; round++) {
    const length = lengthOf(round);
    numbered(sent, length).copy(memory, round % 7);
    link.relay(memory, round % 7, (round % 7) + length);
    memory.fill(0);
    sent += length;
    if (sent > 64 * 1024 ** 2) throw new Error('the kernel takes everything');
  }
  return sent;
}

function writerOf(of: Link): DirectWriter {
  return (of as unknown as { direct: DirectWriter }).direct;
}

async function received(length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  peer.resume();
  peer.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
  });
  while (bytes < length) await sleep(1);
  return Buffer.concat(chunks);
}

test('what the kernel does not take at once comes behind what it has taken, whatever is written over it', async () => {
  let sent = fill((round) => 1 + ((round * 37) % 4096));
  const memory = Buffer.alloc(65536);
  for (const length of [1, 4096, 5000, 60_000, 12, 3]) {
    numbered(sent, length).copy(memory);
    link.relay(memory, 0, length);
    memory.fill(0);
    sent += length;
  }
  link.write(numbered(sent, 100));
  sent += 100;
  expect(link.bytesOut).toBe(sent);
  expect((await received(sent)).equals(numbered(0, sent))).toBe(true);
  // It is at rest again, and goes straight to the kernel.
  expect(writerOf(link).isUnderWay).toBe(false);
  expect(link.socket.writableLength).toBe(0);
  numbered(sent, 50).copy(memory);
  link.relay(memory, 0, 50);
  expect(link.socket.writableLength).toBe(0);
});

test("another connection writes meanwhile, and neither sees what is the other's", async () => {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const other = Link.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  await once(other.socket, 'connect');
  const [otherPeer] = await accepted;
  const heard = new Promise<Buffer>((resolve) => otherPeer.resume().once('data', resolve));
  const sent = fill(() => 4096);
  other.relay(Buffer.alloc(4096, 'x'), 0, 4096);
  expect(String(await heard)).toMatch(/^x+$/);
  expect((await received(sent)).equals(numbered(0, sent))).toBe(true);
  other.destroy();
});

test('the end of what is sent comes behind what the kernel has not taken yet', async () => {
  const sent = fill(() => 2048);
  link.end();
  const ended = once(peer, 'end');
  expect((await received(sent)).length).toBe(sent);
  await ended;
});

test('a peer that goes while something is under way ends the connection, read or not', async () => {
  link.pause();
  fill(() => 2048);
  const closed = new Promise<Error | null>((resolve) => {
    link.handler = { ...link.handler, onClose: resolve };
  });
  peer.resetAndDestroy();
  expect((await closed)?.message).toMatch(/could not be sent/);
});

test('a connection that is destroyed while something is under way is closed once, without an error', async () => {
  fill(() => 2048);
  const ends: (Error | null)[] = [];
  link.handler = { ...link.handler, onClose: (error) => ends.push(error) };
  link.destroy();
  await once(link.socket, 'close');
  await sleep(10);
  expect(ends).toEqual([null]);
});

test('nothing is taken for a peer that is gone, which the stream then says', async () => {
  const writer = writerOf(link);
  const closed = new Promise((resolve) => {
    link.handler = { ...link.handler, onClose: resolve };
  });
  peer.resetAndDestroy();
  await closed;
  expect(writer.write(Buffer.from('late'), 0, 4)).toBe(0);
});

test('there is none for a socket that is not connected', () => {
  const socket = connect({ host: '127.0.0.1', port: 1 }).on('error', () => {});
  socket.destroy();
  expect(DirectWriter.of(socket)).toBeNull();
});
