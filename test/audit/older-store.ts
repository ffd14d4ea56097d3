import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ANCHOR_FOLDER } from '../../src/audit/signed-head.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { ChainedStore } from './chained-store.ts';

interface Kept {
  readonly tables: Readonly<Record<string, readonly Readonly<Record<string, Value>>[]>>;
  readonly anchors: Readonly<Record<string, string>>;
  readonly key: string;
}
type Value = string | number | { readonly base64: string };

/** The audit that an older version left behind when it was killed, by the rows of its store, its anchors and its key. */
export async function olderStore(file: string): Promise<ChainedStore> {
  const kept = JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')) as Kept;
  const audit = await ChainedStore.create();
  await (await SqliteControlStore.open(audit.path)).close();
  const database = new DatabaseSync(audit.path);
  for (const [table, rows] of Object.entries(kept.tables)) {
    for (const row of rows) {
      const columns = Object.keys(row);
      const marks = columns.map(() => '?').join(', ');
      database
        .prepare(`insert into ${table} (${columns.join(', ')}) values (${marks})`)
        .run(
          ...Object.values(row).map((one) =>
            typeof one === 'object' ? Buffer.from(one.base64, 'base64') : one,
          ),
        );
    }
  }
  database.close();
  writeFileSync(audit.keyPath, kept.key, { mode: 0o600 });
  mkdirSync(join(audit.anchors, ANCHOR_FOLDER), { recursive: true });
  for (const [name, anchor] of Object.entries(kept.anchors))
    writeFileSync(join(audit.anchors, ANCHOR_FOLDER, name), anchor);
  return audit;
}
