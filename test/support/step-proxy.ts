import { connect, createServer, type Server, type Socket } from 'node:net';

/** A place in what two sides say to each other: the nth message of that type from one of them, or its middle. */
export interface Step {
  readonly from: 'client' | 'server';
  readonly type: string;
  readonly nth: number;
  /** Messages count only behind the first packet of the client that holds these words. */
  readonly behind?: string;
}

/**
 * A proxy that stops one connection just in front of a message: what comes before it has been passed on, it and what
 * follows never is. It has to be set while nothing is under way.
 */
export class StepProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #step: Step | null = null;
  #counts = true;
  #reached: () => void = () => {};
  #seen = 0;
  #instead: Buffer | null = null;
  /** Where each direction stands, of the connection that is stopped. */
  readonly #counters = { client: new Messages(), server: new Messages() };

  private constructor(port: number, server: Server) {
    this.port = port;
    this.#server = server;
  }

  static async start(to: number): Promise<StepProxy> {
    let proxy: StepProxy;
    const server = createServer({ noDelay: true }, (socket) => proxy.#accept(socket, to));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    proxy = new StepProxy(address.port, server);
    return proxy;
  }

  /** Resolves when the step is reached, with nothing behind it passed on; `instead` is said in its place, as the last. */
  stopAt(step: Step, instead: Buffer | null = null): Promise<void> {
    this.#step = step;
    this.#instead = instead;
    this.#seen = 0;
    this.#counts = step.behind === undefined;
    for (const counter of Object.values(this.#counters)) counter.reset();
    return new Promise((resolve) => {
      this.#reached = resolve;
    });
  }

  /** How many such messages have come. */
  get seen(): number {
    return this.#seen;
  }

  get hasStopped(): boolean {
    return this.#step !== null && this.#seen >= this.#step.nth;
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
      const from = socket === client ? 'client' : 'server';
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.end();
      });
      socket.on('data', (chunk: Buffer) => {
        const passes = this.#passes(from, chunk);
        if (passes > 0) other.write(chunk.subarray(0, passes));
        if (this.#instead === null || !this.hasStopped) return;
        other.end(this.#instead);
        this.#instead = null;
      });
    }
  }

  #passes(from: 'client' | 'server', chunk: Buffer): number {
    const step = this.#step;
    if (step === null) return chunk.length;
    if (this.hasStopped) return 0;
    if (!this.#counts && from === 'client') this.#counts = chunk.includes(step.behind!);
    let passes = chunk.length;
    this.#counters[from].read(chunk, (type, at) => {
      if (from !== step.from || type !== step.type || this.hasStopped || !this.#counts) return;
      if (++this.#seen < step.nth) return;
      // A header that began in the chunk before has passed, and is no message.
      passes = Math.max(0, at);
      this.#reached();
    });
    return passes;
  }
}

/** Finds the messages in the bytes of one direction. */
class Messages {
  #header: number[] = [];
  #left = 0;

  reset(): void {
    this.#header = [];
    this.#left = 0;
  }

  read(chunk: Buffer, found: (type: string, at: number) => void): void {
    for (let at = 0; at < chunk.length; at++) {
      if (this.#left > 0) {
        const skip = Math.min(this.#left, chunk.length - at);
        this.#left -= skip;
        at += skip - 1;
        continue;
      }
      this.#header.push(chunk[at]!);
      if (this.#header.length < 5) continue;
      const [type, a, b, c, d] = this.#header as [number, number, number, number, number];
      this.#header = [];
      this.#left = ((a << 24) | (b << 16) | (c << 8) | d) - 4;
      found(String.fromCharCode(type), at - 4);
    }
  }
}
