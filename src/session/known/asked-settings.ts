import type { HiddenConnection } from '../../catalog/connection.ts';
import { textColumns } from '../../catalog/row.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { SessionState } from '../state.ts';

const SETTINGS = plainQuery(`SELECT pg_catalog.current_setting('client_encoding'),
  pg_catalog.current_setting('standard_conforming_strings'), pg_catalog.current_setting('search_path')`);

/** Asks the server for the settings by which text is read and names are looked up, which settles what is in doubt of them. */
export async function askSettings(state: SessionState, connection: HiddenConnection): Promise<void> {
  let told: readonly (string | null)[] = [];
  await connection.run(SETTINGS, (row) => {
    told = textColumns(row);
  });
  const [encoding, standardStrings, path] = told;
  if (typeof encoding !== 'string' || typeof standardStrings !== 'string' || typeof path !== 'string') return;
  const { segmentOpen } = state.replies;
  const place = segmentOpen ? 'segment' : state.transactionStatus === 'I' ? 'idle' : 'transaction';
  if (state.settings.answered(encoding, standardStrings, path, place)) state.epoch++;
}
