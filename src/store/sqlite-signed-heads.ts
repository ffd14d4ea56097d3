import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type { SignedHeadRow } from './control-store.ts';
import { auditCut } from './sqlite-audit-cut.ts';
import type { StoreCalls } from './sqlite-records.ts';

type SignedHeadCalls = Pick<StoreCalls, 'insertSignedHead' | 'newestSignedHead' | 'markAnchored'>;

export function signedHeadCalls(database: DatabaseSync): SignedHeadCalls {
  const insert = database.prepare(
    `insert into signed_heads (sequence, hash, time, key_id, public_key, signature, anchored)
     values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing`,
  );
  const newest = database.prepare('select * from signed_heads order by rowid desc limit 1');
  const mark = database.prepare(
    'update signed_heads set anchored = 1 where sequence = ? and key_id = ? and hash = ?',
  );
  return {
    insertSignedHead(head) {
      const { sequence, hash, time, keyId, publicKey, signature, anchored } = head;
      insert.run(sequence, hash, time, keyId, publicKey, signature, anchored ? 1 : 0);
    },
    newestSignedHead() {
      const row = newest.get();
      return row === undefined ? null : signedHeadRow(row);
    },
    markAnchored(head) {
      mark.run(head.sequence, head.keyId, head.hash);
    },
  };
}

export function signedHeadRow(row: Record<string, SQLOutputValue>): SignedHeadRow {
  return { ...auditCut(row), anchored: row['anchored'] === 1 };
}
