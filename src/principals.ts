import { statSync } from 'node:fs';
import type { TokensAdmin, WantedToken } from './admin/deps.ts';
import { OIDC_PREFIX, OidcVerifier } from './admin/oidc.ts';
import { type MadeToken, makeToken, type Token } from './admin/tokens.ts';
import { type ActionLog, recordAction } from './audit/recorded-action.ts';
import { HoldfastError } from './base/errors.ts';
import type { Logger } from './base/log.ts';
import { loadPrincipalsFile, NO_PRINCIPALS, type PrincipalsFile } from './config/tokens.ts';
import type { ControlStore, TokenRow } from './store/control-store.ts';

export interface PrincipalsDeps {
  /** Of the tokens file, or null where there is none. */
  readonly path: string | null;
  readonly store: ControlStore;
  readonly audit: ActionLog;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

/**
 * Who may use the API: the tokens of the file, which is read again when it has changed; those of the store; and whom
 * an issuer vouches for. Where there is nobody at all, the first start makes a token.
 */
export class Principals implements TokensAdmin {
  /** The token that this start has made, or null. */
  made: string | null = null;
  /** Why the file as it stands does not count, or null. */
  problem: string | null = null;
  readonly #deps: PrincipalsDeps;
  #stored: readonly Token[] = [];
  #file: PrincipalsFile = NO_PRINCIPALS;
  #fileSeen = '';
  #all: readonly Token[] = [];
  #oidc: OidcVerifier | null = null;

  static async open(deps: PrincipalsDeps): Promise<Principals> {
    const principals = new Principals(deps);
    const rows = await deps.store.tokens();
    principals.reload();
    principals.#stored = rows.map((row) => tokenOf(row, rows, principals.#file.tokens));
    principals.#gather();
    if (principals.all.length === 0 && principals.oidc === null) {
      const { secret, token } = makeToken('admin', ['*']);
      await deps.store.insertToken({ ...token, createdAtMs: Date.now(), createdBy: 'holdfast' });
      principals.#stored = [{ ...token, madeBy: 'holdfast' }];
      principals.made = secret;
      principals.#gather();
    }
    return principals;
  }

  private constructor(deps: PrincipalsDeps) {
    this.#deps = deps;
  }

  get all(): readonly Token[] {
    this.#followFile();
    return this.#all;
  }

  get oidc(): OidcVerifier | null {
    this.#followFile();
    return this.#oidc;
  }

  /** Throws what is wrong with the file, and then keeps what was read before. */
  reload(): void {
    const { path } = this.#deps;
    this.#fileSeen = stateOf(path);
    const { oidc: before } = this.#file;
    this.#file = this.#load(path);
    const { oidc } = this.#file;
    if (JSON.stringify(oidc) !== JSON.stringify(before)) this.#oidc = oidc && new OidcVerifier(oidc);
    this.#gather();
  }

  list(): readonly Token[] {
    return this.all;
  }

  async create(wanted: WantedToken, by: string, client: string): Promise<MadeToken> {
    const { name, scopes, expiresAtMs, roles, groups, person } = wanted;
    const { store, audit } = this.#deps;
    if (name.startsWith(OIDC_PREFIX) || this.all.some((token) => token.name === name)) {
      throw new HoldfastError('CONFLICT', `the name ${name} is taken`);
    }
    const made = makeToken(name, scopes, expiresAtMs, { roles, groups, person });
    const text = `new token ${name} with ${scopes.join(', ')}`;
    const action = {
      operation: 'new token',
      text,
      reason: '',
      tables: [],
      database: '',
      by,
      client,
    } as const;
    await recordAction(audit, action, async () => {
      const row = { ...made.token, createdAtMs: Date.now(), createdBy: by };
      if (!(await store.insertToken(row))) throw new HoldfastError('CONFLICT', `the name ${name} is taken`);
    });
    this.#stored = [...this.#stored, { ...made.token, madeBy: by }];
    this.#gather();
    return made;
  }

  /** It is refused from now on, also where the store cannot be told: until the next start. */
  async revoke(name: string, by: string, client: string): Promise<void> {
    const token = this.all.find((one) => one.name === name);
    if (token === undefined) throw new HoldfastError('NOT_FOUND', `there is no token ${name}`);
    if (token.source !== 'store') {
      throw new HoldfastError('CONFLICT', `${name} stands in ${this.#deps.path}; remove it there`);
    }
    this.#stored = this.#stored.filter((one) => one !== token);
    this.#gather();
    const text = `revoke token ${name}`;
    const action = {
      operation: 'revoke token',
      text,
      reason: '',
      tables: [],
      database: '',
      by,
      client,
    } as const;
    await recordAction(this.#deps.audit, action, () => this.#deps.store.deleteToken(name));
  }

  #load(path: string | null): PrincipalsFile {
    try {
      // A file that is gone takes its tokens along.
      const isThere = path !== null && this.#fileSeen !== GONE;
      const file = isThere ? loadPrincipalsFile(path) : NO_PRINCIPALS;
      this.problem = null;
      return file;
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  #followFile(): void {
    if (stateOf(this.#deps.path) === this.#fileSeen) return;
    try {
      this.reload();
      this.#deps.log.info({ file: this.#deps.path }, 'the tokens were read again');
    } catch (error) {
      const said = error instanceof Error ? error.message : error;
      this.#deps.log.error({ error: said }, 'tokens not reloaded; the old stay');
    }
  }

  #gather(): void {
    this.#all = [...this.#file.tokens, ...this.#stored];
  }
}

const GONE = 'gone';

/** Before the name of a token, in what it has done. */
const TOKEN_PREFIX = 'token:';

/** What changes when the file does. */
function stateOf(path: string | null): string {
  const stats = path === null ? undefined : statSync(path, { throwIfNoEntry: false });
  return stats === undefined
    ? GONE
    : `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`;
}

function tokenOf(row: TokenRow, rows: readonly TokenRow[], ofFile: readonly Token[]): Token {
  const { name, sha256, scopes, expiresAtMs, groups, createdBy: madeBy } = row;
  const owner = ownerOf(row, rows, ofFile);
  return { name, sha256, scopes, expiresAtMs, groups, ...owner, source: 'store', madeBy };
}

type Owner = Pick<Token, 'roles' | 'person'>;

/** Rows of an earlier version only name their maker. Of one that is gone, all that it has made is one person's. */
function ownerOf(
  row: TokenRow,
  rows: readonly TokenRow[],
  ofFile: readonly Token[],
  seen: readonly string[] = [row.name],
): Owner {
  const { name, roles, person, createdBy } = row;
  const by = createdBy.startsWith(TOKEN_PREFIX) ? createdBy.slice(TOKEN_PREFIX.length) : null;
  if (person !== null || by === null) return { roles, person: person ?? name };
  const gone = { roles: [], person: by.startsWith(OIDC_PREFIX) ? by.slice(OIDC_PREFIX.length) : by };
  const maker = seen.includes(by) ? undefined : rows.find((one) => one.name === by);
  const above =
    maker === undefined
      ? (ofFile.find((one) => one.name === by) ?? gone)
      : ownerOf(maker, rows, ofFile, [...seen, by]);
  const owned = new Set([...roles, ...above.roles, by, above.person]);
  return { roles: [...owned], person: above.person };
}
