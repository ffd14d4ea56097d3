import { randomBytes } from 'node:crypto';
import { assert } from '../../base/assert.ts';
import {
  type HiddenConnection,
  type HiddenQuery,
  HiddenQueryError,
  type HiddenResult,
  type RowTaker,
} from '../../catalog/connection.ts';
import { textColumns } from '../../catalog/row.ts';
import { encodeMessage } from '../../wire/backend.ts';
import type { Bind } from '../../wire/bind.ts';
import { encodeClose, encodeExecute, encodeFlush, encodeSync } from '../../wire/frontend.ts';
import { encodeFrontendMessage } from '../../wire/frontend-message.ts';
import { Frontend } from '../../wire/message-type.ts';
import { ReplyKind } from '../replies.ts';
import type { SessionState } from '../state.ts';
import {
  ClosingExchange,
  DescribeExchange,
  type Exchange,
  encodeHidden,
  encodeParse,
  type HiddenEnd,
  HiddenExchange,
  HiddenQueryEnded,
  ParseExchange,
  type TextRead,
} from './hidden-exchange.ts';
import { KeptStatement } from './kept-statement.ts';
import { mayEndSegment } from './segment-fits.ts';
import { partsOf } from './uncompiled.ts';

/** Names that no client can have taken, because nobody can guess them. */
const NAME = `__holdfast_${randomBytes(12).toString('hex')}`;

/** Whether a statement of that name is one of ours, as long as no client has made it. */
export function isOwnName(name: string): boolean {
  return name.startsWith(NAME);
}

/** Whether the server says in a notice, at a level for those who look into it, what it does with a query of ours. */
export function namesOwn(notice: Buffer): boolean {
  return notice.includes(NAME, 0, 'latin1');
}

const FLUSH = encodeFlush();
const SYNC = encodeSync();
const COMMIT: HiddenQuery = {
  sql: 'COMMIT',
  parameterTypes: [],
  parameters: [],
  parameterFormats: [],
  resultFormats: [],
};

const WHOSE: HiddenQuery = { ...COMMIT, sql: 'SELECT pg_catalog.pg_backend_pid()' };

const NOTHING = Buffer.alloc(0);

/**
 * How a query goes with others that are sent at once. `any`: with whatever stands around it in a transaction. `begins`: with
 * what follows. `alone`: it may end the transaction, or has to run whatever has failed before.
 */
type Company = 'any' | 'begins' | 'alone';

function companyOf(sql: string): Company {
  if (/^\s*(?:commit|rollback)\b/i.test(sql)) return 'alone';
  return /^\s*begin\b/i.test(sql) ? 'begins' : 'any';
}

/**
 * The gateway's own queries on a session's connection to the server, while the client's stream waits. Each is one
 * entry of the replies queue, and all that belongs to it is kept from the client; see hidden-replies.ts.
 *
 * Those that are sent at once in one transaction have one Sync, since at each the server sends what it has said so far, and
 * the gateway is woken to read it. What fails then fails what was sent behind it, as it would by failing the transaction.
 *
 * Invariant: a query is sent only where its end fits, that is with a Sync only where no segment of the client's is
 * open, and never while the server discards or copies in.
 */
export class HiddenQueries {
  private readonly state: SessionState;
  private made = 0;
  /** Statements that may have been left behind because the Close of them was discarded. */
  private stale: string[] = [];
  /** What was sent last, where its Sync may be left to what follows at once. */
  private last: Exchange | null = null;
  private lastEnd: HiddenEnd = 'sync';
  /** How many Syncs of ours, or Flushes, there have been, with that which is yet to be sent. */
  syncs = 0;
  /** Those under way behind which the transaction is not known to be open. */
  private maybeOver = 0;
  readonly kept: KeptStatement;

  constructor(state: SessionState) {
    this.state = state;
    this.kept = new KeptStatement(state);
  }

  /** A connection whose queries end in that way. */
  ending(end: HiddenEnd): HiddenConnection {
    return { overlaps: true, run: (query, onRow, onNotice) => this.run(end, query, onRow, false, onNotice) };
  }

  /** Commits a transaction that the gateway has begun; what its triggers say is for the client. */
  async commit(): Promise<void> {
    const { tag } = await this.run('sync', COMMIT, () => {}, true);
    // That is what a COMMIT is answered with where the transaction has failed.
    if (tag !== 'COMMIT') throw new HiddenQueryError({ C: '25P02', M: 'the transaction had failed' });
  }

  /**
   * The types of a statement's parameters; the name as it is on the wire. `onTypes` is given them as well where the server
   * fails behind them, to say what the statement gives.
   */
  async describe(
    statement: Buffer,
    end: HiddenEnd,
    onTypes: (types: readonly number[]) => void = () => {},
  ): Promise<readonly number[]> {
    const exchange = new DescribeExchange(end, onTypes);
    const body = Buffer.concat([Buffer.from('S'), statement, Buffer.from([0])]);
    this.push(exchange, end, encodeMessage(Frontend.Describe, body));
    return await exchange.types;
  }

