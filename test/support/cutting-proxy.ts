import { connect, type Socket } from 'node:net';
import { Listener } from './listener.ts';
import { PassingMessages } from './passing-messages.ts';

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
  cut: Cut = { kind: 'never' };
  how: 'fin' | 'rst' = 'fin';
  readonly #listener: Listener;

  private constructor(listener: Listener, to: number) {
    this.#listener = listener;
    listener.onSocket((client) => this.#accept(client, to));
  }

  static async start(to: number): Promise<CuttingProxy> {
    return new CuttingProxy(await Listener.start({ allowHalfOpen: true, noDelay: true }), to);
  }

  get port(): number {
    return this.#listener.port;
  }

  get openConnections(): number {
    return this.#listener.sockets.size;
  }

  /** Cuts every connection that is open now. */
  cutAll(): void {
    for (const socket of this.#listener.sockets) this.#end(socket);
  }

  async stop(): Promise<void> {
    await this.#listener.stop();
  }

  #end(socket: Socket): void {
    if (this.how === 'rst') socket.resetAndDestroy();
    else socket.destroySoon();
  }

  #accept(client: Socket, to: number): void {
    const cut = this.cut;
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
  readonly #messages = new PassingMessages();
  #passed = 0;
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
    let passes = chunk.length;
    this.#messages.read(chunk, (type, at, bodyBytes) => {
      if (type !== cut.type || ++this.#seen !== cut.nth) return;
      const end = cut.within ? at + 5 + Math.floor(bodyBytes / 2) : at;
      passes = Math.max(0, Math.min(end, chunk.length - 1));
    });
    return passes;
  }
}
