import type { DatabaseSync } from 'node:sqlite';
import { LIMITS } from '../base/limits.ts';

/** The statements of approvals that are too long for lists; whoever decides can ask for them. */
export const APPROVAL_TEXTS_SCHEMA = `
  create table approval_texts (
    approval_id text primary key,
    bytes       integer not null,
    statement   text not null
  ) strict;
`;

export function approvalTexts(database: DatabaseSync) {
  const insert = database.prepare(
    'insert into approval_texts (approval_id, bytes, statement) values (?, ?, ?)',
  );
  const select = database.prepare('select statement from approval_texts where approval_id = ?');
  // Whoever asks without end must not fill the store: the newest are kept, as far as there is room.
  const trim = database.prepare(
    `delete from approval_texts where approval_id in (
       select approval_id from (
         select approval_id, sum(bytes) over (order by approval_id desc) as up_to_here from approval_texts
       ) where up_to_here > ?)`,
  );
  return {
    keep(approvalId: string, text: string): void {
      insert.run(approvalId, Buffer.byteLength(text), text);
      trim.run(LIMITS.approvalTextsBytes);
    },
    of(approvalId: string): string | null {
      const row = select.get(approvalId);
      return row === undefined ? null : String(row['statement']);
    },
  };
}