  /** Rejects where there is no such portal; the name as it is on the wire. */
  async describePortal(portal: Buffer, end: HiddenEnd): Promise<void> {
    const exchange = new DescribeExchange(end, () => {});
    const body = Buffer.concat([Buffer.from('P'), portal, Buffer.from([0])]);
    this.push(exchange, end, encodeMessage(Frontend.Describe, body));
    await exchange.types;
  }

  /**
   * Has the server read a text of the client's, as its bytes are. What it says against it, places in the text included, is
   * what it would say where it ran the text.
   */
  async parse(text: Buffer, end: HiddenEnd = 'sync'): Promise<TextRead> {
    const name = `${NAME}_${++this.made}`;
    const head = Buffer.from(`${name}\0`, 'latin1');
    const body = Buffer.concat([head, text, Buffer.from([0, 0, 0])]);
    const exchange = new ParseExchange(end);
    const bytes = [encodeMessage(Frontend.Parse, body), encodeClose('S', name)];
    this.push(exchange, end, Buffer.concat(bytes), 'any');
    return await exchange.over;
  }

  /**
   * Has the server read a query of ours that is run behind others, by the name that it gives, and so lock what it is to
   * change. Whoever asks runs it.
   */
  prepare(sql: string): { readonly statement: string; readonly read: Promise<TextRead> } {
    const statement = `${NAME}_${++this.made}`;
    const exchange = new ParseExchange('sync', true);
    this.push(exchange, 'sync', encodeParse(statement, sql, [], 'utf8'), 'any');
    return { statement, read: exchange.over };
  }

  /** What was prepared is not run, and is closed with what is asked next. */
  forget(statement: string): void {
    this.stale.push(statement);
  }

  /** A Query of the client's takes the unnamed statement away, and is not sent itself. */
  forgetUnnamed(): void {
    if (this.state.statements.hasUnnamed) this.forget('');
  }

  /** Takes away what is kept as the unnamed statement, so that the client finds none. */
  async closeKept(end: HiddenEnd): Promise<void> {
    const exchange = new ClosingExchange(1, end);
    this.push(exchange, end, encodeClose('S', ''));
    await exchange.over;
  }

  /**
   * Whether what is sent next ends with the same Sync as what was sent when there had been so many (`syncs`), so that it
   * is not run where anything in between fails.
   */
  sharesSync(syncs: number): boolean {
    return syncs === this.syncs && this.last !== null && this.state.upstream.hasTail;
  }

  /**
   * Runs a statement of the client's that gives no rows, by a portal of ours; gives its tag. Its name is in ASCII.
   */
  async runBound(bind: Bind, onNotice: (notice: Buffer) => void, end: HiddenEnd = 'flush'): Promise<string> {
    const portal = `${NAME}_${++this.made}`;
    const onRow = () => {
      throw new Error('a statement that gives no rows has given one');
    };
    const exchange = new HiddenExchange(end, 1, onRow, false, onNotice);
    const bytes = [
      encodeFrontendMessage({ ...bind, portal }),
      encodeExecute(portal, 0),
      encodeClose('P', portal),
    ];
    this.push(exchange, end, Buffer.concat(bytes));
    return (await exchange.result).tag;
  }

  /**
   * Sends messages of the client's behind what was asked inside its segment, which the server discards where that fails.
   * Their replies are awaited already.
   */
  passOn(bytes: Buffer): void {
    const { upstream } = this.state;
    upstream.takeTail();
    upstream.writeSoon(bytes, FLUSH);
  }

  /**
   * Ends the client's segment at the server, ahead of its own Sync, where all of it has been answered. A transaction
   * that the client has begun goes on.
   */
  async endSegment(): Promise<void> {
    const { state } = this;
    assert(state.owesNothing(), 'a segment that is ended has been answered');
    const { inImplicitBlock } = state;
    state.closeSegment();
    // As a Sync of the client's, it leaves the block that somebody has begun.
    state.inImplicitBlock = inImplicitBlock;
    state.replies.segmentOpen = false;
    const exchange = new ClosingExchange(0, 'sync');
    this.push(exchange, 'sync', NOTHING);
    await exchange.over;
  }

  /**
   * Where queries of ours are all that has run in the client's segment, they are made to have run in front of it: from 2024
   * on PostgreSQL takes what comes behind them for a part of a transaction block, in which other statements may run. In a
   * block of the client's own a Query ends the segment as well, and nothing else changes by it.
   */
  async leaveSegment(isAheadOfQuery = false): Promise<void> {
    const { state } = this;
    const { transactionStatus, begunIn, segment, replies } = state;
    if (!replies.segmentOpen || state.inImplicitBlock || begunIn === segment) return;
    if (transactionStatus !== 'I' && !(isAheadOfQuery && state.isInBlock)) return;
    if (state.discarding || state.fatal || !state.owesNothing()) return;
    if (!mayEndSegment(state, isAheadOfQuery)) return;
    await this.endSegment();
  }

