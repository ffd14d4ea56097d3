import type { Socket } from 'node:net';
import { encodeErrorResponse, encodeMessage, encodeReadyForQuery } from '../../src/wire/backend.ts';
import * as fe from '../support/frontend-messages.ts';
import { Listener } from '../support/listener.ts';
import { Random } from '../support/random.ts';

const TYPES = [...'RSZCDEGHINTnst123AWVdcfv'];
const NONE = Buffer.alloc(0);

const message = (type: string, body: Buffer = NONE): Buffer => encodeMessage(type.charCodeAt(0), body);
const tag = (text: string): Buffer => message('C', Buffer.from(`${text}\0`));
const setting = (name: string, value: string): Buffer => message('S', Buffer.from(`${name}\0${value}\0`));
const error = (severity: string, sqlstate: string): Buffer =>
  encodeErrorResponse({ S: severity, V: severity, C: sqlstate, M: 'no' }, null);
const COLUMN = message('T', Buffer.concat([Buffer.from([0, 1]), Buffer.from('x\0'), Buffer.alloc(18)]));

function row(bytes: number): Buffer {
  const body = Buffer.alloc(6 + bytes);
  body.writeInt16BE(1);
  body.writeInt32BE(bytes, 2);
  return message('D', body);
}

/** A header that announces what never comes, or what no message may be. */
function lie(random: Random): Buffer {
  const lengths = [0, 3, 4, 5, 100, 70_000, 17_000_000, 0x7fffffff, 0xffffffff];
  return fe.messageClaiming(random.pick(TYPES), random.pick(lengths), random.bytes(random.between(0, 20)));
}

const SAYS: readonly (readonly [number, (random: Random) => Buffer])[] = [
  [6, (random) => encodeReadyForQuery(random.pick(['I', 'T', 'E']))],
  [
    6,
    (random) => tag(random.pick(['SELECT 1', 'BEGIN', 'COMMIT', 'ROLLBACK', 'DELETE 3', 'DISCARD ALL', ''])),
  ],
  [16, (random) => message(random.pick([...'123nsI']))],
  [3, (random) => error('ERROR', random.pick(['42601', '34000', '57014', '25P02']))],
  [1, () => error('FATAL', '57P01')],
  [3, () => COLUMN],
  [5, (random) => row(random.pick([0, 4, 2_000, 100_000]))],
  [4, (random) => message(random.pick([...'GHW']), Buffer.from([0, 0, 1, 0, 0]))],
  [
    2,
    (random) =>
      setting(
        random.pick(['search_path', 'client_encoding', 'standard_conforming_strings', 'x']),
        random.pick(['on', 'off', 'SJIS', 'UTF8']),
      ),
  ],
  [2, () => message('N', Buffer.from('SNOTICE\0C00000\0Mx\0\0'))],
  [2, (random) => message(random.pick(TYPES), random.bytes(random.between(0, 60)))],
  [1, lie],
];

/** What a query of the gateway's own would be answered with. */
const PLAUSIBLE = Buffer.concat([
  message('1'),
  message('2'),
  COLUMN,
  row(4),
  tag('SELECT 1'),
  message('3'),
  message('3'),
]);

/** Lets everybody in, and then says whatever PostgreSQL would not. */
export class HostileServer {
  readonly #listener: Listener;

  private constructor(listener: Listener, seed: number) {
    this.#listener = listener;
    let accepted = 0;
    listener.onSocket((socket) => {
      const random = new Random(seed * 10_000 + ++accepted);
      socket.once('data', () => {
        socket.write(welcome(accepted));
        socket.on('data', (chunk) => answer(socket, chunk, random));
      });
    });
  }

  static async start(seed: number): Promise<HostileServer> {
    return new HostileServer(await Listener.start({}), seed);
  }

  get port(): number {
    return this.#listener.port;
  }

  closeAll(): void {
    this.#listener.closeAll();
  }

  async stop(): Promise<void> {
    await this.#listener.stop();
  }
}

function welcome(processId: number): Buffer {
  return Buffer.concat([
    message('R', Buffer.alloc(4)),
    setting('client_encoding', 'UTF8'),
    setting('server_encoding', 'UTF8'),
    setting('standard_conforming_strings', 'on'),
    message('K', Buffer.concat([fe.int32(processId), fe.int32(processId)])),
    encodeReadyForQuery('I'),
  ]);
}

function answer(socket: Socket, chunk: Buffer, random: Random): void {
  const says: Buffer[] = [];
  if (random.chance(0.5) && chunk.includes('__holdfast_')) {
    for (let i = random.between(0, 4); i > 0; i--)
      says.push(PLAUSIBLE, encodeReadyForQuery(random.pick(['T', 'T', 'I'])));
  }
  for (let i = random.between(0, 12); i > 0; i--) says.push(random.weighted(SAYS)(random));
  const all = Buffer.concat(says);
  const first = random.chance(0.3) ? random.between(0, all.length) : all.length;
  socket.write(all.subarray(0, first));
  if (first < all.length) setTimeout(() => socket.write(all.subarray(first)), 5);
  if (random.chance(0.1)) socket.end();
  else if (random.chance(0.05)) socket.resetAndDestroy();
}
