import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What becomes of a request on its way through the proxy. */
export type Fate =
  | 'pass'
  /** The server does what it is asked to, and nobody hears of it. */
  | 'lose-answer'
  /** The proxy answers itself, as AWS does and Ceph does not. */
  | { readonly status: number; readonly code: string }
  /** Neither the server nor the store hears of it. */
  | 'hold'
  /** One bit of what is sent changes. */
  | 'change-body'
  /** The answer's body ends in its middle. */
  | 'cut-answer';

/** An HTTP proxy in front of an S3 server; signatures stay valid, because the Host header is left as it is. */
export class LossyProxy {
  readonly #server: Server;
  readonly #to: number;
  /** Asked once for every request. */
  fateOf: (request: IncomingMessage) => Fate = () => 'pass';

  private constructor(to: number) {
    this.#to = to;
    this.#server = createServer((incoming, answer) => {
      const fate = this.fateOf(incoming);
      if (fate === 'hold') {
        incoming.resume();
        return;
      }
      if (typeof fate === 'object') {
        incoming.resume().on('end', () => {
          answer.writeHead(fate.status, { 'content-type': 'application/xml' });
          answer.end(`<Error><Code>${fate.code}</Code><Message>made up for a test</Message></Error>`);
        });
        return;
      }
      const { method, url, headers } = incoming;
      const forwarded = request({ port: this.#to, host: '127.0.0.1', method, path: url, headers });
      forwarded.on('error', () => answer.destroy());
      incoming.on('data', (chunk: Buffer) => {
        if (fate === 'change-body') chunk[chunk.length >> 1]! ^= 1;
        forwarded.write(chunk);
      });
      incoming.on('end', () => forwarded.end());
      forwarded.on('response', (upstream) => {
        if (fate === 'lose-answer') {
          upstream.resume().on('end', () => answer.destroy());
          return;
        }
        answer.writeHead(upstream.statusCode!, upstream.headers);
        if (fate === 'cut-answer') {
          upstream.once('data', (chunk: Buffer) => {
            answer.write(chunk.subarray(0, chunk.length >> 1), () => answer.destroy());
            upstream.destroy();
          });
        } else {
          upstream.pipe(answer);
        }
      });
    });
  }

  static async start(to: number): Promise<LossyProxy> {
    const proxy = new LossyProxy(to);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Breaks off what is under way, and what is held for ever. */
  breakOff(): void {
    this.#server.closeAllConnections();
  }

  async stop(): Promise<void> {
    this.breakOff();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The given fates for the first requests that match, one each, and `pass` for all others. */
export function firstOnes(
  fates: readonly Fate[],
  matches: (request: IncomingMessage) => boolean,
): (request: IncomingMessage) => Fate {
  const left = [...fates];
  return (incoming) => (matches(incoming) ? (left.shift() ?? 'pass') : 'pass');
}
