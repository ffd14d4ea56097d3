import type { TrashSession } from './session.ts';

/** By which the server is known, whatever it is called and reached by, or null where the role may not ask. */
export async function systemOf(session: TrashSession): Promise<string | null> {
  const [allowed] = await session.query(
    `SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')`,
  );
  if (allowed?.[0] !== 't') return null;
  const [row] = await session.query('SELECT s.system_identifier FROM pg_catalog.pg_control_system() s');
  return row?.[0] ?? null;
}
