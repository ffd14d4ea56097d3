import { createHmac } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly id: string;
  readonly signedBy: (key: Buffer) => boolean;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what is sent is what the tests look into.
  readonly body: any;
}

/** Somebody who is told, over HTTP, and answers as the test says. */
export class Receiver {
  readonly received: Received[] = [];
  /** A status, or what cuts the connection once the message is there. */
  answer: (message: Received) => number | 'cut' = () => 204;
  location = '';
  /** How long an answer takes. */
  delayMs = 0;
  /** No answer is given before this is settled. */
  wait: Promise<void> = Promise.resolve();
  #server: Server | null = null;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}/hook/T0SECRETPATH`;
  }

  /** The second time at the same port as before. */
  async start(): Promise<void> {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const sent = request.headers;
        const id = String(sent['webhook-id']);
        const signedBy = (key: Buffer) => {
          const signed = `${id}.${String(sent['webhook-timestamp'])}.${text}`;
          const expected = createHmac('sha256', key).update(signed).digest('base64');
          return sent['webhook-signature'] === `v1,${expected}`;
        };
        const message = { id, signedBy, headers: sent, text, body: JSON.parse(text) };
        const status = this.answer(message);
        if (status !== 503) this.received.push(message);
        const headers = { location: this.location };
        if (status === 'cut') request.socket.destroy();
        else {
          const end = () => response.writeHead(status, headers).end('secret words of the receiver');
          setTimeout(() => void this.wait.then(end), this.delayMs);
        }
      });
    });
    await new Promise<void>((resolve) => this.#server!.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => (this.#server === null ? resolve(null) : this.#server.close(resolve)));
    this.#server = null;
  }
}
