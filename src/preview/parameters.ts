import { LIMITS } from '../base/limits.ts';
import { textColumns } from '../catalog/row.ts';
import type { StatementParameters } from '../snapshot/plan.ts';
import { MASK } from '../sql/secrets/redact.ts';
import { secretParameters } from '../sql/secrets/secret-parameters.ts';
import type { Parameters } from './preview.ts';
import { withParameters } from './rows.ts';
import type { Sandbox } from './sandbox.ts';

/** Types that the user has made have larger OIDs, and may run code of their own to be shown. */
const SYSTEM_OIDS = 16_384;

/** The values of the client's parameters as the server writes them. */
export async function parameterValues(
  sandbox: Sandbox,
  given: StatementParameters,
  text: string,
): Promise<Parameters> {
  const count = given.values.length;
  if (count === 0) return { count, values: [] };
  if (count > LIMITS.previewParametersMax || given.types.some((oid) => oid === 0 || oid >= SYSTEM_OIDS))
    return { count, values: null };
  const shown = given.values.map(
    (_, i) => `pg_catalog.left($${i + 1}::pg_catalog.text, ${LIMITS.previewValueChars})`,
  );
  const values = await sandbox.step(async (connection) => {
    let found: readonly (string | null)[] = [];
    await connection.run(withParameters(`SELECT ${shown.join(', ')}`, given), (row) => {
      found = textColumns(row);
    });
    return found;
  });
  if ('kind' in values) return { count, values: null };
  const secrets = secretParameters(text);
  return { count, values: values.map((value, i) => (secrets.has(i + 1) ? MASK : value)) };
}
