import { StoredAuditLog } from '../../src/audit/log.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { entry, graveEntry } from './statements.ts';

/** The child that the SIGKILL test kills: two statements have ended, and one that destroys is under way. */
const store = await SqliteControlStore.open(process.argv[2]!);
const log = await StoredAuditLog.open({ store, metrics: new Metrics(), log: createLogger('error') });
log.finish(entry());
const ended = graveEntry();
log.begin(ended);
log.finish(ended);
log.begin(graveEntry());
await log.flush();
process.stdout.write('sent\n');
setInterval(() => {}, 1000);
