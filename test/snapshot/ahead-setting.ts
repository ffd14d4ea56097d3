import type { TestGateway } from '../support/gateway.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { type AheadSetting, AheadWatch } from './ahead.ts';
import { withEarlySetting } from './early-setting.ts';

/** That of what is run early, with another watch. */
export async function withAheadSetting(
  postgres: TestPostgres,
  use: (setting: AheadSetting, gateway: TestGateway, watch: AheadWatch) => Promise<void>,
): Promise<void> {
  await withEarlySetting(postgres, AheadWatch.start, async ({ watch, ...setting }, gateway) => {
    await use(setting, gateway, watch);
  });
}
