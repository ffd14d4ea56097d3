import { nowMs } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { type AdminAction, adminEntry } from './admin-entry.ts';
import type { AuditEntry, AuditLog } from './event.ts';

/** The audit, as far as whoever acts needs it. */
export type ActionLog = Pick<AuditLog, 'begin' | 'finish'> & { flush(): Promise<boolean> };

/**
 * Nothing is begun that the audit does not have, and nothing is answered whose end it does not. `unrecorded` is how it ends
 * where the audit does not have it: `failed` of what is in force already, and could only not be made to last.
 */
export async function recordAction<T>(
  audit: ActionLog,
  action: AdminAction,
  work: (entry: AuditEntry) => Promise<T>,
  unrecorded: 'not-run' | 'failed' = 'not-run',
): Promise<T> {
  const entry = adminEntry(action);
  audit.begin(entry);
  try {
    if (!(await audit.flush())) {
      entry.end = unrecorded;
      throw new HoldfastError('STORE_FAILED', 'the audit cannot be written, so that nothing is done');
    }
    entry.end = 'completed';
    return await work(entry);
  } catch (error) {
    if (entry.end === 'completed') entry.end = 'failed';
    if (error instanceof HoldfastError) entry.sqlstate ??= error.sqlstate;
    throw error;
  } finally {
    entry.durationMs = nowMs() - entry.startedAtMs;
    audit.finish(entry);
    await audit.flush();
  }
}
