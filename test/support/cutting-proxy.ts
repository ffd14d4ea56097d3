import { connect, createServer, type Server, type Socket } from 'node:net';

/** Where a connection is cut, as the proxy in front of the real server sees it. */
export type Cut =
  | { readonly kind: 'never' }
  /** Accepted, and closed at once. */
  | { readonly kind: 'on-accept' }
  /** After so many bytes of the server's have passed. */
  | { readonly kind: 'after-server-bytes'; readonly bytes: number }
  /** Before the nth message of this type from the server; with `within`, in its middle. */
  | {
      readonly kind: 'at-server-message';
      readonly type: string;
      readonly nth: number;
      readonly within: boolean;
    }
  /** Instead of the server's first bytes, these; then nothing more. */
  | { readonly kind: 'answer'; readonly bytes: Buffer; readonly close: boolean };

/**
 * A proxy in front of a real PostgreSQL that dies where it is told, with FIN or RST. It stands where the gateway
 * looks for its upstream server.
 */
export class CuttingProxy {
  readonly port: number;
  cut: Cut = { kind: 'never' };
  how: 'fin' | 'rst' = 'fin';
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(port: number, server: Server, sockets: Set<Socket>) {
    this.port = port;
    this.#server = server;
    this.#sockets = sockets;
  }

  static async start(to: number): Promise<CuttingProxy> {
    const sockets = new Set<Socket>();
    let proxy: CuttingProxy;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      proxy.#accept(socket, to),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    proxy = new CuttingProxy(address.port, server, sockets);
    return proxy;
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /** Cuts every connection that is open now. */
  cutAll(): void {
    for (const socket of this.#sockets) this.#end(socket);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #end(socket: Socket): void {
    if (this.how === 'rst') socket.resetAndDestroy();
    else socket.destroySoon();
  }

  #accept(client: Socket, to: number): void {
    const cut = this.cut;
    this.#sockets.add(client);
    client.on('close', () => this.#sockets.delete(client));
    client.on('error', () => {});
    if (cut.kind === 'on-accept') {
      this.#end(client);
      return;
    }
    if (cut.kind === 'answer') {
      client.once('data', () => {
        client.write(cut.bytes);
        if (cut.close) this.#end(client);
      });
      client.on('end', () => client.destroy());
      return;
    }
    const upstream = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    upstream.on('error', () => client.destroy());
    client.pipe(upstream);
    client.on('close', () => upstream.destroy());
    const limit = new ServerLimit(cut);
    upstream.on('data', (chunk: Buffer) => {
      const passes = limit.passes(chunk);
      if (passes > 0) client.write(chunk.subarray(0, passes));
      if (passes < chunk.length) {
        upstream.destroy();
        this.#end(client);
      }
    });
    upstream.on('end', () => client.end());
  }
}

/** Counts the server's bytes and messages up to the cut. */
class ServerLimit {
  readonly #cut: Cut;
  #passed = 0;
  #header: number[] = [];
  #left = 0;
  #seen = 0;

  constructor(cut: Cut) {
    this.#cut = cut;
  }

  /** How many bytes of the chunk may pass; fewer than all means that the time has come. */
  passes(chunk: Buffer): number {
    const cut = this.#cut;
    if (cut.kind === 'after-server-bytes') {
      const passes = Math.min(chunk.length, cut.bytes - this.#passed);
      this.#passed += chunk.length;
      return passes;
    }
    if (cut.kind !== 'at-server-message') return chunk.length;
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
      if (String.fromCharCode(type) === cut.type && ++this.#seen === cut.nth) {
        const end = cut.within ? at + 1 + Math.floor(this.#left / 2) : at - 4;
        return Math.max(0, Math.min(end, chunk.length - 1));
      }
    }
    return chunk.length;
  }
}
