import { CommanderError } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { InvalidSettings } from '../policy/problems.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';

/** Says what went wrong in as few lines as it takes, and gives the exit code for it. */
export function reportError(error: unknown, io: Io, debug: boolean): ExitCode {
  if (error instanceof CommanderError) {
    // Commander has said it already; help and version are no errors.
    return error.exitCode === 0 ? EXIT.ok : EXIT.invalid;
  }
  if (error instanceof InvalidSettings) {
    for (const line of error.message.split('\n')) io.err(`${printable(line)}\n`);
    return EXIT.invalid;
  }
  io.err(`holdfast: ${printable(messageOf(error))}\n`);
  if (error instanceof HoldfastError) {
    if (error.detail !== undefined)
      for (const line of error.detail.split('\n')) io.err(`  ${printable(line.trim())}\n`);
    if (error.hint !== undefined) io.err(`  ${printable(error.hint)}\n`);
  }
  if (debug && error instanceof Error) io.err(`${error.stack ?? ''}\n`);
  const invalid =
    error instanceof HoldfastError && (error.code === 'CONFIG_INVALID' || error.code === 'POLICY_INVALID');
  return invalid ? EXIT.invalid : EXIT.failed;
}

function messageOf(error: unknown): string {
  if (error instanceof HoldfastError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return `${message} (unexpected; --log-level debug shows where)`;
}
