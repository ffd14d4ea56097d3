import { InvalidArgumentError } from 'commander';
import type { AddCommand } from './command.ts';
import { withStoreOptions } from './snapshot-store.ts';
import { listTrashCommand, type PurgeOptions, purgeCommand, type TrashOptions } from './trash-purge.ts';
import { withConnectionOption } from './undo-connection.ts';

export const addTrash: AddCommand = (program, io, finish) => {
  const trash = program
    .command('trash')
    .description('what DROPs have moved away instead, in the schema holdfast_trash of each database');
  withConnectionOption(withStoreOptions(trash.command('list', { isDefault: true })))
    .description('what is there, the oldest first')
    .action(async (options: TrashOptions) => finish(await listTrashCommand(options, io)));
  withConnectionOption(withStoreOptions(trash.command('purge')))
    .description(
      'drop it for good, so that it cannot be undone any more; a gateway does it by trash.retention_days',
    )
    .argument('[ids...]', 'the snapshots of the DROPs; all that are old enough without any')
    .option('--older-than <time>', 'dropped so long ago, like 30d; a day at least', ageGiven)
    .option('--unarchived', 'also what trash.archive wants to be archived, and is not yet')
    .option('--dry-run', 'say which, and drop nothing')
    .action(async (ids: string[], options: PurgeOptions) => finish(await purgeCommand(ids, options, io)));
};

const DAY_MS = 24 * 60 * 60_000;

function ageGiven(text: string): number {
  const [, count, unit] = /^(\d{1,6})([dh])$/.exec(text) ?? [];
  const ms = Number(count) * (unit === 'd' ? DAY_MS : DAY_MS / 24);
  // A mistake needs time to be noticed.
  if (ms >= DAY_MS) return ms;
  throw new InvalidArgumentError('It is a number of days or hours like 30d, and a day at least.');
}
