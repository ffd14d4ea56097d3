import type { Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { type BlobTarget, parseBlobTarget } from '../blobs/blob-target.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { configFile } from './command.ts';
import type { Io } from './io.ts';

export interface StoreOptions {
  readonly config?: string;
  readonly snapshots?: string;
  readonly json?: boolean;
}

/** The options of every command that works on the snapshots themselves, without a gateway. */
export function withStoreOptions(command: Command): Command {
  return command
    .option('--snapshots <place>', 'where they are, a folder or as in the configuration (snapshots)')
    .option('--config <file>', 'configuration file (or HOLDFAST_CONFIG)')
    .option('--json', 'print JSON');
}

/** The place of the snapshots, and how it is called. */
export interface OpenedStore {
  readonly store: BlobStore;
  readonly place: string;
  /** Read where it is needed: with everything given, a configuration may be missing. */
  config(): Config;
}

export async function withStore<T>(
  options: StoreOptions,
  io: Io,
  work: (opened: OpenedStore) => Promise<T>,
): Promise<T> {
  // Loaded only here, so that the other commands start at once.
  const { openBlobStore } = await import('../blobs/open.ts');
  const config = () => loadConfig({ ...configFile(options.config, io), env: io.env });
  const target = options.snapshots === undefined ? config().snapshots : placeGiven(options.snapshots);
  const store = openBlobStore(target);
  try {
    return await work({ store, place: placeText(target), config });
  } finally {
    await store.close();
  }
}

function placeGiven(text: string): BlobTarget {
  if (!/^(?:file|s3):/.test(text)) return { kind: 'file', directory: text };
  const parsed = parseBlobTarget(text);
  if (!parsed.ok) throw new HoldfastError('CONFIG_INVALID', `--snapshots: ${parsed.problem}`);
  return parsed.value;
}

function placeText(target: BlobTarget): string {
  if (target.kind === 'file') return `file:${target.directory}`;
  const prefix = target.prefix === '' ? '' : `/${target.prefix}`;
  return `s3://${target.bucket}${prefix}${target.endpoint === null ? '' : `@${target.endpoint}`}`;
}
