import { assert } from '../../base/assert.ts';
import { HiddenQueryError, type HiddenResult, type RowTaker } from '../../catalog/connection.ts';
import { decodeErrorFields, encodeMessage, isFatalError } from '../../wire/backend.ts';
import { decodeBackendMessage } from '../../wire/backend-message.ts';
import { encodeClose, encodeExecute } from '../../wire/frontend.ts';
import { encodeFrontendMessage } from '../../wire/frontend-message.ts';
import { Backend, Frontend } from '../../wire/message-type.ts';
import type { Keeping } from './kept-statement.ts';
import type { Part } from './uncompiled.ts';

/**
 * Where a hidden query ends. `flush`: inside a segment of the client's, where a Sync would end its transaction; an
 * error then has the server discard all up to the client's Sync. `sync`: between two segments, with a Sync of ours.
 */
export type HiddenEnd = 'flush' | 'sync';

/** Reads the replies to something of the gateway's own, which is one entry of the replies queue. */
export interface Exchange {
  /** It has no Sync of its own, and ends with its last reply: that of the next entry is behind both. */
  joined?: boolean;
  /** What the server says besides is for the client. */
  readonly tellsNotices: boolean;
  /** It has committed what the client has yet to be told of, so that what the server says next is to wait for that. */
  readonly isCommitUntold: boolean;
  /** Takes the body of a NoticeResponse that is not for the client. */
  notice(body: Buffer): void;
  fail(error: unknown): void;
  row(body: Buffer): void | Promise<void>;
  /** Takes what it can at once of the rows that stand there, whole, and gives where it stopped. */
  rows?(bytes: Buffer, at: number, end: number): number;
  receive(type: number, body: Buffer): 'more' | 'over' | 'over and discarding';
}

/** Why a hidden query has no result, other than by an error of the server's. */
export class HiddenQueryEnded extends Error {
  /** `lost`: the server is gone. `discarded`: an error stood in front of it. `given up`: nobody waits for it. */
  readonly why: 'lost' | 'discarded' | 'given up';

  constructor(why: HiddenQueryEnded['why']) {
    super(`a query of the gateway's own was ${why}`);
    this.name = 'HiddenQueryEnded';
    this.why = why;
  }
}

/**
 * All messages of one hidden query, after the Closes of what earlier ones may have left behind. Its rows are not described,
 * since whoever asks knows what it has asked for.
 */
export function encodeHidden(
  parts: readonly Part[],
  stale: readonly string[],
  encoding: 'utf8' | 'latin1',
  keeping: Keeping,
): Buffer {
  const closes = stale.map((each) => encodeClose('S', each));
  return Buffer.concat([...closes, ...parts.flatMap((part) => encodePart(part, encoding, keeping))]);
}

function encodePart({ query, name }: Part, encoding: 'utf8' | 'latin1', keeping: Keeping): readonly Buffer[] {
  const { sql, parameterTypes, parameterFormats, parameters, resultFormats } = query;
  const statement = keeping === 'not' ? name : '';
  const isRead = query.statement !== undefined || keeping === 'stands';
  return [
    ...(isRead ? [] : [encodeParse(statement, sql, parameterTypes, encoding)]),
    encodeFrontendMessage({
      kind: 'bind',
      portal: name,
      statement,
      parameterFormats,
      parameters,
      resultFormats,
    }),
    encodeExecute(name, query.rowsMax ?? 0),
    encodeClose('P', name),
    ...(keeping === 'not' ? [encodeClose('S', name)] : []),
  ];
}

/** Words of the client's in a query of ours are in its own encoding. */
export function encodeParse(
  statement: string,
  query: string,
  parameterTypes: readonly number[],
  encoding: 'utf8' | 'latin1',
): Buffer {
  if (encoding === 'utf8') return encodeFrontendMessage({ kind: 'parse', statement, query, parameterTypes });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is that of Latin-1.
  assert(/^[\x00-\xff]*$/.test(query), 'a query in Latin-1 has no other characters');
  const names = Buffer.from(`${statement}\0${query}\0`, 'latin1');
  const types = Buffer.alloc(2 + parameterTypes.length * 4);
  types.writeUInt16BE(parameterTypes.length);
  for (const [i, oid] of parameterTypes.entries()) types.writeUInt32BE(oid, 2 + i * 4);
  return encodeMessage(Frontend.Parse, Buffer.concat([names, types]));
}

