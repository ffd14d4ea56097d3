import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { ControlStore, TokenRow } from './control-store.ts';
import { approvalCalls } from './sqlite-approvals.ts';
import type { AuditBlocks } from './sqlite-audit-blocks.ts';
import { auditCutCalls } from './sqlite-audit-cut.ts';
import { restraintCalls } from './sqlite-restraints.ts';
import { signedHeadCalls } from './sqlite-signed-heads.ts';

type Synchronous<Port> = {
  [Name in keyof Port]: Port[Name] extends (...parameters: infer P) => Promise<infer R>
    ? (...p: P) => R
    : never;
};

/** The calls of the port that reach the worker, under the same names. */
export type StoreCalls = Synchronous<Omit<ControlStore, 'close'>>;

type Row = Record<string, SQLOutputValue>;

/** The port's calls on an open database. They run inside the transaction of whoever calls them. */
export function sqliteRecords(database: DatabaseSync, audit: AuditBlocks): StoreCalls {
  return {
    ...auditCalls(audit),
    ...auditCutCalls(database),
    ...signedHeadCalls(database),
    ...approvalCalls(database),
    ...restraintCalls(database),
    ...tokenCalls(database),
    ...metaCalls(database),
  };
}

function auditCalls(audit: AuditBlocks): Pick<StoreCalls, 'appendAudit' | 'auditHead' | 'readAudit'> {
  return {
    appendAudit: (write) => audit.append(write),
    auditHead: () => audit.head(),
    readAudit: (range) => audit.read(range),
  };
}

function tokenCalls(database: DatabaseSync): Pick<StoreCalls, 'insertToken' | 'tokens'> {
  const insert = database.prepare(
    `insert into tokens (name, sha256, scopes, created_at_ms, expires_at_ms)
     values (?, ?, ?, ?, ?) on conflict do nothing`,
  );
  const all = database.prepare('select * from tokens order by name');
  return {
    insertToken(token: TokenRow): boolean {
      const { name, sha256, scopes, createdAtMs, expiresAtMs } = token;
      return insert.run(name, sha256, JSON.stringify(scopes), createdAtMs, expiresAtMs).changes === 1;
    },
    tokens: () => all.all().map(tokenRow),
  };
}

function tokenRow(row: Row): TokenRow {
  return {
    name: String(row['name']),
    sha256: String(row['sha256']),
    scopes: JSON.parse(String(row['scopes'])) as string[],
    createdAtMs: Number(row['created_at_ms']),
    expiresAtMs: numberOrNull(row['expires_at_ms']),
  };
}

function metaCalls(database: DatabaseSync): Pick<StoreCalls, 'meta' | 'setMeta'> {
  const get: StatementSync = database.prepare('select value from meta where key = ?');
  const set: StatementSync = database.prepare(
    'insert into meta (key, value) values (?, ?) on conflict (key) do update set value = excluded.value',
  );
  return {
    meta: (key) => textOrNull(get.get(key)?.['value']),
    setMeta(key, value) {
      set.run(key, value);
    },
  };
}

function numberOrNull(value: SQLOutputValue | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}

function textOrNull(value: SQLOutputValue | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}
