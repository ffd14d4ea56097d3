import type { Socket } from 'node:net';
import { Listener } from './listener.ts';
import { PassingMessages } from './passing-messages.ts';

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
  readonly #listener: Listener;
  #step: Step | null = null;
  #counts = true;
  #reached: () => void = () => {};
  #seen = 0;
  #instead: Buffer | null = null;
  /** Where each direction stands, of the connection that is stopped. */
  readonly #counters = { client: new PassingMessages(), server: new PassingMessages() };

  private constructor(listener: Listener, to: number) {
    this.#listener = listener;
    listener.onSocket((client) => this.#relay(client, listener.connect(to)));
  }

  static async start(to: number): Promise<StepProxy> {
    return new StepProxy(await Listener.start(), to);
  }

  get port(): number {
    return this.#listener.port;
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
    await this.#listener.stop();
  }

  #relay(client: Socket, server: Socket): void {
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      const from = socket === client ? 'client' : 'server';
      socket.on('close', () => other.end());
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
