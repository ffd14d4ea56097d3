import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type { TokenRow } from './control-store.ts';
import type { StoreCalls } from './sqlite-records.ts';

export const PRINCIPALS_SCHEMA = `
  alter table tokens add column roles text not null default '[]';
  alter table tokens add column "groups" text not null default '[]';
  alter table tokens add column created_by text not null default 'holdfast';
`;

/** Neither tokens nor votes of before say whose they are. */
export const PERSONS_SCHEMA = `
  alter table tokens add column person text;
  alter table approval_votes add column person text;
`;

/** Who might do everything made tokens that counted as somebody else's; whose they are is found by their makers now. */
export const MAKERS_SCHEMA = `
  update tokens set person = null where created_by like 'token:%';
`;

/** What an earlier version has written does not say which secret has made it. */
export const MAKER_HASHES_SCHEMA = `
  alter table tokens add column maker_sha256 text;
`;

/** Whoever an issuer vouches for was known by a name alone, which may change. */
export const SUBJECTS_SCHEMA = `
  alter table tokens add column subject text;
  alter table approval_votes add column subject text;
`;

export function tokenCalls(
  database: DatabaseSync,
): Pick<StoreCalls, 'insertToken' | 'deleteTokens' | 'tokens'> {
  const insert = database.prepare(
    `insert into tokens (name, sha256, scopes, created_at_ms, expires_at_ms, roles, "groups", created_by, person, maker_sha256, subject)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing`,
  );
  const remove = database.prepare('delete from tokens where name = ?');
  const all = database.prepare('select * from tokens order by name');
  return {
    insertToken(token: TokenRow): boolean {
      const { name, sha256, scopes, createdAtMs, expiresAtMs, roles, groups, createdBy } = token;
      const { person, makerSha256, subject } = token;
      const [given, owned, member] = [scopes, roles, groups].map((list) => JSON.stringify(list));
      const row = [name, sha256, given!, createdAtMs, expiresAtMs, owned!, member!, createdBy, person];
      return insert.run(...row, makerSha256, subject).changes === 1;
    },
    // All calls of a commit stand or fall together, and so do these.
    deleteTokens(names: readonly string[]): void {
      for (const name of names) remove.run(name);
    },
    tokens: () => all.all().map(tokenRow),
  };
}

function tokenRow(row: Record<string, SQLOutputValue>): TokenRow {
  const list = (name: string) => JSON.parse(String(row[name])) as string[];
  const expires = row['expires_at_ms'];
  return {
    name: String(row['name']),
    sha256: String(row['sha256']),
    scopes: list('scopes'),
    createdAtMs: Number(row['created_at_ms']),
    expiresAtMs: expires === null ? null : Number(expires),
    roles: list('roles'),
    groups: list('groups'),
    createdBy: String(row['created_by']),
    person: row['person'] === null ? null : String(row['person']),
    subject: row['subject'] === null ? null : String(row['subject']),
    makerSha256: row['maker_sha256'] === null ? null : String(row['maker_sha256']),
  };
}
