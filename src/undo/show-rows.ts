import { LIMITS } from '../base/limits.ts';
import { quoteName } from '../catalog/quote.ts';
import { fromManifest, type ManifestTable } from '../snapshot/manifest.ts';
import { FILE_HEADER, FILE_TRAILER } from '../snapshot/row-file.ts';
import { readRows } from '../snapshot/row-file-reader.ts';
import type { Page } from './compare.ts';
import type { UndoOutcome } from './outcome.ts';
import { isBuiltIn, written } from './statements.ts';
import { inTransaction, setLocally, Whereabouts } from './transaction.ts';
import { refuseForeignTypes } from './trust.ts';
import { readTypes } from './types-now.ts';
import type { UndoRequest } from './undo.ts';

export interface RowsShown {
  readonly kind: 'rows';
  /** Each a JSON object of its columns; as text where the values are to be what the server writes. */
  readonly rows: readonly string[];
}

/** Rows of a snapshot for people to read. Only the server knows how values are written, so that it is asked. */
export async function showRows(
  { store, manifest, session, trusted }: UndoRequest,
  table: ManifestTable,
  image: 'before' | 'after',
  as: 'text' | 'json',
  page: Page,
): Promise<RowsShown | Extract<UndoOutcome, { kind: 'conflicts' | 'refused' | 'failed' }>> {
  const file = table[image];
  if (file === null) return { kind: 'rows', rows: [] };
  const where = new Whereabouts();
  return await inTransaction(session, 'READ COMMITTED', where, async () => {
    where.at('load', `${table.schema}.${table.name}`);
    const types = await readTypes(session, table);
    await refuseForeignTypes(session, [table], trusted);
    const columns = table.columns.map(
      ({ format }, i) => `c${i + 1} ${format === 'text' ? 'text' : types[i]!.base}`,
    );
    await session.query(`CREATE TEMP TABLE "holdfast rows" (${columns.join(', ')}) ON COMMIT DROP`);
    await setLocally(session, 'client_encoding', manifest.server.encoding);
    const from = Math.max(0, page.from);
    const max = Math.min(Math.max(0, page.max), LIMITS.undoShownRowsMax);
    const chunks = pageOf(readRows(store, fromManifest(file)), from, from + max);
    await session.copyIn('COPY pg_temp."holdfast rows" FROM STDIN WITH (FORMAT binary)', chunks);
    await setLocally(session, 'client_encoding', 'UTF8');
    const fields = table.columns.map(({ name }, i) => {
      const value = `r.c${i + 1}`;
      // A type of the user's may come with a cast to json, which would run.
      const asIs = as === 'json' && isBuiltIn(types[i]!.baseOid);
      return `to_json(${asIs ? value : written(value, types[i]!.baseOid)}) AS ${quoteName(name)}`;
    });
    const rows = await session.query(
      // A name by itself would be the column that has it.
      `SELECT row_to_json(x.*)::text FROM (SELECT ${fields.join(', ')} FROM pg_temp."holdfast rows" r) x`,
    );
    return { ending: 'roll back', value: { kind: 'rows', rows: rows.map(([json]) => json!) } as const };
  });
}

/** A COPY stream of some of the rows. */
async function* pageOf(rows: AsyncIterable<Buffer>, from: number, to: number): AsyncIterable<Buffer> {
  yield FILE_HEADER;
  let at = 0;
  for await (const row of rows) {
    if (at >= to) break;
    // A row is valid only until the next is asked for.
    if (at >= from) yield Buffer.from(row);
    at++;
  }
  yield FILE_TRAILER;
}
