import { HoldfastError } from '../../base/errors.ts';
import { legibleText } from '../../wire/byte-text.ts';

/**
 * The settings a client may bring with its StartupMessage, by itself or as `-c name=value` in `options`. Those that
 * change what the gateway relies on, or who the session is, have to come as statements that policy decides.
 */

/** Settings that weaken what protects data, or that make the server load code or read text in another way. */
const REFUSED = new Set([
  'role',
  'session_authorization',
  'session_replication_role',
  'row_security',
  'standard_conforming_strings',
  'backslash_quote',
  'allow_system_table_mods',
  'ignore_system_indexes',
  'lo_compat_privileges',
  'local_preload_libraries',
  'session_preload_libraries',
  'shared_preload_libraries',
  'dynamic_library_path',
  'zero_damaged_pages',
  'ignore_checksum_failure',
]);

/** The names are texts to compare and to read, whatever bytes they were. */
export interface StartupFacts {
  readonly user: string;
  readonly database: string;
  readonly application: string;
  readonly replication: boolean;
  /** As given at startup; null leaves the role's and the database's own. */
  readonly searchPath: string | null;
}

/**
 * What the parameters say of the session; they have one character for each byte, as they came.
 *
 * Throws STARTUP_REFUSED where one is not allowed; `trusting` (monitor mode) lets them all through.
 */
export function readStartupParameters(
  parameters: readonly (readonly [string, string])[],
  trusting: boolean,
): StartupFacts {
  const settings = new Map<string, string>();
  for (const [name, value] of parameters) {
    if (name === 'options') for (const [key, set] of commandLineSettings(value)) settings.set(key, set);
    else settings.set(name.toLowerCase(), value);
  }
  for (const name of settings.keys()) {
    if ((REFUSED.has(name) || name.startsWith('-')) && !trusting)
      throw refused(`the startup parameter "${legible(name)}" is not allowed`);
  }
  const user = settings.get('user') ?? '';
  const path = settings.get('search_path');
  const replication = settings.get('replication')?.toLowerCase() ?? 'off';
  return {
    user: legibleName(user),
    database: legibleName(settings.get('database') || user),
    application: legible(settings.get('application_name') ?? ''),
    replication: !['off', 'false', 'no', '0', 'f', 'n', 'of', 'fa', 'fal', 'fals'].includes(replication),
    searchPath: path === undefined ? null : legible(path),
  };
}

function legible(value: string): string {
  return legibleText(Buffer.from(value, 'latin1'));
}

/** The server cuts the names of roles and databases at NAMEDATALEN - 1 bytes, so policy has to see them cut. */
function legibleName(name: string): string {
  return legible(name.slice(0, 63));
}

/**
 * The settings in a command line for the server process: `-c name=value`, `-cname=value`, `--name=value`. Words are
 * split as pg_split_opts does: at white space, which no byte beyond ASCII is, with backslash as escape.
 */
function commandLineSettings(options: string): [string, string][] {
  const words = (options.match(/(?:\\.|[^ \t\n\v\f\r\\])+/gs) ?? []).map((word) =>
    word.replace(/\\(.)/gs, '$1'),
  );
  const settings: [string, string][] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    let assignment: string;
    if (word === '-c') assignment = words[++i] ?? '';
    else if (word.startsWith('--')) assignment = word.slice(2);
    else if (word.startsWith('-c')) assignment = word.slice(2);
    else {
      // Other switches of postgres have settings of their own behind them (-O, -P, …): none is known to be harmless.
      settings.push([word.startsWith('-') ? word : `-${word}`, '']);
      continue;
    }
    const equals = assignment.indexOf('=');
    if (equals < 0) continue;
    settings.push([
      assignment.slice(0, equals).replaceAll('-', '_').toLowerCase(),
      assignment.slice(equals + 1),
    ]);
  }
  return settings;
}

function refused(message: string): HoldfastError {
  return new HoldfastError('STARTUP_REFUSED', message, {
    hint: 'Leave it out of the connection string, and set it with a statement, which policy decides.',
  });
}
