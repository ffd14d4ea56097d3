import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { quoteName, quoteQualified } from '../catalog/quote.ts';
import { bestKey, type Column, type Relation } from '../catalog/relation.ts';
import { type ManifestTable, toManifest } from '../snapshot/manifest.ts';
import { ROW_FILE_SUFFIX, type RowFile } from '../snapshot/row-file.ts';
import { RowFileWriter } from '../snapshot/row-file-writer.ts';
import { TRASH_SCHEMA } from './definitions.ts';
import { hiddenQuery } from './session.ts';
import type { TrashedObject } from './steps.ts';

/**
 * Copies the rows of a table in the trash to a file of its snapshot, so that they outlast the purge. They are told as
 * those of the table by its own name. Memory stays flat: a row waits until the one before has been taken.
 */
export async function archiveTable(
  connection: HiddenConnection,
  catalog: Catalog,
  store: BlobStore,
  folder: string,
  object: TrashedObject,
): Promise<ManifestTable> {
  const question = {
    scope: folder,
    relations: [{ schema: TRASH_SCHEMA, name: object.trash_name }],
    allReferrers: false,
    functions: [],
  };
  const answer = await catalog.ask(connection, question);
  const relation = answer.relations.get(answer.roots[0] ?? 0);
  if (relation === undefined || relation.kind !== 'table') {
    throw new HoldfastError('NOT_FOUND', `there is no table ${object.trash_name} in the trash`);
  }
  const columns = relation.columns.filter(({ generated }) => generated === '');
  const writer = await RowFileWriter.create(store, `${folder}/trash-${object.oid}.before${ROW_FILE_SUFFIX}`);
  let file: RowFile;
  try {
    const select = columns.map(({ name }) => `r.${quoteName(name)}`).join(', ');
    const sql = `SELECT ${select} FROM ONLY ${quoteQualified(TRASH_SCHEMA, object.trash_name)} r`;
    const resultFormats = columns.map(({ binary }) => (binary ? (1 as const) : (0 as const)));
    await connection.run({ ...hiddenQuery(sql), resultFormats }, (row) => writer.write(row));
    file = await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return {
    schema: object.schema,
    name: object.name,
    oid: object.oid,
    cause: { kind: 'target' },
    columns: columns.map(describe),
    key: keyOf(relation),
    before: toManifest(file),
    after: null,
    proof: { captured: file.rows, affected: null, server_delta: null },
  };
}

function keyOf(relation: Relation): string[] | null {
  const key = bestKey(relation);
  return key === null ? null : [...key.columns];
}

function describe(column: Column): ManifestTable['columns'][number] {
  const { oid, schema, name, modifier } = column.type;
  return {
    name: column.name,
    attribute: column.attribute,
    type: { oid, schema, name, modifier },
    not_null: column.notNull,
    generated: column.generated,
    identity: column.identity,
    format: column.binary ? 'binary' : 'text',
  };
}