/**
 * What the server answers to one hidden query.
 *
 * States:
 * - open: rows go to whoever asked.
 * - settled: the asker has been told how it ended (by an error, or because it no longer wants it), and what still
 *   comes is dropped.
 * - over: the server owes nothing more to it.
 *
 * Invariant: it is over exactly when its last reply has come, whatever the asker has been told, so that no reply of it
 * is ever taken for the client's.
 */
export class HiddenExchange implements Exchange {
  readonly end: HiddenEnd;
  joined = false;
  readonly tellsNotices: boolean;
  readonly result: Promise<HiddenResult>;
  private readonly onRow: RowTaker;
  private readonly onNotice: (notice: Buffer) => void;
  private closesLeft: number;
  private tag = '';
  private settled = false;
  private completed = false;
  private brokenOff = false;
  /** What the server has refused it with, told once the server is ready again and it is known how that left it. */
  private refused: HiddenQueryError | null = null;
  private resolve!: (result: HiddenResult) => void;
  private reject!: (error: unknown) => void;
  /** Ends the wait for whoever takes the last row. */
  private letGo: () => void = () => {};

  constructor(
    end: HiddenEnd,
    closes: number,
    onRow: RowTaker,
    tellsNotices: boolean,
    onNotice: (notice: Buffer) => void = () => {},
  ) {
    this.onNotice = onNotice;
    this.end = end;
    this.tellsNotices = tellsNotices;
    this.closesLeft = closes;
    this.onRow = onRow;
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Whoever asked may have turned to something else by the time that it fails.
    this.result.catch(() => {});
  }

  get isCommitUntold(): boolean {
    return this.tellsNotices && this.tag === 'COMMIT' && this.refused === null;
  }

  /** Tells the asker that there will be no result; what the server still sends is dropped. */
  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.reject(this.refused ?? error);
    this.letGo();
  }

  /** Takes the body of a DataRow. A promise asks to read no further until it has settled. */
  row(body: Buffer): void | Promise<void> {
    if (this.settled) return;
    try {
      const taken = this.onRow(body);
      if (taken === undefined) return;
      return new Promise((resolve) => {
        this.letGo = resolve;
        void taken.catch((error: unknown) => this.fail(error)).then(resolve);
      });
    } catch (error) {
      this.fail(error);
    }
  }

  rows(bytes: Buffer, at: number, end: number): number {
    if (this.settled || this.onRow.many === undefined) return at;
    try {
      return this.onRow.many(bytes, at, end);
    } catch (error) {
      this.fail(error);
      return at;
    }
  }

  notice(body: Buffer): void {
    if (!this.settled) this.onNotice(body);
  }

  /** Takes any other reply to it, and tells whether that was the last. */
  receive(type: number, body: Buffer): 'more' | 'over' | 'over and discarding' {
    switch (type) {
      case Backend.CommandComplete:
        this.tag = body.toString('latin1', 0, body.length - 1);
        this.completed = true;
        return 'more';
      case Backend.PortalSuspended:
        this.brokenOff = true;
        this.completed = true;
        return 'more';
      case Backend.CloseComplete:
        this.closesLeft--;
        return (this.end === 'flush' || this.joined) && this.closesLeft === 0 ? this.finish() : 'more';
      case Backend.ErrorResponse:
        if (isFatalError(body)) {
          // It ends the session and not the query, which may have been done, a COMMIT too.
          this.fail(new HiddenQueryEnded('lost'));
          return 'more';
        }
        this.refused = new HiddenQueryError(decodeErrorFields(body) ?? {});
        if (this.end === 'sync') return 'more';
        this.fail(this.refused);
        return 'over and discarding';
      case Backend.ReadyForQuery:
        return this.finish();
      default:
        return 'more';
    }
  }

  private finish(): 'over' {
    if (!this.completed || this.refused !== null) this.fail(new HiddenQueryEnded('discarded'));
    this.settled = true;
    const { tag } = this;
    this.resolve(this.brokenOff ? { tag, brokenOff: true } : { tag });
    return 'over';
  }
}

/** What the server answers to Closes of the client's portals, if any, and to the Flush or Sync of ours behind them. */
export class ClosingExchange implements Exchange {
  readonly tellsNotices = true;
  readonly isCommitUntold = false;
  readonly over: Promise<void>;
  private readonly end: HiddenEnd;
  private closesLeft: number;
  private resolve!: () => void;
  private reject!: (error: unknown) => void;

  constructor(closes: number, end: HiddenEnd) {
    this.closesLeft = closes;
    this.end = end;
    this.over = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.over.catch(() => {});
  }

