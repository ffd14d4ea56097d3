import { createHash } from 'node:crypto';
import type { BlobStore } from '../blobs/blob-store.ts';
import { rolledBackKey } from '../snapshot/snapshots.ts';
import {
  readUndoMark,
  takeBackUndoMark,
  type UndoMark,
  undoneBy,
  writeUndoMark,
} from '../snapshot/undo-mark.ts';
import { refuse } from './outcome.ts';
import type { UndoSession } from './session.ts';

/** The snapshot that is undone, by where it lies, and what of its marks is to be made. */
export interface Marking {
  readonly folder: string;
  /** Who undoes. */
  readonly by: string;
  /** Undo it also where it is undone already, or its statement was rolled back. */
  readonly force: boolean;
}

type Status = 'committed' | 'aborted' | 'in progress';

/** Above the newest that is over, only their locks tell those that are under way from those that are yet to come. */
const STATUS = `SELECT CASE
  WHEN $1::pg_catalog.xid8 OPERATOR(pg_catalog.<) pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
  THEN pg_catalog.pg_xact_status($1::pg_catalog.xid8)
  WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'transactionid'
    AND l.transactionid OPERATOR(pg_catalog.=) $1::pg_catalog.xid8::pg_catalog.xid)
  THEN 'in progress' END`;

/** Keeps a snapshot from being undone twice, which would put rows without a key back twice. */
export class Once {
  readonly #store: BlobStore;
  readonly #session: UndoSession;
  readonly #marking: Marking;
  /** The transaction of its statement. */
  readonly #xid: string;
  #marked = false;
  /** That of an undo before, which is undone again by force. */
  #earlier: UndoMark | null = null;
  readonly #hasRest: boolean;
  #isRest = false;

  constructor(store: BlobStore, session: UndoSession, xid: string, marking: Marking, hasRest = false) {
    this.#xid = xid;
    this.#store = store;
    this.#session = session;
    this.#marking = marking;
    this.#hasRest = hasRest;
  }

  /** Whether it was undone but for what was left over, which is all that is to be undone now. */
  get isRest(): boolean {
    return this.#isRest;
  }

  /** For as long as the transaction, nobody else undoes it. */
  async lock(): Promise<void> {
    const key = createHash('sha256').update(`holdfast undo ${this.#marking.folder}`).digest();
    const [row] = await this.#session.query('SELECT pg_catalog.pg_try_advisory_xact_lock($1)', [
      key.readBigInt64BE().toString(),
    ]);
    if (row?.[0] !== 't') refuse({ table: '', reason: 'somebody else is undoing it at this moment' });
  }

  /** Refuses what there is nothing to undo of: what looks like it is the doing of others. */
  async refuseUseless(): Promise<void> {
    const { folder, force } = this.#marking;
    if (!force) await this.#refuseUncommitted(folder);
    const mark = await undoneBy(this.#store, folder, (each) => this.#wasNotCommitted(each));
    if (mark === null) return;
    this.#isRest = this.#hasRest && mark.left === true;
    if (force || this.#isRest) return;
    const by = mark.undo_snapshot === null ? '' : `, as ${mark.undo_snapshot}`;
    const reason = `it was undone already, by ${mark.by} at ${mark.undone_at}${by}`;
    refuse({ table: '', reason, forceable: true });
  }

  /** Where nobody could mark it, as when the gateway died behind the statement, the server knows. */
  async #refuseUncommitted(folder: string): Promise<void> {
    const isMarked = (await this.#store.stat(rolledBackKey(folder))) !== null;
    const status = isMarked ? 'aborted' : await this.#statusOf(this.#xid);
    if (status === 'aborted') {
      const reason = 'its statement was rolled back, so that there is nothing of it to undo';
      refuse({ table: '', reason, forceable: true });
    }
    if (status === 'in progress') {
      const reason = `its statement is not committed yet: wait for the end of its transaction (${this.#xid})`;
      refuse({ table: '', reason, forceable: true });
    }
  }

  /** Says that it is undone, if the transaction commits. */
  async mark(xid: string, own: string | null, left = false): Promise<void> {
    const { folder, by } = this.#marking;
    this.#earlier = await readUndoMark(this.#store, folder);
    // The undo of the rest is taken back with that of all else.
    const snapshot = this.#isRest ? (this.#earlier?.undo_snapshot ?? null) : own;
    const undone = { undone_at: new Date().toISOString(), by, xid, undo_snapshot: snapshot };
    const mark = left ? ({ ...undone, left: true } as const) : undone;
    this.#marked = true;
    await writeUndoMark(this.#store, folder, mark);
  }

  /** After a transaction that was not committed. Never rejects. */
  async unmark(): Promise<void> {
    if (this.#marked) await takeBackUndoMark(this.#store, this.#marking.folder, this.#earlier);
  }

  /** What the server no longer knows, or not yet, counts as committed. */
  async #wasNotCommitted({ xid }: UndoMark): Promise<boolean> {
    return (await this.#statusOf(xid)) === 'aborted';
  }

  /** Null where the server no longer knows it, or not yet. One that ends between the two questions is told by the next. */
  async #statusOf(xid: string): Promise<Status | null> {
    const ask = async () => (await this.#session.query(STATUS, [xid]))[0]?.[0] as Status | null | undefined;
    return (await ask()) ?? (await ask()) ?? null;
  }
}
