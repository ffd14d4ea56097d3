import { quoteQualified } from '../catalog/quote.ts';
import type { Manifest, ManifestTable } from '../snapshot/manifest.ts';
import { loadRows } from './load.ts';
import { type Progress, refuse, type UndoOutcome } from './outcome.ts';
import { inTransaction, Whereabouts } from './transaction.ts';
import { refuseForeignTypes } from './trust.ts';
import { readTypes } from './types-now.ts';
import type { UndoRequest } from './undo.ts';

export interface Name {
  readonly schema: string;
  readonly name: string;
}

export interface IntoOptions {
  /** A table that is not there yet. */
  readonly into: Name;
  /** The table of the snapshot; without one, those that the statement named itself. */
  readonly table?: Name;
  readonly dryRun?: boolean;
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Puts the rows as they were into a table of their own, which takes nothing from how the tables are by now: also
 * where they are gone or look otherwise. It has the columns, and neither keys nor defaults.
 */
export async function restoreInto(
  { store, manifest, session, trusted }: UndoRequest,
  { into, table, dryRun = false, onProgress }: IntoOptions,
): Promise<UndoOutcome> {
  const where = new Whereabouts(onProgress);
  return await inTransaction(session, 'READ COMMITTED', where, async () => {
    const entries = chosen(manifest, table);
    const label = `${into.schema}.${into.name}`;
    const types = await readTypes(session, entries[0]!);
    await refuseForeignTypes(session, entries, trusted);
    const target = quoteQualified(into.schema, into.name);
    const columns = entries[0]!.columns;
    const defined = columns.map(({ name, format }, i) => {
      return `${quoteQualified(null, name)} ${format === 'text' ? 'text' : types[i]!.base}`;
    });
    await session.query(`CREATE TABLE ${target} (${defined.join(', ')})`);
    for (const [i, { before }] of entries.entries()) {
      where.at('load', label, i, entries.length);
      if (before === null) continue;
      // The count of what was loaded is that of one file, so that each has a table first.
      await session.query(`CREATE TEMP TABLE "holdfast part" (LIKE ${target}) ON COMMIT DROP`);
      await loadRows(session, store, before, 'pg_temp."holdfast part"', manifest.server.encoding);
      await session.query(`INSERT INTO ${target} SELECT * FROM pg_temp."holdfast part"`);
      await session.query('DROP TABLE pg_temp."holdfast part"');
    }
    const texts = columns.flatMap(({ name, format }, i) => {
      const column = quoteQualified(null, name);
      const { formatted } = types[i]!;
      return format === 'text' || formatted !== types[i]!.base
        ? [`ALTER COLUMN ${column} TYPE ${formatted} USING ${column}::${formatted}`]
        : [];
    });
    if (texts.length > 0) await session.query(`ALTER TABLE ${target} ${texts.join(', ')}`);
    const putBack = entries.reduce((sum, { before }) => sum + (before?.rows ?? 0), 0);
    const counts = { table: label, putBack, setBack: 0, removed: 0, already: 0, conflicts: 0 };
    return {
      ending: dryRun ? 'roll back' : 'commit',
      value: { kind: 'done', dryRun, tables: [counts], sequences: [] } as const,
    };
  });
}

/** Partitions of one whole have the same columns, and so fit one table. */
function chosen({ tables }: Manifest, table: Name | undefined): readonly ManifestTable[] {
  const entries = tables.filter(({ schema, name, cause }) =>
    table === undefined ? cause.kind === 'target' : schema === table.schema && name === table.name,
  );
  const [first] = entries;
  if (first === undefined) {
    refuse({
      table: table === undefined ? '' : `${table.schema}.${table.name}`,
      reason: 'the snapshot has no such table',
    });
  }
  const other = entries.find((entry) => shape(entry) !== shape(first));
  if (other !== undefined) {
    const reason = `its columns are not those of ${first.schema}.${first.name}; say which of the two is meant`;
    refuse({ table: `${other.schema}.${other.name}`, reason });
  }
  return entries;
}

const shape = ({ columns }: ManifestTable): string =>
  JSON.stringify(columns.map(({ name, type, format }) => [name, type.oid, type.modifier, format]));
