import { createHash } from 'node:crypto';
import { newId } from '../base/ids.ts';
import { type Manifest, snapshotFolder } from '../snapshot/manifest.ts';
import type { OwnSnapshot } from './own-snapshot.ts';
import type { UndoSession } from './session.ts';

/** Who undoes, by what the snapshot of the undo is to say of it. */
export interface Undoer {
  /** Of this program. */
  readonly version: string;
  /** From where: an address, or that it was the command line. */
  readonly client: string;
  /** Who: the name of a token, or of an account of the machine. */
  readonly name: string;
}

/** Where the snapshot of an undo goes, and what it says of itself. */
export async function ownSnapshotOf(
  manifest: Manifest,
  session: UndoSession,
  { version, client, name }: Undoer,
): Promise<OwnSnapshot> {
  const [row] = await session.query('SELECT current_user, current_database()');
  const nowMs = Date.now();
  const id = newId('snap', nowMs);
  const text = `holdfast undo ${manifest.id}`;
  return {
    folder: snapshotFolder(id, nowMs),
    facts: {
      id,
      created_at: new Date(nowMs).toISOString(),
      gateway: version,
      session: {
        id: '',
        role: row![0]!,
        database: row![1]!,
        application: `holdfast undo by ${name}`,
        client,
      },
      statement: {
        text,
        sha256: createHash('sha256').update(text).digest('hex'),
        operation: 'undo',
        parameters: 0,
      },
      decision: { rule: 'undo', risk: 'high' },
      approval_id: null,
    },
  };
}
