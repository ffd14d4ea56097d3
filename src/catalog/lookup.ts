import { assert } from '../base/assert.ts';

/** What a lookup has found; see lookupQuery. */
export interface Lookup {
  /** One for each name. */
  readonly oids: readonly (number | null)[];
  readonly fingerprint: string;
  /** By which of the session's settings other triggers, rules and policies come into play. */
  readonly circumstances: string;
  readonly counts: boolean;
  /** Whether PostgreSQL's own names come first on the search_path. */
  readonly catalogFirst: boolean;
  /** Whether there are operators or casts that are not PostgreSQL's own, of which more has to be asked then. */
  readonly mayOwnCode: boolean;
  readonly textExact: boolean;
  readonly oneSnapshot: boolean;
  readonly functions: readonly { readonly volatility: number | null; readonly own: boolean | null }[];
}

const COLUMNS = 13;
/** A session's own schema of temporary tables may stand in front, which has no operators or functions. */
const CATALOG_FIRST = /^\{(?:pg_temp_[^,}]*,)?pg_catalog[,}]/;

/** Reads the one row of a lookup of so many names. */
export function readLookup(names: number, columns: readonly (string | null)[]): Lookup {
  assert(columns.length === COLUMNS, 'a lookup has as many columns as it asks for');
  const [oids = null, fingerprint, role, replicationRole, rowSecurity, trackCounts, isolation, ...more] =
    columns;
  const [dateStyle, intervalStyle, extraFloatDigits, schemas, mayOwnCode, functions = null] = more;
  return {
    oids: names === 1 ? [oids === null ? null : Number(oids)] : oids === null ? [] : JSON.parse(oids),
    fingerprint: fingerprint ?? '',
    circumstances: [role, replicationRole, rowSecurity].join('/'),
    counts: trackCounts === 'on',
    catalogFirst: CATALOG_FIRST.test(schemas ?? ''),
    mayOwnCode: mayOwnCode !== 'f',
    textExact:
      dateStyle?.startsWith('ISO') === true &&
      intervalStyle !== 'sql_standard' &&
      Number(extraFloatDigits) > 0,
    oneSnapshot: isolation !== 'read committed' && isolation !== 'read uncommitted',
    functions: functions === null ? [] : JSON.parse(functions),
  };
}
