import { markRolledBack } from '../../snapshot/snapshots.ts';
import type { SessionEffect, StatementEffects } from '../../sql/effects.ts';
import type { SessionState } from '../state.ts';

type TransactionEffect = Extract<SessionEffect, { kind: 'transaction' }>;

/** Statements that surely commit nothing but what their tag tells, even where they fail. */
const ENDS_NOTHING: ReadonlySet<string> = new Set(
  (
    'select insert update delete merge truncate fetch move show set reset prepare execute deallocate explain lock close ' +
    'begin commit rollback savepoint release listen unlisten notify copy declare'
  ).split(' '),
);

/** Outside of a block a procedure, or what runs in no transaction, may commit what came before, and fail afterwards. */
function mayCommit(statement: StatementEffects | null): boolean {
  return statement === null || !statement.operations.every((each) => ENDS_NOTHING.has(each.split(' ')[0]!));
}

/**
 * The snapshots of a transaction that is still open: durable, but of statements that may yet be taken back. Those of
 * what was rolled back are marked; where it is not known, as when the connection goes during a COMMIT or a procedure
 * was called, they are left as they are, and the manifest has the transaction's number to ask for.
 *
 * Invariant: `folders` are those of the open transaction in the order of their statements, the first `doubted` of which
 * may be committed already; `savepoints` are those that were set since the first, each with how many there were by then.
 */
export class SnapshotFates {
  private readonly state: SessionState;
  private folders: string[] = [];
  private savepoints: { readonly name: string; readonly folders: number }[] = [];
  private failed = false;
  private doubted = 0;
  /** Surely inside of BEGIN … COMMIT, where nothing else commits. */
  private inBlock = false;

  constructor(state: SessionState) {
    this.state = state;
  }

  /** Whether anything is open, so that the rest is to be told. */
  get areOpen(): boolean {
    return this.folders.length > 0;
  }

  /** `inBlock` where it is known that the client has begun the transaction. */
  add(folder: string, inBlock: boolean): void {
    this.folders.push(folder);
    if (inBlock) this.inBlock = true;
  }

  /** A statement has succeeded; `tag` is what it did in the end. */
  statementEnded(tag: string, statement: StatementEffects | null): void {
    this.doubt(statement);
    const effect = (statement?.session ?? []).find(
      (each): each is TransactionEffect => each.kind === 'transaction',
    );
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

  /** A statement has run, to its end or not, that may have committed what came before. */
  doubt(statement: StatementEffects | null): void {
    if (!this.inBlock && mayCommit(statement)) this.doubted = this.folders.length;
  }

  ready(status: 'I' | 'T' | 'E'): void {
    this.inBlock = status !== 'I' && this.areOpen;
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
    const first = Math.max(count, this.doubted);
    this.doubted = Math.min(count, this.doubted);
    if (count === 0) this.inBlock = false;
    for (const folder of this.folders.splice(count).slice(first - count)) {
      markRolledBack(services.snapshots!.store, folder, Date.now()).catch((error: unknown) => {
        services.log.warn({ err: error, session: identity.id, folder }, 'failed to mark a snapshot');
      });
    }
  }

  private forget(): void {
    if (this.folders.length === 0 && this.savepoints.length === 0 && this.doubted === 0) {
      this.inBlock = false;
      return;
    }
    this.folders = [];
    this.savepoints = [];
    this.doubted = 0;
    this.inBlock = false;
  }
}
