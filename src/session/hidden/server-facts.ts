import type { HiddenConnection } from '../../catalog/connection.ts';
import { textColumns } from '../../catalog/row.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { ServerFacts } from '../../snapshot/counts.ts';

const SERVER_FACTS = `SELECT pg_catalog.current_setting('server_version_num'),
  pg_catalog.current_setting('client_encoding'), pg_catalog.pg_current_xact_id()::pg_catalog.text`;

/** What a manifest says of the server and the transaction, which gets its number by that. */
export async function readServerFacts(connection: HiddenConnection): Promise<ServerFacts> {
  let texts: readonly (string | null)[] = [];
  await connection.run(plainQuery(SERVER_FACTS), (row) => {
    texts = textColumns(row);
  });
  const [version, encoding, xid] = texts;
  return { versionNum: Number(version), encoding: encoding ?? '', xid: xid ?? '' };
}
