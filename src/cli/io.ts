import type { StopSignals } from './stop-signals.ts';

/** What a command may touch of the process that it runs in, so that tests can run one without a process. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Standard output is a terminal. */
  readonly terminal: boolean;
  out(text: string): void;
  err(text: string): void;
  /** Everything on standard input. */
  readInput(): Promise<string>;
  /** Aborted when the user wants the command to end. */
  readonly stop: AbortSignal;
  /** Aborted when the user does not want to wait for that any longer. */
  readonly hurry: AbortSignal;
}

export function processIo({ stop, hurry }: StopSignals): Io {
  return {
    env: process.env,
    terminal: process.stdout.isTTY === true,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    readInput: async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks).toString('utf8');
    },
    stop,
    hurry,
  };
}
