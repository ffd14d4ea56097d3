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
  /** It is broken off when so many rows have come. */
  readonly rowsMax?: number;
}

export interface ResultColumn {
  readonly name: string;
  readonly tableOid: number;
  readonly attribute: number;
  readonly typeOid: number;
  readonly typeModifier: number;
  readonly format: 0 | 1;
}

export interface HiddenResult {
  readonly columns: readonly ResultColumn[];
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
   * Runs one query without ending anything that the client has open. `onNotice` gets the body of each NoticeResponse, likewise. Rejects with HiddenQueryError.
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

/** Runs steps that do not depend on each other: at once where the connection can, else one after the other. */
export async function together<T>(
  connection: HiddenConnection,
  steps: readonly (() => Promise<T>)[],
): Promise<T[]> {
  if (connection.overlaps === true) return await Promise.all(steps.map((step) => step()));
  const out: T[] = [];
  for (const step of steps) out.push(await step());
  return out;
}
