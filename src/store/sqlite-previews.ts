import type { DatabaseSync } from 'node:sqlite';
import { PENDING } from './control-store.ts';
import type { StoreCalls } from './sqlite-records.ts';

/** What approvers were shown of a held statement, which may hold rows of the database. */
export const PREVIEWS_SCHEMA = `
  create table approval_previews (
    approval_id text primary key,
    body        text not null
  ) strict, without rowid;
`;

/** Which rows each was about; those of before have their number alone, in the body. */
export const ROW_SETS_SCHEMA = `
  alter table approval_previews add column row_set blob;
`;

export function previewCalls(
  database: DatabaseSync,
): Pick<StoreCalls, 'setApprovalPreview' | 'replaceApprovalPreview' | 'approvalPreview' | 'approvalRowSet'> {
  // Whoever asks and gives up at once, again and again, leaves no previews behind.
  const set = database.prepare(
    `insert into approval_previews (approval_id, body, row_set)
     select ?1, ?2, ?3
      where not exists (select 1 from approvals where id = ?1 and state in ('canceled', 'disconnected'))
     on conflict (approval_id) do update set body = excluded.body, row_set = excluded.row_set`,
  );
  const replace = database.prepare(
    `insert into approval_previews (approval_id, body, row_set)
     select ?1, ?2, ?3
      where exists (select 1 from approvals where id = ?1 and state = '${PENDING}')
        and not exists (select 1 from approval_votes where approval_id = ?1)
     on conflict (approval_id) do update set body = excluded.body, row_set = excluded.row_set`,
  );
  const get = database.prepare('select body from approval_previews where approval_id = ?');
  const rowSet = database.prepare('select row_set from approval_previews where approval_id = ?');
  return {
    setApprovalPreview(approvalId, body, rowSet) {
      set.run(approvalId, body, rowSet);
    },
    replaceApprovalPreview: (approvalId, body, rowSet) => replace.run(approvalId, body, rowSet).changes === 1,
    approvalPreview(approvalId) {
      const row = get.get(approvalId);
      return row === undefined ? null : String(row['body']);
    },
    approvalRowSet(approvalId) {
      const found = rowSet.get(approvalId)?.['row_set'];
      return found instanceof Uint8Array ? found : null;
    },
  };
}
