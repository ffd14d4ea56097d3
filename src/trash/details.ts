import { quoteName } from '../catalog/quote.ts';
import { comment, ENABLING, named, optionList } from './definitions.ts';
import type { Details } from './facts.ts';
import { emptyingPath, GIVEN, GONE, IS, LIST, NAME_OF, pinned } from './queries.ts';
import type { RestoreStep } from './steps.ts';

/**
 * What would get lost without being missed: the states of triggers that partitions have from their parents, comments on
 * what they have from them, and what the planner and the storage are told of materialized views, which are made anew.
 */

/** What a partition has from its parent, whether it goes itself or that alone. */
const LENT = (catalog: 'pg_constraint' | 'pg_trigger', alias: string, table: string) =>
  `(${GONE('pg_class', `${alias}.${table}`)} OR ${GONE(catalog, `${alias}.oid`)})`;

/** A trigger of a partition comes back as its parent's is, whatever had been done to it alone. */
const CLONES = `
  SELECT ${LIST(`pg_catalog.jsonb_build_object('table', ${NAME_OF('t.tgrelid')}, 'name', t.tgname, 'enabled', t.tgenabled)`, 't.oid')}
    FROM pg_trigger t
   WHERE t.tgparentid <> 0 AND ${LENT('pg_trigger', 't', 'tgrelid')}
     AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.contype = 'f')
     AND (t.tgenabled <> 'O' OR EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(t.tgrelid) a(relid)
       JOIN pg_trigger x ON x.tgrelid = a.relid AND x.tgname = t.tgname WHERE x.tgenabled <> t.tgenabled))`;

const COMMENTS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('word', x.word, 'table', ${NAME_OF('x.relid')}, 'name', x.name, 'comment', x.comment)`,
    'x.word, x.oid',
  )} FROM (
    SELECT 'CONSTRAINT' AS word, c.oid, c.conrelid AS relid, c.conname AS name, pg_catalog.obj_description(c.oid, 'pg_constraint') AS comment
      FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid <> 0 AND ${LENT('pg_constraint', 'c', 'conrelid')}
    UNION ALL
    SELECT 'TRIGGER', t.oid, t.tgrelid, t.tgname, pg_catalog.obj_description(t.oid, 'pg_trigger')
      FROM pg_trigger t WHERE NOT t.tgisinternal AND t.tgparentid <> 0 AND ${LENT('pg_trigger', 't', 'tgrelid')}
  ) x WHERE x.comment IS NOT NULL`;

/** Foreign keys that are cut and made anew, whose triggers had been switched off, which only their new names could tell. */
const ENFORCED = `
  SELECT ${LIST(`pg_catalog.jsonb_build_object('table', ${NAME_OF('c.conrelid')}, 'name', c.conname)`, 'c.oid')}
    FROM given o JOIN pg_constraint c ON c.oid = o.objid
   WHERE o.classid = ${IS('pg_constraint')} AND c.contype = 'f'
     AND NOT (${GONE('pg_class', 'c.conrelid')} AND ${GONE('pg_class', 'c.confrelid')})
     AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgenabled <> 'O')`;

/** What goes with an extension by ALTER … DEPENDS ON EXTENSION, of what may be made anew. */
const EXTENSIONS = `
  SELECT ${LIST(`pg_catalog.jsonb_build_object('what', x.what, 'extension', x.extension)`, 'x.what')} FROM (
    SELECT g.extname AS extension, CASE WHEN o.classid = ${IS('pg_trigger')}
        THEN (SELECT 'TRIGGER ' || pg_catalog.quote_ident(t.tgname) || ' ON ' || t.tgrelid::regclass::text
                FROM pg_trigger t WHERE t.oid = o.objid AND t.tgparentid = 0)
        ELSE (SELECT CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW ' ELSE 'INDEX ' END || c.oid::regclass::text
                FROM pg_class c WHERE c.oid = o.objid AND c.relkind = ANY ('{m,i,I}'::pg_catalog."char"[])) END AS what
      FROM given o JOIN pg_depend d ON d.classid = o.classid AND d.objid = o.objid AND d.deptype = 'x'
      JOIN pg_catalog.pg_extension g ON g.oid = d.refobjid
     WHERE o.classid = ANY (ARRAY[${IS('pg_trigger')}, ${IS('pg_class')}]) AND e.now IS NOT NULL
  ) x WHERE x.what IS NOT NULL`;

