/**
 * Extensions whose functions in C do what they are labelled to do: IMMUTABLE and STABLE ones change nothing. The label is
 * the authors' own, and only a superuser can alter such a function, bring another in C into being, or have it belong to
 * the extension. What extensions have in SQL and PL/pgSQL is read like anybody's, because whoever owns an extension may
 * add functions to it.
 */
const TRUSTED_EXTENSIONS: ReadonlySet<string> = new Set(
  `btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch h3 h3_postgis hll hstore intarray isn
  jsquery ltree pg_bigm pg_similarity pg_stat_statements pg_trgm pgcrypto pgroonga pgrouting pg_uuidv7 pgvector postgis
  postgis_raster postgis_sfcgal postgis_topology prefix rum seg semver tablefunc tsm_system_rows tsm_system_time unaccent
  unit uuid-ossp vector vchord`.split(/\s+/),
);

/** Stable by their label, and run text that they are given or act on more than they say. */
const DISTRUSTED: ReadonlySet<string> = new Set(
  'crosstab crosstab2 crosstab3 crosstab4 crosstab_hash connectby connectby_text connectby_text_serial'.split(
    ' ',
  ),
);

/** Volatile because they answer otherwise each time, and change nothing. */
const MERELY_RANDOM: Readonly<Record<string, ReadonlySet<string>>> = {
  'uuid-ossp': new Set(['uuid_generate_v1', 'uuid_generate_v1mc', 'uuid_generate_v4']),
  pg_uuidv7: new Set(['uuid_generate_v7']),
  pgcrypto: new Set([
    ...['gen_salt', 'gen_random_bytes', 'gen_random_uuid', 'pgp_sym_encrypt', 'pgp_sym_encrypt_bytea'],
    ...['pgp_pub_encrypt', 'pgp_pub_encrypt_bytea', 'crypt', 'encrypt', 'encrypt_iv', 'digest', 'hmac'],
  ]),
  tablefunc: new Set(['normal_rand']),
  pg_stat_statements: new Set(['pg_stat_statements', 'pg_stat_statements_info']),
};

/** Whether a function in C that belongs to the extension changes nothing. */
export function isTrusted(extension: string, name: string, volatility: string): boolean {
  if (MERELY_RANDOM[extension]?.has(name) === true) return true;
  return TRUSTED_EXTENSIONS.has(extension) && volatility !== 'v' && !DISTRUSTED.has(name);
}

/** What a range's constructors run, which are made with it. */
export const RANGE_CONSTRUCTORS: ReadonlySet<string> = new Set([
  ...['range_constructor2', 'range_constructor3'],
  ...['multirange_constructor0', 'multirange_constructor1', 'multirange_constructor2'],
]);
