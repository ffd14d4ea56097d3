import { json, type TrashSession } from './session.ts';
import type { RestoreStep, TrashedObject } from './steps.ts';

const NAME = '"((?:[^"]|"")*)"';
const SET_DEFAULT = new RegExp(`^ALTER TABLE ONLY (${NAME}\\.${NAME}) ALTER COLUMN ${NAME} SET DEFAULT `);

/** $1: tables as SQL has them, each with a column by its bare name. */
const HAVE_ONE = `
SELECT pg_catalog.jsonb_agg(w.i - 1 ORDER BY w.i)::pg_catalog.text
  FROM pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) WITH ORDINALITY w(of, i)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = pg_catalog.to_regclass(w.of ->> 0) AND a.attname = w.of ->> 1
 WHERE a.atthasdef AND NOT a.attisdropped`;

/** The steps that would take away a default which a column of a table that has stayed was given since. */
export async function overOtherDefaults(
  session: TrashSession,
  objects: readonly TrashedObject[],
  restores: readonly RestoreStep[],
): Promise<RestoreStep[]> {
  const back = new Set(objects.map(({ schema, name }) => JSON.stringify([schema, name])));
  const plain = (name = '') => name.replaceAll('""', '"');
  const sought = restores.flatMap((step) => {
    const [, table, schema, name, column] = SET_DEFAULT.exec(step.sql) ?? [];
    if (table === undefined || back.has(JSON.stringify([plain(schema), plain(name)]))) return [];
    return [{ step, of: [table, plain(column)] }];
  });
  if (sought.length === 0) return [];
  const asked = JSON.stringify(sought.map(({ of }) => of));
  const found = await json<readonly number[] | null>(session, HAVE_ONE, [asked]);
  return (found ?? []).map((i) => sought[i]!.step);
}
