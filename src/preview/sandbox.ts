import { randomBytes } from 'node:crypto';
import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import { textColumns } from '../catalog/row.ts';
import { plainQuery } from '../snapshot/capture.ts';
import { type Unknown, unknown } from './preview.ts';

/** Names that nobody else can have taken, because nobody can guess them. */
const SAVEPOINT = `holdfast_${randomBytes(12).toString('hex')}`;

export interface SandboxLimits {
  readonly statementMs: number;
  readonly lockMs: number;
  /** All of it together. */
  readonly totalMs: number;
}

/** Why nothing can be asked in the session as it stands. */
export class NoSandbox extends Error {}

/** The server refused to end the transaction, so that what comes next would run in it. */
export class NotLeft extends Error {}

/**
 * Questions that change nothing: in a transaction that can only read and is rolled back whatever comes of it. Outside of
 * a transaction that is one of its own; inside one of the client's a savepoint, to which the transaction goes back and
 * with that to what it may do. Each step has a savepoint of its own, so that one which fails leaves the rest.
 */
export class Sandbox {
  readonly connection: HiddenConnection;
  readonly #deadlineMs: number;
  #stopped = false;

  constructor(connection: HiddenConnection, deadlineMs: number) {
    this.connection = connection;
    this.#deadlineMs = deadlineMs;
  }

  /** Asks nothing more; the step under way is the last. */
  stop(): void {
    this.#stopped = true;
  }

  /** Why nothing more is asked, or null. */
  get ended(): string | null {
    if (this.#stopped) return 'the hold ended before it was asked';
    return performance.now() < this.#deadlineMs ? null : 'the time for the preview was over';
  }

  /** What a step finds, or why it failed; what is no error of the server's ends the sandbox. */
  async step<T>(ask: (connection: HiddenConnection) => Promise<T>): Promise<T | Unknown> {
    if (this.ended !== null) return unknown(this.ended);
    await this.#say(`SAVEPOINT ${SAVEPOINT}_step`);
    try {
      const found = await ask(this.connection);
      await this.#say(`RELEASE ${SAVEPOINT}_step`);
      return found;
    } catch (error) {
      if (!(error instanceof HiddenQueryError)) throw error;
      await this.#say(`ROLLBACK TO ${SAVEPOINT}_step`);
      await this.#say(`RELEASE ${SAVEPOINT}_step`);
      return unknown(reasonOf(error));
    }
  }

  async #say(sql: string): Promise<void> {
    await this.connection.run(plainQuery(sql), () => {});
  }
}

/** Runs questions in a sandbox. `inTransaction`: the client has one open. Rejects where it could not be left. */
export async function inSandbox<T>(
  connection: HiddenConnection,
  inTransaction: boolean,
  limits: SandboxLimits,
  ask: (sandbox: Sandbox) => Promise<T>,
  onSandbox: (sandbox: Sandbox) => void = () => {},
): Promise<T> {
  const say = (sql: string) => connection.run(plainQuery(sql), () => {});
  if (inTransaction) {
    const isolation = await one(connection, 'SHOW transaction_isolation');
    // Its first query decides what all others see, and is the client's to choose.
    if (isolation !== 'read committed')
      throw new NoSandbox(`the transaction is ${isolation}, so that a question would fix what it sees`);
  }
  const sandbox = new Sandbox(connection, performance.now() + limits.totalMs);
  onSandbox(sandbox);
  await say(
    inTransaction ? `SAVEPOINT ${SAVEPOINT}` : 'BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY',
  );
  try {
    if (inTransaction) await say('SET TRANSACTION READ ONLY');
    await say(`SELECT pg_catalog.set_config('statement_timeout', '${limits.statementMs}', true),
      pg_catalog.set_config('lock_timeout', '${limits.lockMs}', true)`);
    if ((await one(connection, 'SHOW transaction_read_only')) !== 'on')
      throw new NoSandbox('the transaction could not be made to read only');
    return await ask(sandbox);
  } finally {
    try {
      await say(inTransaction ? `ROLLBACK TO SAVEPOINT ${SAVEPOINT}` : 'ROLLBACK');
      if (inTransaction) await say(`RELEASE SAVEPOINT ${SAVEPOINT}`);
    } catch (cause) {
      // biome-ignore lint/correctness/noUnsafeFinally: it matters more than whatever came of the questions.
      throw new NotLeft('a transaction of questions could not be left', { cause });
    }
  }
}

async function one(connection: HiddenConnection, sql: string): Promise<string> {
  let found = '';
  await connection.run(plainQuery(sql), (row) => {
    found = textColumns(row)[0] ?? '';
  });
  return found;
}

/** Never the server's message, which may name a value that is masked, or that of a parameter. */
function reasonOf({ sqlstate }: HiddenQueryError): string {
  switch (sqlstate) {
    case '57014':
      return 'it took too long';
    case '55P03':
      return 'a table is locked by others';
    case '25006':
      return 'it would have written';
    default:
      return `the server refused it (SQLSTATE ${sqlstate})`;
  }
}
