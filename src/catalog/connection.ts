/** The port that hides where the gateway's own queries run: in the session's current transaction. */

export interface HiddenQuery {
  readonly sql: string;
  /** OIDs; 0 lets the server infer the type. */
  readonly parameterTypes: readonly number[];
  readonly parameters: readonly (Buffer | null)[];
  /** One for each parameter. */
  readonly parameterFormats: readonly (0 | 1)[];
  /** As Bind has them: none, one for all, or one for each column. */
  readonly resultFormats: readonly (0 | 1)[];
  /** The server has read it already, by that name, which is closed with it. */
  readonly statement?: string;
  /**
   * It comes again and again with other parameters, and takes the server longer to read and to plan than to run: where no
   * client could see it, it is kept as the server has read it.
   */
  readonly kept?: true;
  /** It is broken off when so many rows have come. */
  readonly rowsMax?: number;
  /**
   * It follows dependencies through the catalogs, of which the planner expects a thousand times what there is: where the
   * server compiles what looks dear (`jit`), that takes seconds for a query of milliseconds.
   */
  readonly neverCompiled?: true;
}

export interface HiddenResult {
  readonly tag: string;
  /** There may be more rows than `rowsMax`. */
  readonly brokenOff?: boolean;
}

/** Takes the body of each DataRow, which is valid, and may be written to, only during the call. */
export interface RowTaker {
  /** A returned promise stops the reading until it settles. */
  (row: Buffer): void | Promise<void>;
  /**
   * Takes as many whole DataRow messages as it can at once of those that stand in `bytes[at, end)`, and gives where it
   * stopped: so that what comes in millions is not called for one by one.
   */
  many?(bytes: Buffer, at: number, end: number): number;
}

export interface HiddenConnection {
  /** Whether calls may overlap: their queries are then sent at once and run in order, which saves round trips. */
  readonly overlaps?: boolean;
  /**
   * Runs one query without ending anything that the client has open. `onNotice` gets the body of each
   * NoticeResponse, which is valid only during the call. Rejects with HiddenQueryError.
   */
  run(query: HiddenQuery, onRow: RowTaker, onNotice?: (notice: Buffer) => void): Promise<HiddenResult>;
}

/** The server refused one of the gateway's own queries, which leaves the transaction failed. */
export class HiddenQueryError extends Error {
  readonly sqlstate: string;
  /** The fields of the ErrorResponse by their letters. */
  readonly fields: Readonly<Record<string, string>>;

  constructor(fields: Readonly<Record<string, string>>) {
    super(fields['M'] ?? 'unknown error');
    this.name = 'HiddenQueryError';
    this.sqlstate = fields['C'] ?? 'XX000';
    this.fields = fields;
  }
}

/** In a transaction that has failed. */
const ABORTED = '25P02';

/**
 * What has failed first is why. It fails what was sent behind it too, and of that may be heard before it is, since both are
 * told with what was read at once.
 */
async function firstFailure<T>(running: readonly Promise<T>[]): Promise<T[]> {
  try {
    return await Promise.all(running);
  } catch (error) {
    if (error instanceof HiddenQueryError && error.sqlstate !== ABORTED) throw error;
    // All has come that is going to be heard of by the next turn.
    await new Promise((resolve) => setImmediate(resolve));
    const heard = running.map((each) => Promise.race([each, UNHEARD]).then(nothing, (why: unknown) => why));
    const reasons = (await Promise.all(heard)).filter((why) => why instanceof HiddenQueryError);
    throw reasons.find(({ sqlstate }) => sqlstate !== ABORTED) ?? reasons[0] ?? error;
  }
}

const UNHEARD = Promise.resolve();
const nothing = (): null => null;

/** Runs steps that do not depend on each other: at once where the connection can, else one after the other. */
export async function together<T>(
  connection: HiddenConnection,
  steps: readonly (() => Promise<T>)[],
): Promise<T[]> {
  if (connection.overlaps === true) return await firstFailure(steps.map((step) => step()));
  const out: T[] = [];
  for (const step of steps) out.push(await step());
  return out;
}