const STORAGE = `CASE WHEN a.attstorage <> y.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END`;
const STATISTICS = 'CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END';

const MATERIALIZED = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('schema', n.nspname, 'name', c.relname,
      'toast', (SELECT pg_catalog.to_jsonb(k.reloptions) FROM pg_class k WHERE k.oid = c.reltoastrelid),
      'columns', (SELECT ${LIST(
        `pg_catalog.jsonb_build_object('name', a.attname, 'statistics', ${STATISTICS}, 'storage', ${STORAGE}, 'options', pg_catalog.to_jsonb(a.attoptions),
          'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END)`,
        'a.attnum',
      )} FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
      'indexes', (SELECT ${LIST(
        `pg_catalog.jsonb_build_object('schema', n.nspname, 'name', x.relname,
          'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = x.reltablespace),
          'columns', (SELECT ${LIST(`pg_catalog.jsonb_build_object('number', a.attnum, 'statistics', ${STATISTICS})`, 'a.attnum')}
             FROM pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0))`,
        'x.oid',
      )} FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid))`,
    'c.oid',
  )} FROM given o JOIN pg_class c ON c.oid = o.objid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE o.classid = ${IS('pg_class')} AND c.relkind = 'm'`;

export const DETAILS = pinned(
  emptyingPath(
    GIVEN,
    `pg_catalog.jsonb_build_object('clones', (${CLONES} AND e.now IS NOT NULL), 'comments', (${COMMENTS}),
      'enforced', (${ENFORCED}), 'extensions', (${EXTENSIONS}), 'materialized', (${MATERIALIZED}))`,
  ),
);

/** Each by itself may fail, which is told. */
export function detailsBack({ clones, comments, extensions, materialized }: Details): RestoreStep[] {
  const steps: RestoreStep[] = [];
  const add = (what: string, sql: string) => void steps.push({ sql, what, optional: true });
  for (const { table, name, enabled } of clones ?? []) {
    const state = ENABLING[enabled] ?? 'ENABLE';
    const what = `the state of the trigger ${name} of ${named(table)}`;
    add(what, `ALTER TABLE ONLY ${named(table)} ${state} TRIGGER ${quoteName(name)}`);
  }
  for (const { word, table, name, comment: text } of comments ?? []) {
    const on = `${word} ${quoteName(name)} ON ${named(table)}`;
    for (const sql of comment(on, text)) add(`the comment on ${name} of ${named(table)}`, sql);
  }
  for (const { what, extension } of extensions ?? []) {
    const name = quoteName(extension);
    add(`what ties ${what} to the extension ${name}`, `ALTER ${what} DEPENDS ON EXTENSION ${name}`);
  }
  for (const view of materialized ?? []) {
    for (const sql of settingsOf(view)) add(`the settings of ${named(view)}`, sql);
  }
  return steps;
}

export function detailsLost({ enforced }: Details): string[] {
  return (enforced ?? []).map(
    ({ table, name }) =>
      `the foreign key ${name} of ${named(table)}, whose triggers were disabled, is enforced again`,
  );
}

function settingsOf(view: NonNullable<Details['materialized']>[number]): string[] {
  const alter = `ALTER MATERIALIZED VIEW ${named(view)}`;
  const toast = (view.toast ?? []).map((option) => `toast.${option}`);
  const columns = (view.columns ?? []).flatMap(({ name, statistics, storage, compression, options }) => {
    const column = `${alter} ALTER COLUMN ${quoteName(name)} SET`;
    return [
      ...(statistics === null ? [] : [`${column} STATISTICS ${statistics}`]),
      ...(storage === null ? [] : [`${column} STORAGE ${storage}`]),
      ...(compression === null ? [] : [`${column} COMPRESSION ${compression}`]),
      ...(options === null || options.length === 0 ? [] : [`${column} (${optionList(options)})`]),
    ];
  });
  const indexes = (view.indexes ?? []).flatMap((index) => [
    ...(index.tablespace === null
      ? []
      : [`ALTER INDEX ${named(index)} SET TABLESPACE ${quoteName(index.tablespace)}`]),
    ...(index.columns ?? []).map(
      ({ number, statistics }) =>
        `ALTER INDEX ${named(index)} ALTER COLUMN ${number} SET STATISTICS ${statistics}`,
    ),
  ]);
  return [...(toast.length === 0 ? [] : [`${alter} SET (${optionList(toast)})`]), ...columns, ...indexes];
}
