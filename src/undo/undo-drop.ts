import type { Manifest } from '../snapshot/manifest.ts';
import { restoreWithin } from '../trash/restore.ts';
import type { TrashSession } from '../trash/session.ts';
import { refuse, type UndoOutcome } from './outcome.ts';
import { UndoQueryError, type UndoSession } from './session.ts';
import { inTransaction, type Whereabouts } from './transaction.ts';

export type Dropped = NonNullable<Manifest['dropped']>;

/** Brings back from the trash what a DROP has moved there; all of it, or nothing. */
export async function undoDrop(
  session: UndoSession,
  { session: { database } }: Manifest,
  dropped: Dropped,
  dryRun: boolean,
  where: Whereabouts,
): Promise<UndoOutcome> {
  return await inTransaction(session, 'READ COMMITTED', where, async () => {
    where.at('find');
    const [here] = await session.query('SELECT current_database()');
    if (here?.[0] !== database) {
      refuse({ table: '', reason: `the snapshot is of the database ${database}, and this is ${here?.[0]}` });
    }
    where.at('apply');
    const outcome = await restoreWithin(trashSession(session), dropped, { dryRun });
    if (outcome.kind === 'conflict') {
      refuse(...outcome.conflicts.map(({ what, reason }) => ({ table: what, reason })));
    }
    const value = { kind: 'done', dryRun, tables: [], sequences: [] } as const;
    return { ending: dryRun ? 'roll back' : 'commit', value };
  });
}

function trashSession(session: UndoSession): TrashSession {
  return {
    query: (sql, parameters) => session.query(sql, parameters),
    refusal: (error) => (error instanceof UndoQueryError ? error.message : null),
  };
}
