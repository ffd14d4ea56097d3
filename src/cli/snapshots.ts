import { InvalidArgumentError, Option } from 'commander';
import type { AddCommand } from './command.ts';
import { withStoreOptions } from './snapshot-store.ts';
import { type DeleteOptions, deleteCommand } from './snapshots-delete.ts';
import { type ListOptions, listCommand } from './snapshots-list.ts';
import { type PruneOptions, pruneCommand } from './snapshots-prune.ts';
import { type RowsOptions, rowsCommand } from './snapshots-rows.ts';
import { type ShowOptions, showCommand } from './snapshots-show.ts';
import { type VerifySnapshotsOptions, verifySnapshotsCommand } from './snapshots-verify.ts';
import { withConnectionOption } from './undo-connection.ts';

const ID = 'its id, as much of it as is needed, or latest';

export const addSnapshots: AddCommand = (program, io, finish) => {
  const snapshots = program
    .command('snapshots')
    .description('what was there before destructive statements; works without a running gateway');
  withStoreOptions(snapshots.command('list', { isDefault: true }))
    .description('list them, the newest first')
    .option('-n, --limit <count>', 'how many', numberFrom(1, 1_000), 20)
    .option('--before <id>', 'only those older than this one')
    .option('--since <day>', 'from this day on, like 2026-11-21 (UTC)', dayGiven)
    .option('--until <day>', 'up to this day', dayGiven)
    .option('--table <name>', 'of this table, with its schema or in any')
    .option('--role <name>', 'of statements of this role')
    .option('--database <name>', 'of this database')
    .option('--operation <kind>', 'of statements of this kind: update, delete, drop table, undo, …')
    .addOption(
      new Option('--mark <mark>', 'undone, or rolled back, or neither').choices([
        'undone',
        'rolled-back',
        'none',
      ]),
    )
    .action(async (options: ListOptions) => await listCommand(options, io));
  withStoreOptions(snapshots.command('show'))
    .description('what one holds, and what it was taken for')
    .argument('<id>', ID)
    .action(async (id: string, options: ShowOptions) => await showCommand(id, options, io));
  addRows(snapshots, io, finish);
  withStoreOptions(snapshots.command('verify'))
    .description('read one whole, or all, and prove that no byte is another')
    .argument('[id]', `${ID}; all without one`)
    .action(async (id: string | undefined, options: VerifySnapshotsOptions) =>
      finish(await verifySnapshotsCommand(id, options, io)),
    );
  withStoreOptions(snapshots.command('prune'))
    .description(
      'remove those that are too old or too many, as a gateway does from time to time; none of the last day',
    )
    .option('--dry-run', 'say which, and remove none')
    .option('--days <count>', 'older ones (instead of what the configuration says)', numberFrom(1, 36_500))
    .option('--bytes <size>', 'the oldest, while all of them are larger, like 20GiB')
    .action(async (options: PruneOptions) => await pruneCommand(options, io));
  withStoreOptions(snapshots.command('delete'))
    .description('remove one for good; what it holds can no longer be put back')
    .argument('<id>', ID)
    .option('-y, --yes', 'do not ask')
    .action(async (id: string, options: DeleteOptions) => finish(await deleteCommand(id, options, io)));
};

const addRows: AddCommand = (snapshots, io, finish) => {
  withConnectionOption(withStoreOptions(snapshots.command('rows')))
    .description('show its rows; the database is asked how their values are written')
    .argument('<id>', ID)
    .option(
      '--table <name>',
      'the table, with its schema or without; the one that the statement named if not given',
    )
    .option('--which <image>', 'before or after the statement', imageGiven, 'before')
    .option('-n, --limit <count>', 'how many', numberFrom(1, 1_000), 20)
    .option('--from <count>', 'how many to leave out first', numberFrom(0, Number.MAX_SAFE_INTEGER), 0)
    .action(async (id: string, options: RowsOptions) => finish(await rowsCommand(id, options, io)));
};

export function numberFrom(min: number, max: number) {
  return (text: string): number => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It is a number from ${min} to ${max}.`);
  };
}

function dayGiven(text: string): string {
  if (/^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text))) return text;
  throw new InvalidArgumentError('It is a day like 2026-11-21.');
}

function imageGiven(text: string): 'before' | 'after' {
  if (text === 'before' || text === 'after') return text;
  throw new InvalidArgumentError('It is before or after.');
}
