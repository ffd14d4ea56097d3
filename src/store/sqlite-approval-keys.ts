import type { DatabaseSync } from 'node:sqlite';
import { PENDING, type RenewedKey, type StoredKey } from './control-store.ts';
import type { StoreCalls } from './sqlite-records.ts';

const OTHERS = 'binding_key is not null and substr(binding_key, 1, length(?1)) <> ?1';

/** The key is in the body as well. */
const GIVE = "update approvals set binding_key = ?2, body = json_replace(body, '$.binding.key', ?2)";

export function approvalKeyCalls(database: DatabaseSync): Pick<StoreCalls, 'otherKeys' | 'renewKeys'> {
  const usable = database.prepare(
    `select id, binding_key from approvals
      where ${OTHERS} and (state = '${PENDING}'
        or (state = 'approved' and consumed_at_ms is null and grant_until_ms > ?2))`,
  );
  const give = database.prepare(`${GIVE} where id = ?1`);
  const forget = database.prepare(`${GIVE} where ${OTHERS}`);
  return {
    otherKeys: (prefix, nowMs): StoredKey[] =>
      usable.all(prefix, nowMs).map((row) => ({ id: String(row['id']), key: String(row['binding_key']) })),
    renewKeys(prefix: string, renewed: readonly RenewedKey[]): void {
      for (const { id, key } of renewed) give.run(id, key);
      // Nobody needs to know again what is over.
      forget.run(prefix, null);
    },
  };
}