  /**
   * Takes back what queries of ours have done, or failed to do, in a segment in which nothing of the client's has run.
   * What the server has refused of the client's own, such as a Parse, stays refused.
   */
  async takeBack(): Promise<void> {
    const { state } = this;
    await state.untilHiddenOver();
    if (state.discarding) {
      if (state.failedUntold === null) throw new HiddenQueryEnded('discarded');
      state.discarding = false;
      state.failedUntold = null;
    }
    await this.endSegment();
  }

  /** Takes portals of the client's away, whether or not they are there. Their names are in ASCII. */
  async closePortals(names: readonly string[], end: HiddenEnd): Promise<void> {
    const exchange = new ClosingExchange(names.length, end);
    const closes = names.map((name) => encodeClose('P', name));
    this.push(exchange, end, Buffer.concat(closes));
    await exchange.over;
  }

  /** Nobody waits for what is under way: those who asked are told so, and what still comes is dropped. */
  giveUp(): void {
    const { replies } = this.state;
    for (let i = 0; i < replies.length; i++) replies.at(i).exchange?.fail(new HiddenQueryEnded('given up'));
  }

  private push(exchange: Exchange, end: HiddenEnd, bytes: Buffer, company: Company = 'alone'): void {
    const { state } = this;
    if (state.serverIsGone) throw new HiddenQueryEnded('lost');
    if (state.discarding) throw new HiddenQueryEnded('discarded');
    assert(!state.copyingIn, 'no hidden query while the server copies in');
    assert(end === 'flush' || !state.replies.segmentOpen, 'a Sync of ours ends no segment of the client');
    const reply = state.replies.push(ReplyKind.Hidden);
    reply.exchange = exchange;
    state.replies.segmentOpen = end === 'flush';
    state.hiddenQueued++;
    this.send(exchange, end, bytes, company);
  }

  private send(exchange: Exchange, end: HiddenEnd, bytes: Buffer, company: Company): void {
    const { upstream, transactionStatus } = this.state;
    let isJoined = false;
    // Whatever ends this has the server send what it says to that as well.
    if (this.lastEnd === 'flush') upstream.takeTail();
    else if (this.last !== null && end === 'sync' && company === 'any' && upstream.takeTail()) {
      this.last.joined = true;
      isJoined = true;
    }
    const isInBlock = isJoined || (transactionStatus === 'T' && this.maybeOver === 0);
    const mayBeJoined = company === 'begins' || (company === 'any' && isInBlock);
    if (!isJoined) this.syncs++;
    this.last = end === 'sync' && mayBeJoined ? exchange : null;
    this.lastEnd = end;
    const ending = end === 'flush' ? FLUSH : SYNC;
    if (bytes.length > 0) upstream.writeSoon(bytes, ending);
    else upstream.writeSoon(ending);
  }

  /** With the first of what may be kept. */
  private askWhose(end: HiddenEnd): void {
    const { kept } = this;
    const answer = this.run(end, WHOSE, (row) => kept.told(textColumns(row)[0] ?? ''), false);
    answer.catch(() => kept.untold());
  }

  private async run(
    end: HiddenEnd,
    query: HiddenQuery,
    onRow: RowTaker,
    tellsNotices: boolean,
    onNotice?: (notice: Buffer) => void,
  ): Promise<HiddenResult> {
    const name = query.statement ?? `${NAME}_${++this.made}`;
    const { kept } = this;
    if (query.kept === true && kept.asksWhose()) this.askWhose(end);
    const keeping = query.kept === true ? kept.keeping(query.sql) : 'not';
    const parts = partsOf(query, name);
    const stale = this.stale;
    const closes = stale.length + (keeping === 'not' ? 2 : 1) * parts.length;
    const exchange = new HiddenExchange(end, closes, onRow, tellsNotices, onNotice);
    const { encodingAside, textFacts } = this.state;
    const encoding = encodingAside === null && textFacts.encoding === 'latin1' ? 'latin1' : 'utf8';
    const company = companyOf(query.sql);
    this.push(exchange, end, encodeHidden(parts, stale, encoding, keeping), company);
    this.stale = [];
    if (company === 'alone') this.maybeOver++;
    const sentAfter = this.state.replies.queries;
    if (keeping !== 'not') kept.sent();
    try {
      const result = await exchange.result;
      if (keeping !== 'not') kept.answered(query.sql, sentAfter);
      return result;
    } catch (error) {
      for (const part of parts) this.stale.push(part.name);
      throw error;
    } finally {
      if (company === 'alone') this.maybeOver--;
    }
  }
}
