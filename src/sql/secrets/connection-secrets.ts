import { type Found, looksLikeCode, type Stretch } from './stretch.ts';

/** Secrets in connection strings: libpq's pairs, URIs, and whatever else says password=…. */

const PAIR = /\s*([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)/sy;
const PAIR_NAMES: ReadonlySet<string> = new Set(
  `application_name channel_binding client_encoding connect_timeout dbname fallback_application_name fetch_size
  gssdelegation gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname
  load_balance_hosts options passfile password port replication require_auth requirepeer scram_client_key
  scram_server_key service sslcert sslcertmode sslcrl sslcrldir sslkey sslmode sslnegotiation sslpassword sslrootcert
  sslsni target_session_attrs tcp_user_timeout user`.split(/\s+/),
);
const SECRET_PAIRS: ReadonlySet<string> = new Set([
  'password',
  'sslpassword',
  'scram_client_key',
  'scram_server_key',
]);

/** Also of what is not libpq's, such as user_password. */
function isSecret(name: string): boolean {
  return SECRET_PAIRS.has(name) || name.endsWith('_password');
}

/** What stands for a value that format() puts there. */
const PLACEHOLDER = /^%(?:\d+\$)?-?\*?[sIL]$/;

/**
 * Of what is nothing but two or more of libpq's pairs, which no SQL is; null of anything else. It leads to a secret
 * where that comes behind it, or is put into it.
 */
export function conninfoSecrets(text: string): Found | null {
  const stretches: Stretch[] = [];
  let leads = false;
  let pairs = 0;
  let at = 0;
  const length = text.trimEnd().length;
  while (at < length) {
    PAIR.lastIndex = at;
    const match = PAIR.exec(text);
    if (match === null || !(PAIR_NAMES.has(match[1]!) || isSecret(match[1]!))) return null;
    at = PAIR.lastIndex;
    pairs++;
    if (!isSecret(match[1]!)) continue;
    const value = match[2]!.replace(/^'(.*)'$/s, '$1');
    leads ||= value === '' || PLACEHOLDER.test(value);
    if (match[2] !== '')
      stretches.push({ start: at - match[2]!.length, end: at, mayBeCode: looksLikeCode(value) });
  }
  return pairs > 1 ? { stretches, leads } : null;
}

const OPEN_URI = /postgres(?:ql)?:\/\/[^\s:/?#@'"]*:/i;
const URI_WITH_PLACE = /postgres(?:ql)?:\/\/[^\s:/?#@'"]*:%(?:\d+\$)?s@/i;

/** Whether a text ends within the password of a URI, or has a place for format() to put it. */
export function leadsIntoUri(text: string): boolean {
  let start = text.length;
  while (start > 0 && !/[\s'"@]/.test(text[start - 1]!)) start--;
  return OPEN_URI.test(text.slice(start)) || URI_WITH_PLACE.test(text);
}

const NAME = '(?:(?:ssl)?pass(?:word|wd|phrase)?|pwd)';
const QUOTED = `'(?:[^'\\\\]|\\\\.|'')*'?|"[^"]*"?`;
const BARE = `[^\\s;&'"]+`;
const VALUE = new RegExp(`${NAME}\\s*=\\s*(${QUOTED}|${BARE})`, 'gis');
const BARE_VALUE = new RegExp(`${NAME}\\s*=\\s*(${BARE})`, 'gi');
/** Where pairs are meant, a value that was not quoted goes on to the next of them. */
const PAIRS_BEGIN = new RegExp(`^\\s*(?:${[...PAIR_NAMES].join('|')})\\s*=`);
const LONG_VALUE = new RegExp(
  `${NAME}\\s*=\\s*(${QUOTED}|${BARE}(?:[^\\S\\n]+(?![\\w.-]+\\s*=)[^\\s;&'"=]+)*)`,
  'gis',
);

/** What a text of some kind is: a comment, SQL in which only bare values are looked for, or anything else. */
export type ConnectionText = 'comment' | 'sql' | 'data';

/** Of any text, secrets that stand behind `password=` or the like, and passwords in URIs; they may overlap. */
export function connectionSecrets(text: string, kind: ConnectionText): readonly Stretch[] {
  return [...valuesIn(text, kind), ...passwordsInUris(text)];
}

function valuesIn(text: string, kind: ConnectionText): readonly Stretch[] {
  const pattern = kind === 'sql' ? BARE_VALUE : PAIRS_BEGIN.test(text) ? LONG_VALUE : VALUE;
  return [...text.matchAll(pattern)].map((match) => {
    const value = match[1]!;
    const end = match.index + match[0].length;
    const bare = !/^['"]/.test(value);
    const inside = bare
      ? value
      : value.slice(1, value.length > 1 && value.endsWith(value[0]!) ? -1 : undefined);
    return {
      start: end - value.length,
      end,
      mayBeCode: (bare && kind !== 'comment') || looksLikeCode(inside),
    };
  });
}

const USER = /:\/\/[^\s:/?#@'"]*:/;

/** All between the first user's colon and the last at sign of what has no blank or quote in it. */
function passwordsInUris(text: string): readonly Stretch[] {
  if (!text.includes('://')) return [];
  const stretches: Stretch[] = [];
  for (const { 0: run, index } of text.matchAll(/[^\s'"]+/g)) {
    const last = run.lastIndexOf('@');
    const user = last < 0 ? null : USER.exec(run);
    const start = user === null ? -1 : user.index + user[0].length;
    if (start < 0 || start > last) continue;
    const mayBeCode = looksLikeCode(run.slice(start, last));
    stretches.push({ start: index + start, end: index + last, mayBeCode });
  }
  return stretches;
}
