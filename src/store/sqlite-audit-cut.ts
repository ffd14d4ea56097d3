import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type { SignedCut } from './control-store.ts';
import type { StoreCalls } from './sqlite-records.ts';

/** Where the oldest records of the audit were dropped. */
export function auditCutCalls(database: DatabaseSync): Pick<StoreCalls, 'auditEndBefore' | 'cutAudit'> {
  const oldest = database.prepare(
    `select last_seq, last_time_ms, hash from audit_blocks
     where first_seq < (select max(first_seq) from audit_blocks) order by first_seq limit ?`,
  );
  const drop = database.prepare('delete from audit_blocks where last_seq <= ?');
  // The newest head says where a notary goes on.
  const dropHeads = database.prepare(
    'delete from signed_heads where sequence < ? and rowid < (select max(rowid) from signed_heads)',
  );
  const keep = database.prepare(
    `insert or replace into audit_cut (only, sequence, hash, time, key_id, public_key, signature)
     values (1, ?, ?, ?, ?, ?, ?)`,
  );
  return {
    auditEndBefore(timeMs, rowsMax) {
      let end: ReturnType<StoreCalls['auditEndBefore']> = null;
      for (const row of oldest.iterate(rowsMax)) {
        if (Number(row['last_time_ms']) >= timeMs) break;
        // A row from before there was a chain goes together with one that is chained.
        if (row['hash'] !== null)
          end = { sequence: Number(row['last_seq']), hash: row['hash'] as Uint8Array };
      }
      return end;
    },
    cutAudit({ sequence, hash, time, keyId, publicKey, signature }) {
      keep.run(sequence, hash, time, keyId, publicKey, signature);
      drop.run(sequence);
      dropHeads.run(sequence);
    },
  };
}

export function auditCut(row: Record<string, SQLOutputValue>): SignedCut {
  return {
    sequence: Number(row['sequence']),
    hash: row['hash'] as Uint8Array,
    time: String(row['time']),
    keyId: String(row['key_id']),
    publicKey: row['public_key'] as Uint8Array,
    signature: row['signature'] as Uint8Array,
  };
}
