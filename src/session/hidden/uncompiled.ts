import type { HiddenQuery } from '../../catalog/connection.ts';
import { plainQuery } from '../../snapshot/capture.ts';

/** Where the client's own setting is kept meanwhile. */
const KEPT = 'holdfast.jit';

/** In the transaction alone, so that an error takes it back; and without a row, since no setting is null. */
const setting = (name: string, value: string) => `pg_catalog.set_config('${name}', ${value}, true) IS NULL`;

const BEFORE = plainQuery(
  `SELECT WHERE ${setting(KEPT, "pg_catalog.current_setting('jit')")} OR ${setting('jit', "'off'")}`,
);
const AFTER = plainQuery(`SELECT WHERE ${setting('jit', `pg_catalog.current_setting('${KEPT}')`)}`);

export interface Part {
  readonly query: HiddenQuery;
  readonly name: string;
}

/** What is sent for a query, in order, each by a name of its own. */
export function partsOf(query: HiddenQuery, name: string): readonly Part[] {
  if (query.neverCompiled !== true) return [{ query, name }];
  return [
    { query: BEFORE, name: `${name}_before` },
    { query, name },
    { query: AFTER, name: `${name}_after` },
  ];
}
