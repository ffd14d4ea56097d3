import { trustedKeys } from '../audit/key-file.ts';
import { HoldfastError } from '../base/errors.ts';
import type { PurgedSnapshot, PurgeFailure, TrashPurged } from '../undo/purge-trash.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { timeText } from './snapshots-show.ts';
import { alignRows, countText, toJson } from './table.ts';
import { type ConnectionOption, connectTo } from './undo-connection.ts';

export interface TrashOptions extends StoreOptions, ConnectionOption {}

export interface PurgeOptions extends TrashOptions {
  /** In milliseconds. */
  readonly olderThan?: number;
  readonly dryRun?: boolean;
}

type Wanted = (id: string, createdAtMs: number) => boolean;

export async function listTrashCommand(options: TrashOptions, io: Io): Promise<ExitCode> {
  const { purged, failures } = await run(options, io, 'list', () => () => true);
  if (options.json === true) io.out(toJson({ items: purged.map(asJson), failures }));
  else if (purged.length === 0 && failures.length === 0) io.out('There is nothing in the trash.\n');
  else io.out(asText(purged));
  return ended(failures, options, io);
}

export async function purgeCommand(ids: readonly string[], options: PurgeOptions, io: Io): Promise<ExitCode> {
  const dryRun = options.dryRun === true;
  const { purged, failures } = await run(options, io, dryRun ? 'try' : 'purge', (retentionMs) => {
    if (ids.length > 0) return (id) => ids.includes(id);
    const ageMs = options.olderThan ?? retentionMs();
    if (ageMs === null) {
      throw new HoldfastError('CONFIG_INVALID', 'nobody has said what is to go', {
        hint: 'Give the ids of snapshots, or --older-than 30d, or set trash.retention_days in the configuration.',
      });
    }
    const before = Date.now() - ageMs;
    return (_, createdAtMs) => createdAtMs < before;
  });
  if (options.json === true) io.out(toJson({ dry_run: dryRun, items: purged.map(asJson), failures }));
  else {
    const objects = purged.reduce((sum, each) => sum + each.objects, 0);
    io.out(purged.length === 0 ? '' : asText(purged));
    io.out(`${countText(objects, 'object')} ${dryRun ? 'would be dropped' : 'dropped'} for good\n`);
  }
  return ended(failures, options, io);
}

async function run(
  options: TrashOptions,
  io: Io,
  what: 'list' | 'try' | 'purge',
  choose: (retentionMs: () => number | null) => Wanted,
): Promise<TrashPurged> {
  return await withStore(options, io, async ({ store, config }) => {
    const wanted = choose(() => config().trashRetentionMs);
    const { purgeTrash } = await import('../undo/purge-trash.ts');
    return await purgeTrash({
      store,
      dryRun: what !== 'purge',
      keys: what === 'list' ? null : trustedKeys(config().audit),
      connect: (database) => connectTo(options, config(), database, io),
      wanted: (id, createdAtMs) => !io.stop.aborted && wanted(id, createdAtMs),
    });
  });
}

function asText(purged: readonly PurgedSnapshot[]): string {
  const rows = purged.map(({ id, createdAtMs, database, objects, statement, kept }) => [
    id,
    timeText(new Date(createdAtMs).toISOString()),
    printable(database),
    String(objects),
    oneLine(statement, 60),
    ...(kept === null ? [] : [`${countText(kept.objects, 'object')} kept: ${printable(kept.reason)}`]),
  ]);
  return alignRows([['ID', 'DROPPED (UTC)', 'DATABASE', 'OBJECTS', 'STATEMENT'], ...rows], [3]);
}

function asJson({ id, createdAtMs, database, objects, statement, kept }: PurgedSnapshot) {
  return { id, dropped_at: new Date(createdAtMs).toISOString(), database, objects, statement, kept };
}

function ended(failures: readonly PurgeFailure[], { json }: TrashOptions, io: Io): ExitCode {
  if (json !== true)
    for (const { of, reason } of failures) io.err(`holdfast: ${printable(of)}: ${printable(reason)}\n`);
  return failures.length === 0 ? EXIT.ok : EXIT.failed;
}
