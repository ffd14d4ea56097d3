import type { SessionState } from '../state.ts';

/**
 * How a query that may be kept is sent. `not`: by a name that is closed with it. `made`: the server reads it as the unnamed
 * statement. `stands`: the server has read it as that.
 */
export type Keeping = 'not' | 'made' | 'stands';

/**
 * The unnamed statement of a session, in which a query of ours is kept as the server has read and planned it. A client
 * cannot see it in pg_prepared_statements, and the server takes it away at each Query. It is ours only as long as the
 * client has never made one itself, and where it is known that the server's process is the one that the login was to:
 * behind a pooler it could be anybody's.
 *
 * Invariant: where `keeping` says that it stands, nothing has been sent since it was read that takes it away, or puts
 * another in its place. As long as it may stand, the client is let come to no unnamed statement before it is closed
 * (kept-closed.ts).
 */
export class KeptStatement {
  private readonly state: SessionState;
  private whose: 'unasked' | 'asked' | "the server's" | "a pooler's" = 'unasked';
  private sql: string | null = null;
  /** How many Queries had been sent when it was read. */
  private queries = 0;
  /** Whether the server may have it, for sure or not. */
  mayStand = false;

  constructor(state: SessionState) {
    this.state = state;
  }

  /** Whether it is to be asked whose process the session has. */
  asksWhose(): boolean {
    if (this.whose !== 'unasked') return false;
    this.whose = 'asked';
    return true;
  }

  told(processId: string): void {
    this.whose = processId === String(this.state.processId) ? "the server's" : "a pooler's";
  }

  untold(): void {
    this.whose = 'unasked';
  }

  keeping(sql: string): Keeping {
    const { statements, replies } = this.state;
    if (this.whose !== "the server's" || statements.hasUnnamed) return 'not';
    return this.sql === sql && this.queries === replies.queries ? 'stands' : 'made';
  }

  /** It is sent; until it is answered nothing is known of it. */
  sent(): void {
    this.sql = null;
    this.mayStand = true;
  }

  /** It has been run, when so many Queries had been sent before it. */
  answered(sql: string, queries: number): void {
    this.sql = sql;
    this.queries = queries;
  }

  closed(): void {
    this.sql = null;
    this.mayStand = false;
  }
}
