import type { AuditEntry } from '../../audit/event.ts';
import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { nativeError } from '../ruling/refusal.ts';
import type { SessionState } from '../state.ts';
import type { HiddenQueries } from './hidden-queries.ts';

const SAVEPOINT = 'holdfast_own';

/** Why what was done is not kept, or not known to be. */
export type Unkept =
  | { readonly kind: 'refused'; readonly error: ErrorFields }
  /** The connection went while it was committed, so that nobody knows whether it was. */
  | { readonly kind: 'lost' };

/**
 * What is done in the place of a client's statement: in a transaction of the gateway's own where the client has none, and
 * in a savepoint of the client's otherwise. It is left by `keep`, or by `takeBack` where that has not kept it.
 */
export class OwnTransaction {
  /** The client has none, so that `keep` commits. */
  readonly isOwn: boolean;
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly connection: HiddenConnection;

  private constructor(
    state: SessionState,
    hidden: HiddenQueries,
    connection: HiddenConnection,
    isOwn: boolean,
  ) {
    this.state = state;
    this.hidden = hidden;
    this.connection = connection;
    this.isOwn = isOwn;
  }

  /** Nothing has been sent yet. */
  static of(state: SessionState, hidden: HiddenQueries, connection: HiddenConnection): OwnTransaction {
    return new OwnTransaction(state, hidden, connection, state.transactionStatus === 'I');
  }

  /** Where the client may have begun its own in the segment that is open, of which no ReadyForQuery has told yet. */
  static inBlock(state: SessionState, hidden: HiddenQueries, connection: HiddenConnection): OwnTransaction {
    return new OwnTransaction(state, hidden, connection, false);
  }

  async begin({ protocol }: Pick<AuditEntry, 'protocol'>): Promise<void> {
    // A Query takes away the unnamed statement.
    if (protocol === 'simple') this.hidden.forgetUnnamed();
    // What is read of the catalogs has to be what the server goes by.
    const sql = this.isOwn ? 'BEGIN ISOLATION LEVEL READ COMMITTED' : `SAVEPOINT ${SAVEPOINT}`;
    await this.connection.run(plainQuery(sql), () => {});
  }

  /** Null where it is kept. Throws where the connection goes before anything could be. */
  async keep(): Promise<Unkept | null> {
    try {
      if (this.isOwn) await this.hidden.commit();
      else await this.connection.run(plainQuery(`RELEASE SAVEPOINT ${SAVEPOINT}`), () => {});
      return null;
    } catch (error) {
      if (error instanceof HiddenQueryError) return { kind: 'refused', error: nativeError(error) };
      if (!this.isOwn) throw error;
      return { kind: 'lost' };
    }
  }

  async takeBack(): Promise<void> {
    const back = [`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`, `RELEASE SAVEPOINT ${SAVEPOINT}`];
    await leave(this.state, this.connection, this.isOwn ? ['ROLLBACK'] : back);
  }
}

/**
 * Leaves a transaction, or a savepoint, of the gateway's. What the client sends must not run in one that is not its own, so
 * that the session ends where it cannot be left.
 */
export async function leave(
  state: SessionState,
  connection: HiddenConnection,
  statements: readonly string[],
): Promise<void> {
  const say = async () => {
    for (const sql of statements) await connection.run(plainQuery(sql), () => {});
  };
  // A cancel that was meant for what went before may come as late as this.
  await say()
    .catch(say)
    .catch((error: unknown) => {
      if (state.serverIsGone) return;
      if (state.copyingIn) unasked(state);
      else state.fail(error);
    });
}

/** Nothing that was sent could have begun a COPY, so that the server has broken the protocol. */
function unasked({ services, identity, upstream }: SessionState): void {
  services.metrics.protocolErrors++;
  services.log.error({ session: identity.id }, 'upstream began a COPY that nobody has asked for');
  upstream.destroy();
}
