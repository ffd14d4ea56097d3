import { trustedKeys } from '../audit/key-file.ts';
import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { readWithRows } from '../snapshot/archive.ts';
import { manifestKey } from '../snapshot/manifest.ts';
import { readSealedManifest, type TrustedKeys } from '../snapshot/manifest-seal.ts';
import {
  allDays,
  findSnapshot,
  listSnapshots,
  type SnapshotEntry,
  type Verification,
  verifySnapshot,
} from '../snapshot/snapshots.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { countText, sizeText, toJson } from './table.ts';

export type VerifySnapshotsOptions = StoreOptions;

interface Checked extends Verification {
  /** With a key that is known. */
  readonly signed: boolean;
  readonly id: string;
}

/** Faulty ones are told one by one, up to so many. */
const FAULTY_MAX = 100;

export async function verifySnapshotsCommand(
  asked: string | undefined,
  options: VerifySnapshotsOptions,
  io: Io,
): Promise<ExitCode> {
  return await withStore(options, io, async ({ store, place, config }) => {
    const keys = trustedKeys(config().audit);
    const total = { snapshots: 0, faulty: 0, unsigned: 0, files: 0, rows: 0, bytes: 0 };
    const faulty: Checked[] = [];
    for await (const entry of asked === undefined
      ? listSnapshots(store, allDays(Date.now()))
      : one(store, asked)) {
      if (io.stop.aborted) throw new HoldfastError('CONFLICT', 'stopped before the end');
      const checked = await check(store, entry, keys);
      total.snapshots++;
      total.files += checked.files;
      total.rows += checked.rows;
      total.bytes += checked.bytes;
      if (!checked.signed) total.unsigned++;
      if (checked.faults.length === 0) continue;
      total.faulty++;
      if (faulty.length < FAULTY_MAX) faulty.push(checked);
      if (options.json !== true) io.out(faultText(checked));
    }
    if (options.json === true) io.out(toJson({ ok: total.faulty === 0, ...total, faults: faulty }));
    else io.out(totalText(total, place));
    return total.faulty === 0 ? EXIT.ok : EXIT.failed;
  });
}

async function* one(store: BlobStore, asked: string): AsyncIterable<SnapshotEntry> {
  yield await findSnapshot(store, asked);
}

async function check(store: BlobStore, { id, folder }: SnapshotEntry, keys: TrustedKeys): Promise<Checked> {
  try {
    const { manifest, seal } = await readSealedManifest(store, folder, keys);
    const { tables } = manifest.dropped === undefined ? manifest : await readWithRows(store, folder);
    const verified = await verifySnapshot(store, { ...manifest, tables });
    const forged =
      seal === 'wrong'
        ? [{ blob: manifestKey(folder), reason: 'it is not as the gateway has signed it' }]
        : [];
    return { id, ...verified, faults: [...forged, ...verified.faults], signed: seal === 'valid' };
  } catch (error) {
    // A storage that does not answer says nothing of the snapshot.
    if (!(error instanceof HoldfastError) || !error.code.startsWith('BLOB_')) throw error;
    const reason = error.detail === undefined ? error.message : `${error.message}: ${error.detail}`;
    return {
      id,
      signed: false,
      files: 0,
      rows: 0,
      bytes: 0,
      faults: [{ blob: `${folder}/manifest.json`, reason }],
    };
  }
}

function faultText({ id, faults }: Checked): string {
  return faults
    .map(({ blob, reason }) => `${id}  ${printable(`${blob.split('/').at(-1)}: ${reason}`)}\n`)
    .join('');
}

function totalText(
  {
    snapshots,
    faulty,
    unsigned,
    files,
    rows,
    bytes,
  }: { snapshots: number; faulty: number; unsigned: number; files: number; rows: number; bytes: number },
  place: string,
): string {
  if (snapshots === 0) return `There is no snapshot in ${place}.\n`;
  const signed = unsigned === 0 ? '' : `; ${unsigned} not signed with a key that is known here`;
  const read = `${countText(files, 'file')}, ${countText(rows, 'row')}, ${sizeText(bytes)}${signed}`;
  if (faulty === 0) return `${countText(snapshots, 'snapshot')} read whole, as written: ${read}\n`;
  return `${faulty} of ${countText(snapshots, 'snapshot')} cannot be relied on (read: ${read})\n`;
}
