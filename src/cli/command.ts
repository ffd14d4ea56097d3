import type { Command } from 'commander';
import type { Io } from './io.ts';

/** Adds one command to the program; `finish` takes the exit code where it is not 0. */
export type AddCommand = (program: Command, io: Io, finish: (code: number) => void) => void;

/** The configuration file that the command line or the environment names. */
export function configFile(option: string | undefined, io: Io): { readonly file?: string } {
  const file = option ?? io.env['HOLDFAST_CONFIG'];
  return file === undefined || file === '' ? {} : { file };
}
