import { userInfo } from 'node:os';
import { InvalidArgumentError } from 'commander';
import type { OnConflict } from '../undo/apply-statement.ts';
import type { AddCommand } from './command.ts';
import { withStoreOptions } from './snapshot-store.ts';
import { numberFrom } from './snapshots.ts';
import { withConnectionOption } from './undo-connection.ts';
import { type UndoCommandOptions, undoCommand } from './undo-run.ts';

const ON_CONFLICT = ['fail', 'skip', 'overwrite'] as const satisfies readonly OnConflict[];
const TRIGGERS = ['fire', 'skip'] as const;

export const addUndo: AddCommand = (program, io, finish) => {
  withConnectionOption(withStoreOptions(program.command('undo')))
    .description(
      'put back what a snapshot holds, in one transaction: by a running gateway where there is a token, else without one',
    )
    .argument('<id>', 'the snapshot: its id, as much of it as is needed, or latest')
    .option('--dry-run', 'do all of it, checks included, and take it back')
    .option(
      '--on-conflict <what>',
      'what becomes of rows that have changed since: fail ends the undo, skip leaves them, overwrite sets them back',
      oneOf(ON_CONFLICT),
      'fail',
    )
    .option('--into <table>', 'put the rows as they were into a new table of this name instead')
    .option(
      '--table <name>',
      'with --into: which table of the snapshot, if not the one that the statement named',
    )
    .option(
      '--triggers <what>',
      'fire those of the tables, or skip them, for which the role has to be allowed to set session_replication_role',
      oneOf(TRIGGERS),
      'fire',
    )
    .option('--conflicts <count>', 'how many conflicts to show', numberFrom(0, 100), 10)
    .option('--no-snapshot', 'take none of the undo itself, which then cannot be undone')
    .option('--force', 'undo it also where it is undone already, or its statement was rolled back')
    .option('--url <url>', 'the admin API of the gateway (or HOLDFAST_ADMIN_URL)')
    .option(
      '--token <token>',
      'bearer token (better: HOLDFAST_TOKEN): the gateway undoes, and its audit has it',
    )
    .option('--offline', 'past the gateway, as with --connection, --snapshots and --trust-code-of')
    .option('--trust-manifest', 'go by a manifest that the gateway has not signed, or may not have')
    .option('-y, --yes', 'do not ask; nobody is asked either where standard input is no terminal')
    .action(async (id: string, options: UndoCommandOptions) =>
      finish(await undoCommand(id, options, userInfo().username, io)),
    );
};

function oneOf<Word extends string>(words: readonly Word[]) {
  return (text: string): Word => {
    const word = words.find((each) => each === text);
    if (word !== undefined) return word;
    throw new InvalidArgumentError(`It is ${words.join(', ')}.`);
  };
}
