/**
 * Extensions whose functions in C do what they are labelled to do: IMMUTABLE and STABLE ones change nothing. The label is
 * the authors' own, and only a superuser can alter such a function, bring another in C into being, or have it belong to
 * the extension. What extensions have in SQL and PL/pgSQL is read like anybody's, because whoever owns an extension may
 * add functions to it. Left out is what runs text or calls functions that it is given behind such a label, or may for all
 * that is known: postgis_raster, postgis_topology, pgrouting, pgroonga, unit, vchord.
 */
const TRUSTED_EXTENSIONS: ReadonlySet<string> = new Set(
  `btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch h3 h3_postgis hll hstore intarray isn
  jsquery ltree pg_bigm pg_similarity pg_stat_statements pg_trgm pgcrypto pg_uuidv7 pgvector postgis postgis_sfcgal
  prefix rum seg semver tablefunc tsm_system_rows tsm_system_time unaccent uuid-ossp vector`.split(/\s+/),
);

/**
 * Stable by their label, and run text that they are given or act on more than they say: so did the functions of PostGIS
 * before it had postgis_raster, and those that looked for the extent of a table by its name.
 */
const DISTRUSTED =
  /^crosstab|^connectby|mapalgebra|sql|query_expand|estimated_?extent|find_?extent|_command$|^addauth|^checkauth/;

/** Volatile because they answer otherwise each time, and change nothing. */
const MERELY_RANDOM: Readonly<Record<string, ReadonlySet<string>>> = {
  'uuid-ossp': new Set(['uuid_generate_v1', 'uuid_generate_v1mc', 'uuid_generate_v4']),
  pg_uuidv7: new Set(['uuid_generate_v7']),
  pgcrypto: new Set([
    ...['gen_salt', 'gen_random_bytes', 'gen_random_uuid', 'pgp_sym_encrypt', 'pgp_sym_encrypt_bytea'],
    ...['pgp_pub_encrypt', 'pgp_pub_encrypt_bytea', 'crypt', 'encrypt', 'encrypt_iv', 'digest', 'hmac'],
  ]),
  tablefunc: new Set(['normal_rand']),
  pg_buffercache: new Set(['pg_buffercache_pages', 'pg_buffercache_summary', 'pg_buffercache_usage_counts']),
  pg_stat_statements: new Set(['pg_stat_statements', 'pg_stat_statements_info']),
};

/** Whether a function in C that belongs to the extension changes nothing; `takesCode`: it is told which functions to call. */
export function isTrusted(extension: string, name: string, volatility: string, takesCode: boolean): boolean {
  if (takesCode) return false;
  if (MERELY_RANDOM[extension]?.has(name) === true) return true;
  return TRUSTED_EXTENSIONS.has(extension) && volatility !== 'v' && !DISTRUSTED.test(name);
}

/** Extensions whose functions read a table of theirs, which somebody may have put another in front of. */
export const READ_BY: Readonly<Record<string, string>> = {
  postgis: 'spatial_ref_sys',
  postgis_sfcgal: 'spatial_ref_sys',
};

/** What a range's constructors run, which are made with it. */
export const RANGE_CONSTRUCTORS: ReadonlySet<string> = new Set([
  ...['range_constructor2', 'range_constructor3'],
  ...['multirange_constructor0', 'multirange_constructor1', 'multirange_constructor2'],
]);
