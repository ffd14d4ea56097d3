import { randomBytes } from 'node:crypto';
import { assert } from '../base/assert.ts';
import type { HiddenConnection, HiddenQuery, HiddenResult } from '../catalog/connection.ts';
import {
  encodeHidden,
  type HiddenEnd,
  HiddenExchange,
  HiddenQueryEnded,
  type RowTaker,
} from './hidden-exchange.ts';
import { ReplyKind } from './replies.ts';
import type { SessionState } from './state.ts';

/** Names that no client can have taken, because nobody can guess them. */
const NAME = `__holdfast_${randomBytes(12).toString('hex')}`;

/**
 * The gateway's own queries on a session's connection to the server, while the client's stream waits. Each is one
 * entry of the replies queue, and all that belongs to it is kept from the client; see hidden-replies.ts.
 *
 * Invariant: a query is sent only where its end fits, that is with a Sync only where no segment of the client's is
 * open, and never while the server discards or copies in.
 */
export class HiddenQueries {
  private readonly state: SessionState;
  private made = 0;
  /** Statements that may have been left behind because the Close of them was discarded. */
  private stale: string[] = [];

  constructor(state: SessionState) {
    this.state = state;
  }

  /** A connection whose queries end in that way. */
  ending(end: HiddenEnd): HiddenConnection {
    return { overlaps: true, run: (query, onRow) => this.run(end, query, onRow) };
  }

  /** Nobody waits for what is under way: those who asked are told so, and what still comes is dropped. */
  giveUp(): void {
    const { replies } = this.state;
    for (let i = 0; i < replies.length; i++) replies.at(i).exchange?.fail(new HiddenQueryEnded('given up'));
  }

  private async run(end: HiddenEnd, query: HiddenQuery, onRow: RowTaker): Promise<HiddenResult> {
    const { state } = this;
    if (state.upstream.socket.destroyed || state.fatal) throw new HiddenQueryEnded('lost');
    if (state.discarding) throw new HiddenQueryEnded('discarded');
    assert(!state.copyingIn, 'no hidden query while the server copies in');
    assert(end === 'flush' || !state.replies.segmentOpen, 'a Sync of ours ends no segment of the client');
    const name = `${NAME}_${++this.made}`;
    const stale = this.stale.splice(0);
    const exchange = new HiddenExchange(end, stale.length + 2, onRow);
    const reply = state.replies.push(ReplyKind.Hidden);
    reply.exchange = exchange;
    state.replies.segmentOpen = end === 'flush';
    state.hiddenQueued++;
    state.upstream.write(encodeHidden(query, name, stale, end));
    try {
      return await exchange.result;
    } catch (error) {
      this.stale.push(name);
      throw error;
    }
  }
}
