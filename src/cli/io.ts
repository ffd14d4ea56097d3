import { createInterface } from 'node:readline/promises';
import { EXIT } from './exit-code.ts';
import type { StopSignals } from './stop-signals.ts';

/** What a command may touch of the process that it runs in, so that tests can run one without a process. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Standard output is a terminal. */
  readonly terminal: boolean;
  /** How many characters a line of it has, or null where that is not known. */
  readonly columns: number | null;
  /** Asks whoever sits there, or null where nobody does: standard input is no terminal. */
  readonly ask: ((question: string) => Promise<string>) | null;
  out(text: string): void;
  err(text: string): void;
  /** From now on nobody needs what is written to standard output: the command goes on where it cannot be written. */
  doWithoutOut(): void;
  /** Everything on standard input. */
  readInput(): Promise<string>;
  /** Aborted when the user wants the command to end. */
  readonly stop: AbortSignal;
  /** Aborted when the user does not want to wait for that any longer. */
  readonly hurry: AbortSignal;
  /** Ends the process at once, whatever its threads wait for. */
  readonly endNow: StopSignals['endNow'];
}

export function processIo({ stop, hurry, endNow, stopNow }: StopSignals & { stopNow(): void }): Io {
  let needsOut = true;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!needsOut) return;
    // A reader that has seen enough, such as `head`, ends the command as it ends any other.
    if (error.code === 'EPIPE') return stopNow();
    process.stderr.write(`holdfast: standard output cannot be written: ${error.message}\n`);
    process.exit(EXIT.failed);
  });
  process.stderr.on('error', () => {});
  return {
    env: process.env,
    terminal: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? null,
    ask: process.stdin.isTTY === true ? (question) => askTerminal(question, stop) : null,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    doWithoutOut: () => {
      needsOut = false;
    },
    readInput: async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks).toString('utf8');
    },
    stop,
    hurry,
    endNow,
  };
}

/** Ctrl-C answers with nothing, which is no consent to anything. */
async function askTerminal(question: string, stop: AbortSignal): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  lines.once('SIGINT', () => lines.close());
  const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
  try {
    return await Promise.race([lines.question(question, { signal: stop }), closed]);
  } catch (error) {
    if (stop.aborted) return '';
    throw error;
  } finally {
    lines.close();
  }
}
