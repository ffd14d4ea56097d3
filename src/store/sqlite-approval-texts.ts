import type { DatabaseSync } from 'node:sqlite';
import { LIMITS } from '../base/limits.ts';
import { PENDING } from './control-store.ts';

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
  const remove = database.prepare('delete from approval_texts where approval_id = ?');
  const total = database.prepare('select sum(bytes) as bytes from approval_texts');
  // Whoever asks without end must neither fill the store nor take the texts of others from those who decide: what is
  // pending is kept before what is over, and of each role as many bytes, the newest first, as far as there is room.
  const trim = database.prepare(
    `delete from approval_texts where approval_id in (
       select approval_id from (
         select approval_id, sum(bytes) over (order by is_over, of_role, approval_id desc) as up_to_here from (
           select t.approval_id, t.bytes, a.state <> '${PENDING}' as is_over,
               sum(t.bytes) over (partition by a.state <> '${PENDING}', a.role order by t.approval_id desc) as of_role
             from approval_texts t join approvals a on a.id = t.approval_id)
       ) where up_to_here > ?)`,
  );
  return {
    keep(approvalId: string, text: string): void {
      insert.run(approvalId, Buffer.byteLength(text), text);
      if (Number(total.get()?.['bytes']) > LIMITS.approvalTextsBytes) trim.run(LIMITS.approvalTextsBytes);
    },
    forget(approvalId: string): void {
      remove.run(approvalId);
    },
    of(approvalId: string): string | null {
      const row = select.get(approvalId);
      return row === undefined ? null : String(row['statement']);
    },
  };
}
