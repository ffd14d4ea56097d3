import type { SequencePlaces } from './alter-plan.ts';
import { named } from './definitions.ts';
import { emptyingPath, GIVEN, IS, LIST, pinned } from './queries.ts';
import { json, type TrashSession } from './session.ts';
import type { TableDefinition } from './table-definition.ts';
import { given, type reachOf } from './trial.ts';

/** What has to be known before an ALTER runs, because nothing tells it afterwards. */

/** Those that are no part of the definitions, by what they are called. $3: the tables. */
const STRANGERS = pinned(
  emptyingPath(
    GIVEN,
    `coalesce((SELECT ${LIST(
      `pg_catalog.jsonb_build_array(o.classid::int8, o.objid::int8, pg_catalog.pg_describe_object(o.classid, o.objid, 0))`,
      'o.classid, o.objid',
    )} FROM given o WHERE e.now IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_constraint c WHERE o.classid = ${IS('pg_constraint')} AND c.oid = o.objid
            AND (c.conrelid = ANY ($3::oid[]) OR c.confrelid = ANY ($3::oid[])))
      AND NOT EXISTS (SELECT FROM pg_index i WHERE o.classid = ${IS('pg_class')} AND i.indexrelid = o.objid AND i.indrelid = ANY ($3::oid[]))
      AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE o.classid = ${IS('pg_class')} AND c.oid = o.objid AND n.nspname = 'pg_toast')
      AND NOT EXISTS (SELECT FROM pg_attrdef d WHERE o.classid = ${IS('pg_attrdef')} AND d.oid = o.objid AND d.adrelid = ANY ($3::oid[]))
      AND NOT EXISTS (SELECT FROM pg_trigger g WHERE o.classid = ${IS('pg_trigger')} AND g.oid = o.objid
            AND (g.tgisinternal OR g.tgparentid <> 0 OR g.tgrelid = ANY ($3::oid[])))
      AND NOT EXISTS (SELECT FROM pg_rewrite w WHERE o.classid = ${IS('pg_rewrite')} AND w.oid = o.objid AND w.ev_class = ANY ($3::oid[]))
      AND NOT EXISTS (SELECT FROM pg_policy y WHERE o.classid = ${IS('pg_policy')} AND y.oid = o.objid AND y.polrelid = ANY ($3::oid[]))
      AND NOT EXISTS (SELECT FROM pg_statistic_ext s WHERE o.classid = ${IS('pg_statistic_ext')} AND s.oid = o.objid AND s.stxrelid = ANY ($3::oid[]))
      AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attidentity <> ''
            WHERE o.classid = ${IS('pg_class')} AND d.classid = o.classid AND d.objid = o.objid AND d.refclassid = ${IS('pg_class')}
              AND d.deptype = 'i' AND d.refobjid = ANY ($3::oid[]))), '[]')`,
  ),
);

export async function strangersAmong(
  session: TrashSession,
  reach: Awaited<ReturnType<typeof reachOf>>,
  tables: readonly TableDefinition[],
): Promise<ReadonlyMap<string, string>> {
  const oids = `{${tables.map(({ oid }) => oid).join(',')}}`;
  const found = await json<readonly (readonly [number, number, string])[]>(session, STRANGERS, [
    ...given(reach),
    oids,
  ]);
  return new Map(found.map(([classid, objid, what]) => [`${classid} ${objid}`, what]));
}

export async function placesOf(
  session: TrashSession,
  tables: readonly TableDefinition[],
): Promise<SequencePlaces> {
  const places = new Map<number, { readonly last: string; readonly called: boolean }>();
  for (const { sequence } of tables.flatMap(({ columns }) => Object.values(columns))) {
    if (sequence === null || places.has(sequence.oid)) continue;
    const [row] = await session.query(`SELECT last_value, is_called FROM ${named(sequence)}`);
    places.set(sequence.oid, { last: row![0]!, called: row![1] === 't' });
  }
  return places;
}
