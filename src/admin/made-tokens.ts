import type { TokenRow } from '../store/control-store.ts';
import { OIDC_PREFIX } from './oidc.ts';
import type { Token } from './tokens.ts';

/** Before the name of a token, in what it has done. */
const TOKEN_PREFIX = 'token:';

/** Whom tokens of the store may have been made by, besides each other. */
export interface OtherMakers {
  readonly ofFile: readonly Token[];
  /** Whether an issuer vouches for anybody. */
  readonly issuer: boolean;
}

/**
 * The tokens of the store as they stand. One holds no longer than the token that has made it, and so on upwards: where
 * that one is gone, or stands for another secret by now, it is ended, and where that one expires, it does as well.
 */
export function madeTokens(rows: readonly TokenRow[], others: OtherMakers): readonly Token[] {
  return rows.map((row) => {
    const { name, sha256, scopes, groups, createdBy: madeBy } = row;
    const { endedBecause, expiresAtMs } = termOf(row, rows, others);
    const term = { expiresAtMs, endedBecause };
    return {
      ...{ name, sha256, scopes, groups, ...ownerOf(row, rows, others.ofFile), ...term },
      ...{ source: 'store' as const, madeBy },
    };
  });
}

/** All that one has made, and what these have made. */
export function madeWith(name: string, rows: readonly TokenRow[]): readonly string[] {
  const found = new Set([name]);
  // Makers may stand behind what they have made, so that one pass is not enough.
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const row of rows) if (found.has(makerOf(row) ?? '')) found.add(row.name);
  }
  return [...found].slice(1);
}

/** The name of the token that has made it, or null where none has. */
function makerOf({ createdBy }: Pick<TokenRow, 'createdBy'>): string | null {
  return createdBy.startsWith(TOKEN_PREFIX) ? createdBy.slice(TOKEN_PREFIX.length) : null;
}

interface Term {
  readonly expiresAtMs: number | null;
  readonly endedBecause: string | null;
}

function termOf(
  row: TokenRow,
  rows: readonly TokenRow[],
  others: OtherMakers,
  seen: readonly string[] = [row.name],
): Term {
  const { expiresAtMs } = row;
  const by = makerOf(row);
  if (by === null || (by.startsWith(OIDC_PREFIX) && others.issuer))
    return { expiresAtMs, endedBecause: null };
  const ended = { expiresAtMs, endedBecause: `${by}, by which it was made, is no more` };
  if (seen.includes(by)) return ended;
  const maker = rows.find((one) => one.name === by && isMaker(one, row) && isOlder(one, row));
  const ofFile = others.ofFile.find((one) => one.name === by && isMaker(one, row));
  if (maker === undefined && ofFile === undefined) return ended;
  const above =
    maker === undefined
      ? { expiresAtMs: ofFile!.expiresAtMs, endedBecause: null }
      : termOf(maker, rows, others, [...seen, by]);
  return { expiresAtMs: earlier(expiresAtMs, above.expiresAtMs), endedBecause: above.endedBecause };
}

/** Names are given anew, hashes are not. Rows of an earlier version know their maker by its name alone. */
function isMaker(one: Pick<Token, 'sha256'>, { makerSha256 }: TokenRow): boolean {
  return makerSha256 === null || makerSha256 === one.sha256;
}

/** Where the hash is not known, one of that name that has come since is another. */
function isOlder(one: TokenRow, { makerSha256, createdAtMs }: TokenRow): boolean {
  return makerSha256 !== null || one.createdAtMs <= createdAtMs;
}

function earlier(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.min(one, other);
}

type Owner = Pick<Token, 'roles' | 'person' | 'subject'>;

/** Rows of an earlier version only name their maker. Of one that is gone, all that it has made is one person's. */
function ownerOf(
  row: TokenRow,
  rows: readonly TokenRow[],
  ofFile: readonly Token[],
  seen: readonly string[] = [row.name],
): Owner {
  const { name, roles, person, subject } = row;
  const by = makerOf(row);
  if (person !== null || by === null) return { roles, person: person ?? name, subject };
  const gone: Owner = {
    subject: null,
    roles: [],
    person: by.startsWith(OIDC_PREFIX) ? by.slice(OIDC_PREFIX.length) : by,
  };
  const maker = seen.includes(by) ? undefined : rows.find((one) => one.name === by);
  const above =
    maker === undefined
      ? (ofFile.find((one) => one.name === by) ?? gone)
      : ownerOf(maker, rows, ofFile, [...seen, by]);
  const owned = new Set([...roles, ...above.roles, by, above.person]);
  return { roles: [...owned], person: above.person, subject: above.subject ?? null };
}
