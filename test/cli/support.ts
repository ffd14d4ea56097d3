import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Io } from '../../src/cli/io.ts';
import { run } from '../../src/cli/program.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line with an environment of its own. */
export async function holdfast(
  args: readonly string[],
  more: {
    env?: Record<string, string>;
    input?: string;
    stop?: AbortSignal;
    onOut?: (text: string) => void;
    /** What whoever sits there answers; without one nobody does. */
    answer?: string;
  } = {},
): Promise<Ran> {
  let out = '';
  let err = '';
  const io: Io = {
    env: more.env ?? {},
    terminal: false,
    columns: null,
    ask:
      more.answer === undefined
        ? null
        : async (question) => {
            err += question;
            return more.answer!;
          },
    out: (text) => {
      out += text;
      more.onOut?.(text);
    },
    err: (text) => {
      err += text;
    },
    doWithoutOut: () => {},
    readInput: async () => more.input ?? '',
    stop: more.stop ?? new AbortController().signal,
    hurry: new AbortController().signal,
    endNow: () => {},
  };
  const code = await run(args, io);
  return { code, out, err };
}

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

/** An admin API that answers as it is told, and remembers what it was asked. */
export class FakeAdmin {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  #answer: (asked: Asked) => { status?: number; body: unknown } = () => ({ body: {} });

  constructor() {
    this.#server = createServer((request, response) => {
      void readBody(request).then((body) => {
        const asked: Asked = {
          method: request.method ?? '',
          url: request.url ?? '',
          authorization: request.headers.authorization,
          body,
        };
        this.asked.push(asked);
        const answer = this.#answer(asked);
        response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' });
        response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
      });
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  answerWith(answer: (asked: Asked) => { status?: number; body: unknown }): void {
    this.asked.length = 0;
    this.#answer = answer;
  }

  get env(): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo;
    return { HOLDFAST_ADMIN_URL: `http://127.0.0.1:${port}`, HOLDFAST_TOKEN: 'sesame' };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}
