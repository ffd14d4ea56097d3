import type { RawClient } from '../support/raw-client.ts';

/**
 * What a database is made of, as lines that can be compared, without the trash. It is written from the catalogs for
 * its own sake, so that it shares nothing with what it judges.
 */
const USER = `n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'holdfast_trash')`;
const REL = `(select quote_ident(rn.nspname) || '.' || quote_ident(rc.relname) from pg_class rc join pg_namespace rn on rn.oid = rc.relnamespace where rc.oid = $)`;
const rel = (oid: string) => REL.replaceAll('$', oid);
/** With the default ones written out, since a grant that is taken back leaves them so. */
const acl = (column: string, owner: string, kind: string) =>
  `(select string_agg(a::text, ' ' order by a::text) from unnest(coalesce(${column}, acldefault(${kind}::"char", ${owner}))) a)`;

const LINES: readonly string[] = [
  `select 'schema', n.nspname, pg_get_userbyid(n.nspowner), ${acl('n.nspacl', 'n.nspowner', `'n'`)}, obj_description(n.oid, 'pg_namespace') from pg_namespace n where ${USER}`,
  `select 'relation', c.relkind, ${rel('c.oid')}, pg_get_userbyid(c.relowner), c.relpersistence, ${acl('c.relacl', 'c.relowner', `case c.relkind when 'S' then 's' else 'r' end`)}, c.reloptions, obj_description(c.oid, 'pg_class'),
     c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relispartition, pg_get_expr(c.relpartbound, c.oid), c.relispopulated, c.reltype <> 0,
     case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${USER}`,
  `select 'column', ${rel('c.oid')}, case when c.relkind in ('v', 'm') then row_number() over (partition by c.oid order by a.attnum) else a.attnum end, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcollation, a.attstorage,
     a.attislocal, a.attinhcount, case when a.attstattarget >= 0 then a.attstattarget end, a.attoptions, a.attcompression, ${acl('a.attacl', 'c.relowner', `'c'`)}, col_description(c.oid, a.attnum), pg_get_expr(d.adbin, d.adrelid)
     from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
     where ${USER} and a.attnum > 0 and not a.attisdropped and c.relkind not in ('i', 'I')`,
  `select 'constraint', ${rel('c.conrelid')}, c.conname, c.contype, pg_get_constraintdef(c.oid), c.convalidated, c.conislocal, c.coninhcount, c.connoinherit, c.conparentid <> 0, obj_description(c.oid, 'pg_constraint')
     from pg_constraint c join pg_namespace n on n.oid = c.connamespace where ${USER}`,
  `select 'index', ${rel('i.indexrelid')}, pg_get_indexdef(i.indexrelid), i.indisprimary, i.indisvalid, i.indisclustered, i.indisreplident from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace where ${USER}`,
  // Whether there is one without options depends on when the table was last written anew.
  `select 'toast', ${rel('c.oid')}, k.reloptions from pg_class c join pg_class k on k.oid = c.reltoastrelid join pg_namespace n on n.oid = c.relnamespace where ${USER} and k.reloptions is not null`,
  `select 'index column', ${rel('c.oid')}, a.attnum, a.attstattarget, c.reltablespace from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_namespace n on n.oid = c.relnamespace where ${USER} and c.relkind in ('i', 'I')`,
  `select 'trigger', ${rel('t.tgrelid')}, case when t.tgisinternal then regexp_replace(t.tgname, '[0-9]+', '', 'g') else t.tgname end, case when t.tgisinternal then '' else pg_get_triggerdef(t.oid) end, t.tgenabled, t.tgparentid <> 0, count(*), obj_description(t.oid, 'pg_trigger')
     from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace where ${USER} group by 1, 2, 3, 4, 5, 6, 8`,
  `select 'rule', ${rel('w.ev_class')}, w.rulename, pg_get_ruledef(w.oid), w.ev_enabled from pg_rewrite w join pg_class c on c.oid = w.ev_class join pg_namespace n on n.oid = c.relnamespace where ${USER}`,
  `select 'policy', ${rel('y.polrelid')}, y.polname, y.polcmd, y.polpermissive, y.polroles, pg_get_expr(y.polqual, y.polrelid), pg_get_expr(y.polwithcheck, y.polrelid), obj_description(y.oid, 'pg_policy') from pg_policy y join pg_class c on c.oid = y.polrelid join pg_namespace n on n.oid = c.relnamespace where ${USER}`,
  `select 'inherits', ${rel('i.inhrelid')}, ${rel('i.inhparent')}, i.inhseqno from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace where ${USER}`,
  `select 'owned', ${rel('d.objid')}, ${rel('d.refobjid')}, d.refobjsubid, d.deptype from pg_depend d join pg_class c on c.oid = d.objid and c.relkind = 'S' join pg_namespace n on n.oid = c.relnamespace
     where ${USER} and d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')`,
  `select 'sequence', s.* from pg_sequences s where s.schemaname <> 'holdfast_trash'`,
  `select 'publication', p.pubname, ${rel('r.prrelid')}, r.prattrs, pg_get_expr(r.prqual, r.prrelid) from pg_publication_rel r join pg_publication p on p.oid = r.prpubid`,
  `select 'published', t.* from pg_publication_tables t`,
  `select 'statistics', pg_get_statisticsobjdef(s.oid) from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where ${USER}`,
  `select 'function', n.nspname, f.proname, pg_get_function_identity_arguments(f.oid), case when f.prokind <> 'a' then pg_get_functiondef(f.oid) end, pg_get_userbyid(f.proowner), ${acl('f.proacl', 'f.proowner', `'f'`)}, obj_description(f.oid, 'pg_proc') from pg_proc f join pg_namespace n on n.oid = f.pronamespace where ${USER}`,
  `select 'type', n.nspname, t.typname, t.typtype, pg_get_userbyid(t.typowner), t.typelem <> 0, format_type(t.typbasetype, t.typtypmod), ${acl('t.typacl', 't.typowner', `'T'`)}, obj_description(t.oid, 'pg_type'),
     (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid) from pg_type t join pg_namespace n on n.oid = t.typnamespace where ${USER}`,
  `select 'extension', e.extname from pg_extension e`,
  `select 'goes with', pg_describe_object(d.classid, d.objid, 0), e.extname from pg_depend d join pg_extension e on e.oid = d.refobjid
     where d.deptype = 'x' and d.refclassid = 'pg_extension'::regclass and pg_describe_object(d.classid, d.objid, 0) !~ 'holdfast_trash'`,
];

