import { statSync } from 'node:fs';
import type { TokensAdmin, WantedToken } from './admin/deps.ts';
import { madeTokens, madeWith } from './admin/made-tokens.ts';
import { OIDC_PREFIX, OidcVerifier } from './admin/oidc.ts';
import { type MadeToken, makeToken, type Token } from './admin/tokens.ts';
import type { AdminAction } from './audit/admin-entry.ts';
import { type ActionLog, recordAction } from './audit/recorded-action.ts';
import { HoldfastError } from './base/errors.ts';
import type { Logger } from './base/log.ts';
import { loadPrincipalsFile, NO_PRINCIPALS, type PrincipalsFile } from './config/tokens.ts';
import { followUsual } from './config/usual-files.ts';
import type { ControlStore, TokenRow } from './store/control-store.ts';

export interface PrincipalsDeps {
  /** Of the tokens file, or null where none is named and none is at the usual place yet. */
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
  readonly #fileNow: () => string | null;
  #stored: readonly TokenRow[] = [];
  #file: PrincipalsFile = NO_PRINCIPALS;
  #fileSeen = '';
  #all: readonly Token[] = [];
  #oidc: OidcVerifier | null = null;

  static async open(deps: PrincipalsDeps): Promise<Principals> {
    const principals = new Principals(deps);
    principals.#stored = await deps.store.tokens();
    principals.reload();
    // Those that have ended count as well: the file lets people in again, and nobody else is to be.
    if (principals.all.length === 0 && principals.oidc === null) {
      const { secret, token } = makeToken('admin', ['*']);
      const row = { ...token, createdAtMs: Date.now(), createdBy: 'holdfast', ...NO_MAKER };
      await deps.store.insertToken(row);
      principals.#stored = [row];
      principals.made = secret;
      principals.#gather();
    }
    return principals;
  }

  private constructor(deps: PrincipalsDeps) {
    this.#deps = deps;
    this.#fileNow = followUsual('tokens', deps.path);
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
    const path = this.#fileNow();
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

  madeWith(name: string): readonly string[] {
    return madeWith(name, this.#stored);
  }

  async create(wanted: WantedToken, by: string, client: string): Promise<MadeToken> {
    const { name, scopes, expiresAtMs, roles, groups, person, subject, makerSha256 } = wanted;
    const { store, audit } = this.#deps;
    if (name.startsWith(OIDC_PREFIX) || this.all.some((token) => token.name === name)) {
      throw new HoldfastError('CONFLICT', `the name ${name} is taken`);
    }
    const made = makeToken(name, scopes, expiresAtMs, { roles, groups, person, subject });
    const text = `new token ${name} with ${scopes.join(', ')}`;
    const action = actionOn('new token', text, by, client);
    const row = { ...made.token, createdAtMs: Date.now(), createdBy: by, subject, makerSha256 };
    await recordAction(audit, action, async () => {
      if (!(await store.insertToken(row))) throw new HoldfastError('CONFLICT', `the name ${name} is taken`);
    });
    this.#stored = [...this.#stored, row];
    this.#gather();
    return made;
  }

  /**
   * It is refused from now on, and all that it has made, also where the store cannot be told: until the next start.
   * Resolves with the names of what it has made.
   */
  async revoke(name: string, by: string, client: string): Promise<readonly string[]> {
    const token = this.all.find((one) => one.name === name);
    if (token === undefined) throw new HoldfastError('NOT_FOUND', `there is no token ${name}`);
    if (token.source !== 'store') {
      throw new HoldfastError('CONFLICT', `${name} stands in ${this.#fileNow()}; remove it there`);
    }
    const made = madeWith(name, this.#stored);
    const names = [name, ...made];
    this.#stored = this.#stored.filter((one) => !names.includes(one.name));
    this.#gather();
    const along = made.length === 0 ? '' : `, and what it has made: ${made.join(', ')}`;
    const text = `revoke token ${name}${along}`;
    const action = actionOn('revoke token', text, by, client);
    await recordAction(this.#deps.audit, action, () => this.#deps.store.deleteTokens(names));
    return made;
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
    const file = this.#fileNow();
    if (stateOf(file) === this.#fileSeen) return;
    try {
      this.reload();
      this.#deps.log.info({ file }, 'the tokens were read again');
    } catch (error) {
      const said = error instanceof Error ? error.message : error;
      this.#deps.log.error({ error: said }, 'tokens not reloaded; the old stay');
    }
  }

  #gather(): void {
    const { tokens: ofFile, oidc } = this.#file;
    const ended = this.#namesEnded();
    this.#all = [...ofFile, ...madeTokens(this.#stored, { ofFile, issuer: oidc !== null })];
    const now = this.#namesEnded();
    if (String(now) !== String(ended)) {
      this.#deps.log.info(
        { tokens: now },
        'these tokens are refused, since those that have made them are no more',
      );
    }
  }

  #namesEnded(): readonly string[] {
    return this.#all.filter(({ endedBecause }) => (endedBecause ?? null) !== null).map(({ name }) => name);
  }
}

const actionOn = (
  operation: AdminAction['operation'],
  text: string,
  by: string,
  client: string,
): AdminAction => {
  return { operation, text, reason: '', tables: [], database: '', by, client };
};

const GONE = 'gone';

const NO_MAKER = { subject: null, makerSha256: null } as const;

/** What changes when the file does. */
function stateOf(path: string | null): string {
  const stats = path === null ? undefined : statSync(path, { throwIfNoEntry: false });
  return stats === undefined
    ? GONE
    : `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`;
}
