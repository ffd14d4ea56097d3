import { connect, createServer, type Server, type ServerOpts, type Socket } from 'node:net';

/** Listens on a free port, knows which sockets are open, and ends together with them. */
export class Listener {
  readonly port: number;
  readonly sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(options: ServerOpts = { noDelay: true }): Promise<Listener> {
    const server = createServer(options);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return new Listener(server, address.port);
  }

  onSocket(accept: (socket: Socket) => void): void {
    this.#server.on('connection', (socket) => accept(this.keep(socket)));
  }

  /** One that goes with the others; what fails of it is seen by its close. */
  keep(socket: Socket): Socket {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    return socket;
  }

  /** To where a proxy leads. */
  connect(port: number): Socket {
    return this.keep(connect({ port, host: '127.0.0.1', noDelay: true }));
  }

  closeAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.closeAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
