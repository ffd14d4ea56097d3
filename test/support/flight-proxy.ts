import type { Socket } from 'node:net';
import { Listener } from './listener.ts';

/** Long enough that whatever is sent without waiting for an answer has been sent. */
const QUIET_MS = 60;

/**
 * A proxy that counts flights: what is sent to a server before anything of its answer has come back. Answers are held
 * until both sides are quiet, so that the count does not hang on how fast they are.
 */
export class FlightProxy {
  flights = 0;
  /** Parse messages among them. */
  parses = 0;
  readonly #listener: Listener;

  private constructor(listener: Listener, to: number) {
    this.#listener = listener;
    listener.onSocket((client) => this.#relay(client, listener.connect(to)));
  }

  static async start(to: number): Promise<FlightProxy> {
    return new FlightProxy(await Listener.start(), to);
  }

  get port(): number {
    return this.#listener.port;
  }

  reset(): void {
    this.flights = 0;
    this.parses = 0;
  }

  async stop(): Promise<void> {
    await this.#listener.stop();
  }

  #relay(client: Socket, server: Socket): void {
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
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
