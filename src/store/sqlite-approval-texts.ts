import type { DatabaseSync } from 'node:sqlite';

/** The statements of approvals that are too long for lists; whoever decides can ask for them. */
export const APPROVAL_TEXTS_SCHEMA = `
  create table approval_texts (
    approval_id text primary key,
    statement   text not null
  ) strict;
`;

export function approvalTexts(database: DatabaseSync) {
  const insert = database.prepare('insert into approval_texts (approval_id, statement) values (?, ?)');
  const select = database.prepare('select statement from approval_texts where approval_id = ?');
  return {
    keep(approvalId: string, text: string): void {
      insert.run(approvalId, text);
    },
    of(approvalId: string): string | null {
      const row = select.get(approvalId);
      return row === undefined ? null : String(row['statement']);
    },
  };
}
