import { HoldfastError } from '../base/errors.ts';
import { readManifest } from '../snapshot/manifest.ts';
import { findSnapshot, removeSnapshot } from '../snapshot/snapshots.ts';
import { summaryOf } from '../snapshot/summary.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { oneLine } from './printable.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { timeText } from './snapshots-show.ts';
import { countText, toJson } from './table.ts';

export interface DeleteOptions extends StoreOptions {
  readonly yes?: boolean;
}

export async function deleteCommand(asked: string, options: DeleteOptions, io: Io): Promise<ExitCode> {
  return await withStore(options, io, async ({ store }) => {
    const { id, folder } = await findSnapshot(store, asked);
    if (options.yes !== true) {
      if (io.ask === null) {
        throw new HoldfastError('CONFIG_INVALID', `nobody can be asked whether to remove ${id}`, {
          hint: '--yes removes it without asking.',
        });
      }
      io.err(`${await described(() => readManifest(store, folder), id)}\n`);
      const answer = await io.ask('Remove it for good? [y/N] ');
      if (!/^y(es)?$/i.test(answer.trim())) {
        io.err('Nothing was removed.\n');
        return EXIT.failed;
      }
    }
    await removeSnapshot(store, folder);
    io.out(options.json === true ? toJson({ id, removed: true }) : `${id} is removed.\n`);
    return EXIT.ok;
  });
}

/** A damaged one can be removed as well. */
async function described(read: () => ReturnType<typeof readManifest>, id: string): Promise<string> {
  try {
    const manifest = await read();
    const { id: _, dropped } = summaryOf(manifest);
    if (dropped > 0) {
      return `${id} is the only way back for ${countText(dropped, 'object')} in the trash, after: ${oneLine(manifest.statement.text, 100)}`;
    }
    const { rows_before, role, database, statement, created_at } = summaryOf(manifest);
    const rows = countText(rows_before, 'row');
    return `${id} holds ${rows} as ${role} had ${rows_before === 1 ? 'it' : 'them'} in ${database}, ${timeText(created_at)} UTC, before: ${oneLine(statement, 100)}`;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return `${id}: ${error.message}`;
  }
}
