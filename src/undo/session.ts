/** The connection of whoever undoes: with that person's own credentials, and for the undo alone. */
export interface UndoSession {
  /** Runs one statement; its rows as text. Rejects with UndoQueryError where the server refuses it. */
  query(sql: string, parameters?: readonly (string | null)[]): Promise<readonly TextRow[]>;
  /** Runs a COPY … FROM STDIN, fed no faster than the server takes it. Where the chunks fail, so does the COPY. */
  copyIn(sql: string, chunks: AsyncIterable<Buffer>): Promise<void>;
  /** The chunks of a COPY … TO STDOUT, read no faster than they are taken. */
  copyOut(sql: string): AsyncIterable<Buffer>;
}

export type TextRow = readonly (string | null)[];

/** What the server said, and of which table. */
export interface ServerRefusal {
  readonly sqlstate: string;
  readonly message: string;
  readonly detail: string | null;
  readonly schema: string | null;
  readonly table: string | null;
  readonly constraint: string | null;
}

export class UndoQueryError extends Error {
  readonly refusal: ServerRefusal;

  constructor(refusal: ServerRefusal, cause?: unknown) {
    super(refusal.message, { cause });
    this.name = 'UndoQueryError';
    this.refusal = refusal;
  }
}