  notice(): void {}

  fail(error: unknown): void {
    this.reject(error);
  }

  row(): void {}

  receive(type: number, body: Buffer): 'more' | 'over' | 'over and discarding' {
    const isFlushed = this.end === 'flush';
    if (type === Backend.ErrorResponse && this.closesLeft > 0) {
      this.fail(new HiddenQueryError(decodeErrorFields(body) ?? {}));
      return isFlushed ? 'over and discarding' : 'more';
    }
    if (type === Backend.CloseComplete) this.closesLeft--;
    const isLast = isFlushed ? this.closesLeft === 0 : type === Backend.ReadyForQuery;
    if (!isLast) return 'more';
    this.resolve();
    return 'over';
  }
}

/** What the server answers to a Describe of one of the client's statements, of which the types are wanted. */
export class DescribeExchange implements Exchange {
  readonly tellsNotices = false;
  readonly isCommitUntold = false;
  readonly types: Promise<readonly number[]>;
  private told: readonly number[] = [];
  private resolve!: (types: readonly number[]) => void;
  private reject!: (error: unknown) => void;
  private readonly end: HiddenEnd;
  private readonly onTypes: (types: readonly number[]) => void;

  constructor(end: HiddenEnd, onTypes: (types: readonly number[]) => void) {
    this.end = end;
    this.onTypes = onTypes;
    this.types = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.types.catch(() => {});
  }

  notice(): void {}

  fail(error: unknown): void {
    this.reject(error);
  }

  row(): void {}

  receive(type: number, body: Buffer): 'more' | 'over' | 'over and discarding' {
    switch (type) {
      case Backend.ParameterDescription: {
        const message = decodeBackendMessage(type, body);
        if (message.kind === 'parameter-description') {
          this.told = message.typeOids;
          this.onTypes(this.told);
        } else this.fail(new Error('the server described parameters in a way that is not understood'));
        return 'more';
      }
      case Backend.ErrorResponse:
        this.fail(new HiddenQueryError(decodeErrorFields(body) ?? {}));
        return this.end === 'sync' ? 'more' : 'over and discarding';
      case Backend.RowDescription:
      case Backend.NoData:
        if (this.end === 'sync') return 'more';
        this.resolve(this.told);
        return 'over';
      case Backend.ReadyForQuery:
        this.resolve(this.told);
        return 'over';
      default:
        return 'more';
    }
  }
}

/** What the server says of a text of the client's that it has read. */
export interface TextRead {
  readonly error: HiddenQueryError | null;
  readonly warned: boolean;
}

/** What the server answers to a Parse of such a text, which is looked up and not run, unless it is kept. */
export class ParseExchange implements Exchange {
  joined = false;
  readonly tellsNotices = false;
  readonly isCommitUntold = false;
  readonly over: Promise<TextRead>;
  private warned = false;
  private error: HiddenQueryError | null = null;
  private resolve!: (read: TextRead) => void;
  private reject!: (error: unknown) => void;
  private readonly end: HiddenEnd;
  /** What the server says last, but for what ends all that is joined. */
  private readonly last: number;

  constructor(end: HiddenEnd, isKept = false) {
    this.end = end;
    this.last = isKept ? Backend.ParseComplete : Backend.CloseComplete;
    this.over = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.over.catch(() => {});
  }

  notice(body: Buffer): void {
    // Of what it does itself the server says more than is about the text.
    if (decodeErrorFields(body)?.['V']?.startsWith('DEBUG') !== true) this.warned = true;
  }

  fail(error: unknown): void {
    this.reject(error);
  }

  row(): void {}

  receive(type: number, body: Buffer): 'more' | 'over' | 'over and discarding' {
    const isFlushed = this.end === 'flush';
    if (type === Backend.ErrorResponse) {
      if (isFatalError(body)) {
        this.fail(new HiddenQueryEnded('lost'));
        return 'more';
      }
      this.error = new HiddenQueryError(decodeErrorFields(body) ?? {});
      if (!isFlushed) return 'more';
      this.tell();
      return 'over and discarding';
    }
    const isLast = type === (isFlushed || this.joined ? this.last : Backend.ReadyForQuery);
    // Behind an error all is discarded up to the Sync that it is joined to.
    if (!isLast && type !== Backend.ReadyForQuery) return 'more';
    this.tell();
    return 'over';
  }

  private tell(): void {
    this.resolve({ error: this.error, warned: this.warned });
  }
}
