import { closeSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { makeFolder } from '../base/made-folder.ts';
import { APPLICATION_ID, MIGRATIONS } from './sqlite-migrations.ts';

export interface OpenDatabase {
  readonly database: DatabaseSync;
  /** Lets others have the store; to be called when the database is closed. */
  release(): void;
}

/**
 * Opens the file for this gateway alone, brings its schema up to date, and refuses with one sentence what is
 * damaged, in use, somebody else's or of a newer Holdfast. Others may read it meanwhile, to verify the audit.
 */
export function openDatabase(path: string): OpenDatabase {
  let held: DatabaseSync | undefined;
  let database: DatabaseSync | undefined;
  try {
    createPrivately(path);
    held = hold(path);
    database = new DatabaseSync(path, { timeout: LIMITS.storeLockWaitMs });
    makeDurable(database);
    checkOwner(database, path);
    checkSoundness(database, path);
    migrate(database);
    return { database, release: () => held?.close() };
  } catch (error) {
    database?.close();
    held?.close();
    throw storeError(error, path);
  }
}

const LOCK_SUFFIX = '-lock';

/** The audit holds SQL text, which is nobody else's to read. */
function createPrivately(path: string): void {
  makeFolder(dirname(path), 0o700);
  closeSync(openSync(path, 'a', 0o600));
}

/**
 * SQLite would lock the store itself against writers and readers alike, so the lock is a transaction that never
 * ends in an empty database beside it. It ends with the process, however that ends.
 */
function hold(path: string): DatabaseSync {
  createPrivately(path + LOCK_SUFFIX);
  const held = new DatabaseSync(path + LOCK_SUFFIX, { timeout: LIMITS.storeLockWaitMs });
  try {
    held.exec('begin exclusive');
    return held;
  } catch (error) {
    held.close();
    throw error;
  }
}

function makeDurable(database: DatabaseSync): void {
  database.exec('pragma journal_mode = wal');
  database.exec('pragma synchronous = full');
  database.exec(`pragma journal_size_limit = ${LIMITS.storeLogBytes}`);
  database.exec('begin immediate; commit');
}

function checkOwner(database: DatabaseSync, path: string): void {
  const version = pragma(database, 'user_version');
  const tables = Number(database.prepare('select count(*) as n from sqlite_schema').get()?.['n']);
  if (tables > 0 && pragma(database, 'application_id') !== APPLICATION_ID) {
    throw new HoldfastError('STORE_FAILED', `${path} is a database of another program, not a Holdfast store`);
  }
  if (version > MIGRATIONS.length) {
    throw new HoldfastError(
      'STORE_FAILED',
      `the store ${path} was written by a newer Holdfast (schema ${version}, this one knows ${MIGRATIONS.length})`,
    );
  }
}

/** Reading all of a large file would make a start slow; damage in one is found when it is read. */
function checkSoundness(database: DatabaseSync, path: string): void {
  if (statSync(path).size > LIMITS.storeCheckBytes) return;
  const verdict = String(database.prepare('pragma quick_check(1)').get()?.['quick_check']);
  if (verdict !== 'ok') throw new HoldfastError('STORE_FAILED', `the store ${path} is damaged: ${verdict}`);
}

function migrate(database: DatabaseSync): void {
  for (let version = pragma(database, 'user_version'); version < MIGRATIONS.length; version++) {
    database.exec('begin immediate');
    database.exec(MIGRATIONS[version]!);
    database.exec(`pragma application_id = ${APPLICATION_ID}`);
    database.exec(`pragma user_version = ${version + 1}`);
    database.exec('commit');
  }
}

function pragma(database: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(database.prepare(`pragma ${name}`).get()?.[name]);
}

/** SQLite's result codes that have a plain cause. */
const CAUSES: Readonly<Record<number, (path: string) => string>> = {
  5: (path) => `the store ${path} is in use by another process`,
  6: (path) => `the store ${path} is in use by another process`,
  8: (path) => `the store ${path} cannot be written`,
  11: (path) => `the store ${path} is damaged`,
  13: (path) => `the disk of the store ${path} is full`,
  14: (path) => `the store ${path} cannot be opened`,
  26: (path) => `${path} is not a Holdfast store`,
};

export function storeError(error: unknown, path: string): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const result = (error as { errcode?: unknown }).errcode;
  const cause = typeof result === 'number' ? CAUSES[result & 0xff] : undefined;
  if (cause === undefined)
    return new HoldfastError('STORE_FAILED', `the store ${path} failed: ${text}`, { cause: error });
  return new HoldfastError('STORE_FAILED', cause(path), { detail: text, cause: error });
}
