import { trustedKeys } from '../audit/key-file.ts';
import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { readManifest } from '../snapshot/manifest.ts';
import { findSnapshot, markInTrash } from '../snapshot/snapshots.ts';
import {
  type PurgedSnapshot,
  type PurgeFailure,
  purgedAfter,
  purgedJson,
  purgeTrash,
  type TrashPurged,
  totalOf,
} from '../undo/purge-trash.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { timeText } from './snapshots-show.ts';
import { alignRows, countText, sizeText, toJson } from './table.ts';
import { type ConnectionOption, connectTo } from './undo-connection.ts';

export interface TrashOptions extends StoreOptions, ConnectionOption {}

export interface PurgeOptions extends TrashOptions {
  /** In milliseconds. */
  readonly olderThan?: number;
  readonly dryRun?: boolean;
  /** Also what is to be archived, and is not yet. */
  readonly unarchived?: boolean;
}

type Wanted = (id: string, createdAtMs: number) => boolean;

interface NamedDrop {
  readonly id: string;
  /** The one whose trash it is in. */
  readonly database: string;
}

export async function listTrashCommand(options: TrashOptions, io: Io): Promise<ExitCode> {
  const { purged, failures, retentionMs } = await run(options, io, 'list', () => () => true);
  const total = totalOf(purged);
  if (options.json === true)
    io.out(toJson({ items: purged.map((each) => purgedJson(each, retentionMs)), total, failures }));
  else if (purged.length === 0 && failures.length === 0) io.out('There is nothing in the trash.\n');
  else if (purged.length > 0) {
    io.out(asText(purged, retentionMs));
    io.out(
      `${countText(total.drops, 'DROP')}, ${countText(total.objects, 'object')}, ${sizeText(total.bytes)}\n`,
    );
  }
  return ended(failures, options, io);
}

export async function purgeCommand(ids: readonly string[], options: PurgeOptions, io: Io): Promise<ExitCode> {
  const dryRun = options.dryRun === true;
  const { purged, failures, retentionMs, named } = await run(
    options,
    io,
    dryRun ? 'try' : 'purge',
    (retentionMs, named) => {
      if (ids.length > 0) return (id) => named.some((each) => each.id === id);
      const ageMs = options.olderThan ?? retentionMs();
      if (ageMs === null) {
        throw new HoldfastError('CONFIG_INVALID', 'nobody has said what is to go', {
          hint: 'Give the ids of snapshots, or --older-than 30d, or set trash.retention_days in the configuration.',
        });
      }
      const before = Date.now() - ageMs;
      return (_, createdAtMs) => createdAtMs < before;
    },
    ids,
  );
  if (options.json === true)
    io.out(
      toJson({
        dry_run: dryRun,
        items: purged.map((each) => purgedJson(each, retentionMs)),
        total: totalOf(purged),
        failures,
      }),
    );
  else {
    const objects = purged.reduce((sum, each) => sum + each.objects, 0);
    io.out(purged.length === 0 ? '' : asText(purged, retentionMs));
    const told = [...purged.map(({ id }) => id), ...failures.map(({ of }) => of)];
    // Of what could not be looked at nobody knows what is there.
    for (const { id } of named.filter((each) => !told.includes(each.id) && !told.includes(each.database)))
      io.out(`${id}: nothing of it is in the trash\n`);
    io.out(`${countText(objects, 'object')} ${dryRun ? 'would be dropped' : 'dropped'} for good\n`);
  }
  return ended(failures, options, io);
}

async function run(
  options: PurgeOptions,
  io: Io,
  what: 'list' | 'try' | 'purge',
  choose: (retentionMs: () => number | null, named: readonly NamedDrop[]) => Wanted,
  ids: readonly string[] = [],
): Promise<TrashPurged & { readonly retentionMs: number | null; readonly named: readonly NamedDrop[] }> {
  return await withStore(options, io, async ({ store, config }) => {
    const named: NamedDrop[] = [];
    for (const id of ids) named.push(await namedDrop(store, id, what === 'purge'));
    const wanted = choose(() => config().trashRetentionMs, named);
    const { trashRetentionMs: retentionMs, trashArchive } = config();
    let unusable: HoldfastError | null = null;
    const found = await purgeTrash({
      store,
      dryRun: what !== 'purge',
      named: named.map(({ id }) => id),
      archivedOnly: what !== 'list' && trashArchive && options.unarchived !== true,
      keys: what === 'list' ? null : trustedKeys(config().audit),
      connect: async (database) => {
        try {
          return await connectTo(options, config(), database, io);
        } catch (error) {
          // It is the same for each database, and has a hint.
          if (error instanceof HoldfastError && error.code === 'CONFIG_INVALID') unusable ??= error;
          throw error;
        }
      },
      wanted: (id, createdAtMs) => !io.stop.aborted && wanted(id, createdAtMs),
    });
    if (unusable !== null) throw unusable;
    return { ...found, retentionMs, named };
  });
}

/** By its whole id. One of before there were marks gets its mark here, where anything is to be written at all. */
async function namedDrop(store: BlobStore, asked: string, marking: boolean): Promise<NamedDrop> {
  const { id, folder } = await findSnapshot(store, asked);
  const { dropped, session } = await readManifest(store, folder);
  if (dropped === undefined || dropped.objects.length === 0)
    throw new HoldfastError('CONFLICT', `${id} has left nothing in the trash`, {
      hint: 'holdfast trash list has those that have.',
    });
  if (marking) await markInTrash(store, folder);
  return { id, database: session.database };
}

const HEAD = ['ID', 'DROPPED (UTC)', 'PURGED', 'ARCHIVED', 'DATABASE', 'OBJECTS', 'SIZE', 'STATEMENT'];

function asText(purged: readonly PurgedSnapshot[], retentionMs: number | null): string {
  const rows = purged.map(({ id, createdAtMs, database, objects, bytes, archived, statement, kept }) => [
    id,
    timeText(new Date(createdAtMs).toISOString()),
    purgedAfter(createdAtMs, retentionMs)?.slice(0, 10) ?? 'never',
    archived ? 'yes' : 'no',
    printable(database),
    String(objects),
    sizeText(bytes),
    oneLine(statement, 60),
    ...(kept === null ? [] : [`${countText(kept.objects, 'object')} kept: ${printable(kept.reason)}`]),
  ]);
  return alignRows([HEAD, ...rows], [5, 6]);
}

function ended(failures: readonly PurgeFailure[], { json }: TrashOptions, io: Io): ExitCode {
  if (json !== true)
    for (const { of, reason } of failures) io.err(`holdfast: ${printable(of)}: ${printable(reason)}\n`);
  return failures.length === 0 ? EXIT.ok : EXIT.failed;
}
