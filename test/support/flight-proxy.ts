import { connect, createServer, type Server, type Socket } from 'node:net';

/** Long enough that whatever is sent without waiting for an answer has been sent. */
const QUIET_MS = 60;

/**
 * A proxy that counts flights: what is sent to a server before anything of its answer has come back. Answers are held
 * until both sides are quiet, so that the count does not hang on how fast they are.
 */
export class FlightProxy {
  readonly port: number;
  flights = 0;
  /** Parse messages among them. */
  parses = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(port: number, server: Server, sockets: Set<Socket>) {
    this.port = port;
    this.#server = server;
    this.#sockets = sockets;
  }

  static async start(to: number): Promise<FlightProxy> {
    const sockets = new Set<Socket>();
    let proxy: FlightProxy;
    const server = createServer({ noDelay: true }, (socket) => proxy.#accept(socket, to));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    proxy = new FlightProxy(address.port, server, sockets);
    return proxy;
  }

  reset(): void {
    this.flights = 0;
    this.parses = 0;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket, to: number): void {
    const server = connect({ port: to, host: '127.0.0.1', noDelay: true });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    let held: Buffer[] = [];
    let isUnderWay = false;
    let timer: NodeJS.Timeout | undefined;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (held.length === 0) return;
        client.write(Buffer.concat(held));
        held = [];
        isUnderWay = false;
      }, QUIET_MS);
    };
    client.on('data', (chunk: Buffer) => {
      if (!isUnderWay) this.flights++;
      isUnderWay = true;
      this.parses += parsesIn(chunk);
      server.write(chunk);
      wait();
    });
    server.on('data', (chunk: Buffer) => {
      held.push(chunk);
      wait();
    });
  }
}

/** In whole messages, as short ones come. */
function parsesIn(chunk: Buffer): number {
  let count = 0;
  for (let at = 0; at + 5 <= chunk.length; at += 1 + chunk.readInt32BE(at + 1)) {
    if (chunk[at] === 0x50) count++;
  }
  return count;
}