/** The lines of the catalogs, and of all rows. */
export async function dumpDatabase(client: RawClient): Promise<string[]> {
  const lines: string[] = [];
  await client.rows(`begin; set local search_path = pg_catalog`);
  for (const sql of LINES) {
    const rows = await client.rows(`select x::text from (${sql}) x`, 60_000);
    lines.push(...rows.map(([line]) => line!.replaceAll('\n', ' ')));
  }
  const tables = await client.rows(
    `select ${rel('c.oid')}, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${USER} and c.relkind in ('r', 'm') and c.relispopulated`,
  );
  for (const [name] of tables) {
    const rows = await client.rows(`select t::text from only ${name} t`);
    lines.push(...rows.map(([row]) => `row of ${name}: ${row}`));
  }
  await client.rows('commit');
  return lines.sort();
}

export function difference(expected: readonly string[], actual: readonly string[]): string[] {
  const missing = subtract(expected, actual).map((line) => `- ${line}`);
  return [...missing, ...subtract(actual, expected).map((line) => `+ ${line}`)];
}

function subtract(from: readonly string[], what: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of what) counts.set(line, (counts.get(line) ?? 0) + 1);
  return from.filter((line) => {
    const count = counts.get(line) ?? 0;
    if (count > 0) counts.set(line, count - 1);
    return count === 0;
  });
}
