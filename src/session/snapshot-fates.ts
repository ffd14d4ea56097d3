import { markRolledBack } from '../snapshot/snapshots.ts';
import type { SessionEffect } from '../sql/effects.ts';
import type { SessionState } from './state.ts';

type TransactionEffect = Extract<SessionEffect, { kind: 'transaction' }>;

/**
 * The snapshots of a transaction that is still open: durable, but of statements that may yet be taken back. Those of
 * what was rolled back are marked; where it is not known, as when the connection goes during a COMMIT, they are left
 * as they are, and the manifest has the transaction's number to ask for.
 *
 * Invariant: `folders` are those of the open transaction in the order of their statements; `savepoints` are those that
 * were set since the first, each with how many there were by then.
 */
export class SnapshotFates {
  private readonly state: SessionState;
  private folders: string[] = [];
  private savepoints: { readonly name: string; readonly folders: number }[] = [];
  private failed = false;

  constructor(state: SessionState) {
    this.state = state;
  }

  /** Whether anything is open, so that the rest is to be told. */
  get areOpen(): boolean {
    return this.folders.length > 0;
  }

  add(folder: string): void {
    this.folders.push(folder);
  }

  /** A statement has succeeded that has to do with transactions; `tag` is what it did in the end. */
  statementEnded(tag: string, effects: readonly SessionEffect[]): void {
    const effect = effects.find((each): each is TransactionEffect => each.kind === 'transaction');
    switch (tag) {
      case 'COMMIT':
      case 'PREPARE TRANSACTION':
        return this.forget();
      case 'ROLLBACK':
        if (effect?.verb === 'rollback-to') this.rollBackTo(this.savepointOf(effect.savepoint));
        else this.rollBackTo(0);
        return;
      case 'SAVEPOINT':
        this.savepoints.push({ name: effect?.savepoint ?? '', folders: this.folders.length });
        return;
      case 'RELEASE': {
        const at = this.savepoints.findLastIndex(({ name }) => name === effect?.savepoint);
        if (at >= 0) this.savepoints.length = at;
        return;
      }
      default:
    }
  }

  /** The server has met an error, which a transaction without a block does not survive. */
  failedOnce(): void {
    this.failed = true;
  }

  ready(status: 'I' | 'T' | 'E'): void {
    if (status === 'I') {
      if (this.failed) this.rollBackTo(0);
      this.forget();
    }
    this.failed = false;
  }

  /** The connection is gone; `isIdle` where nothing was under way that might have been a commit. */
  connectionLost(isIdle: boolean): void {
    if (isIdle) this.rollBackTo(0);
    this.forget();
  }

  /** One that was set before the first snapshot is not known, and all of them go back with it. */
  private savepointOf(wanted: string | undefined): number {
    const at = this.savepoints.findLastIndex(({ name }) => name === wanted);
    if (at < 0) return 0;
    const { folders } = this.savepoints[at]!;
    this.savepoints.length = at + 1;
    return folders;
  }

  private rollBackTo(count: number): void {
    const { services, identity } = this.state;
    for (const folder of this.folders.splice(count)) {
      markRolledBack(services.snapshots!.store, folder, Date.now()).catch((error: unknown) => {
        services.log.warn({ err: error, session: identity.id, folder }, 'failed to mark a snapshot');
      });
    }
  }

  private forget(): void {
    this.folders = [];
    this.savepoints = [];
  }
}
