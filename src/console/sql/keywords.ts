/** Words of SQL that are shown as such. Those that are mostly names, such as `name` or `value`, are left out. */
export const KEYWORDS: ReadonlySet<string> = new Set(
  `abort add all alter always analyze and any as asc attach authorization begin between both by cascade case cast check
  close cluster collate column comment commit concurrently conflict constraint copy create cross current_date
  current_role current_time current_timestamp current_user cursor database deallocate declare default deferrable
  deferred delete desc detach disable discard distinct do domain drop else enable end escape except exclude execute
  exists explain extension false fetch filter first following for force foreign freeze from full function generated
  global grant group grouping having identity if ilike immediate immutable in index inherit initially inner insert
  instead intersect into is isnull isolation join key language lateral leading left like limit listen local lock
  locked logged logging materialized merge move natural no not nothing notify notnull null nulls of off offset on only
  or order outer over overriding owner partition policy preceding prepare prepared primary privileges procedure
  program publication reassign recursive refresh reindex release rename replace replica reset restart restrict
  returning revoke right role rollback rollup row rows rule savepoint schema security select sequence serializable
  session set setof sets share show similar skip stable statistics subscription system table tablesample tablespace
  temp temporary then ties to trailing transaction trigger trim true truncate trusted type unbounded union unique
  unlisten unlogged update user using vacuum validate values variadic verbose view volatile when where window with
  within without work`.split(/\s+/),
);
