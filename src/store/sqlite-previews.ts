import type { DatabaseSync } from 'node:sqlite';
import type { StoreCalls } from './sqlite-records.ts';

/** What approvers were shown of a held statement, which may hold rows of the database. */
export const PREVIEWS_SCHEMA = `
  create table approval_previews (
    approval_id text primary key,
    body        text not null
  ) strict, without rowid;
`;

export function previewCalls(
  database: DatabaseSync,
): Pick<StoreCalls, 'setApprovalPreview' | 'approvalPreview'> {
  // Whoever asks and gives up at once, again and again, leaves no previews behind.
  const set = database.prepare(
    `insert into approval_previews (approval_id, body)
     select ?1, ?2
      where not exists (select 1 from approvals where id = ?1 and state in ('canceled', 'disconnected'))
     on conflict (approval_id) do update set body = excluded.body`,
  );
  const get = database.prepare('select body from approval_previews where approval_id = ?');
  return {
    setApprovalPreview(approvalId, body) {
      set.run(approvalId, body);
    },
    approvalPreview(approvalId) {
      const row = get.get(approvalId);
      return row === undefined ? null : String(row['body']);
    },
  };
}
