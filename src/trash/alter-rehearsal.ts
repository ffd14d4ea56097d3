import { LIMITS } from '../base/limits.ts';
import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import { quoteLiteral } from '../catalog/quote.ts';
import { type Altered, describeChange, deviations } from './definition-changes.ts';
import { hiddenQuery, type TrashSession } from './session.ts';
import type { RestoreStep } from './steps.ts';
import { DEFINITIONS, type TableDefinition } from './table-definition.ts';
import { endsStatements } from './trial.ts';

const REHEARSAL = 'holdfast_rehearsal';
const REHEARSED = 'HF999';

/**
 * Goes the way back and says why it does not lead to where it ought to; null where it does, or where trying takes too
 * long. All of it is one statement, so that no setting that it needs is seen by the client.
 */
export async function rehearse(
  connection: HiddenConnection,
  session: TrashSession,
  steps: readonly RestoreStep[],
  altered: Altered,
  before: readonly TableDefinition[],
): Promise<string | null> {
  const bytes = before.reduce((sum, table) => sum + table.bytes, 0);
  if (bytes > LIMITS.trashRehearsalBytes) return null;
  const literals = steps.map(({ sql }) => quoteLiteral(sql)).join(', ');
  const body = `DECLARE
  holdfast_step text;
  holdfast_found text;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);
  FOREACH holdfast_step IN ARRAY ARRAY[${literals}]::text[] LOOP
    EXECUTE holdfast_step;
  END LOOP;
  EXECUTE ${quoteLiteral(`SELECT r.facts FROM (${DEFINITIONS}) r(facts, path)`)} INTO holdfast_found USING ${quoteLiteral(`{${before.map(({ oid }) => oid).join(',')}}`)}::text;
  RAISE EXCEPTION USING ERRCODE = '${REHEARSED}', MESSAGE = 'rehearsed', DETAIL = holdfast_found;
END`;
  await session.query(`SAVEPOINT ${REHEARSAL}`);
  const error = await connection
    .run(hiddenQuery(`DO LANGUAGE plpgsql ${quoteLiteral(body)}`), () => {})
    .then(() => new Error('the rehearsal of an undo was not taken back'))
    .catch((each: unknown) => each);
  if (!(error instanceof HiddenQueryError) || endsStatements(error)) throw error;
  await session.query(`ROLLBACK TO SAVEPOINT ${REHEARSAL}`);
  await session.query(`RELEASE SAVEPOINT ${REHEARSAL}`);
  if (error.sqlstate !== REHEARSED) return `its undo was tried, and fails: ${error.message}`;
  const found = JSON.parse(error.fields['D'] ?? '[]') as readonly TableDefinition[];
  const [other] = deviations(altered, found, 'before');
  return other === undefined ? null : `its undo was tried, and ${describeChange(other)} is not as it was`;
}
