import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { ApprovalPage, ApprovalResolution, ApprovalRow, ControlStore } from './control-store.ts';
import { PENDING, type ResolvedApproval, type TokenRow } from './control-store.ts';
import type { AuditBlocks } from './sqlite-audit-blocks.ts';
import { auditCutCalls } from './sqlite-audit-cut.ts';
import { previewCalls } from './sqlite-previews.ts';
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
    ...previewCalls(database),
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

type ApprovalCalls = Pick<
  StoreCalls,
  'insertApproval' | 'resolveApproval' | 'resolvePendingApprovals' | 'approval' | 'approvals'
>;

function approvalCalls(database: DatabaseSync): ApprovalCalls {
  const insert = database.prepare(
    `insert into approvals (id, state, created_at_ms, resolved_at_ms, resolved_by, comment, body)
     values (?, ?, ?, ?, ?, ?, ?)`,
  );
  const resolve = database.prepare(
    `update approvals set state = ?, resolved_at_ms = ?, resolved_by = ?, comment = ?
     where id = ? and state = '${PENDING}'`,
  );
  const resolveAll = database.prepare(
    `update approvals set state = ?, resolved_at_ms = ?, resolved_by = ?, comment = ? where state = '${PENDING}'`,
  );
  const one = database.prepare('select * from approvals where id = ?');
  const all = database.prepare('select * from approvals where id < ? order by id desc limit ?');
  const inState = database.prepare(
    'select * from approvals where state = ? and id < ? order by id desc limit ?',
  );

  const approval = (id: string): ApprovalRow | null => {
    const row = one.get(id);
    return row === undefined ? null : approvalRow(row);
  };
  return {
    approval,
    insertApproval(row: ApprovalRow): void {
      insert.run(row.id, row.state, row.createdAtMs, row.resolvedAtMs, row.resolvedBy, row.comment, row.body);
    },
    resolveApproval(id: string, to: ApprovalResolution): ResolvedApproval | null {
      const changed = resolve.run(to.state, to.atMs, to.by, to.comment, id).changes === 1;
      const row = approval(id);
      return row === null ? null : { changed, row };
    },
    resolvePendingApprovals(to: ApprovalResolution): number {
      return Number(resolveAll.run(to.state, to.atMs, to.by, to.comment).changes);
    },
    approvals(page: ApprovalPage): readonly ApprovalRow[] {
      // No identifier sorts after this one.
      const before = page.beforeId ?? '\u{10ffff}';
      const rows =
        page.state === null ? all.all(before, page.limit) : inState.all(page.state, before, page.limit);
      return rows.map(approvalRow);
    },
  };
}

function approvalRow(row: Row): ApprovalRow {
  return {
    id: String(row['id']),
    state: String(row['state']),
    createdAtMs: Number(row['created_at_ms']),
    resolvedAtMs: numberOrNull(row['resolved_at_ms']),
    resolvedBy: textOrNull(row['resolved_by']),
    comment: textOrNull(row['comment']),
    body: String(row['body']),
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
