import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { ControlStore } from './control-store.ts';
import { approvalKeyCalls } from './sqlite-approval-keys.ts';
import { approvalCalls } from './sqlite-approvals.ts';
import type { AuditBlocks } from './sqlite-audit-blocks.ts';
import { auditCutCalls } from './sqlite-audit-cut.ts';
import { outboxCalls } from './sqlite-outbox.ts';
import { previewCalls } from './sqlite-previews.ts';
import { restraintCalls } from './sqlite-restraints.ts';
import { signedHeadCalls } from './sqlite-signed-heads.ts';
import { tokenCalls } from './sqlite-tokens.ts';

type Synchronous<Port> = {
  [Name in keyof Port]: Port[Name] extends (...parameters: infer P) => Promise<infer R>
    ? (...p: P) => R
    : never;
};

/** The calls of the port that reach the worker, under the same names. */
export type StoreCalls = Synchronous<Omit<ControlStore, 'close'>>;

/** The port's calls on an open database. They run inside the transaction of whoever calls them. */
export function sqliteRecords(database: DatabaseSync, audit: AuditBlocks): StoreCalls {
  return {
    ...auditCalls(audit),
    ...auditCutCalls(database),
    ...signedHeadCalls(database),
    ...approvalCalls(database),
    ...approvalKeyCalls(database),
    ...restraintCalls(database),
    ...outboxCalls(database),
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

function textOrNull(value: SQLOutputValue | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}
