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
  /** Its steps are worth nothing without each other, so that none has a savepoint of its own; the client waits for them. */
  readonly asWhole?: true;
}

/** Why nothing can be asked in the session as it stands. */
export class NoSandbox extends Error {}

/** The server refused to end the transaction, so that what comes next would run in it. */
export class NotLeft extends Error {}

interface OwnLimits {
  readonly statement: boolean;
  readonly lock: boolean;
}

/**
 * Questions that change nothing: in a transaction that can only read and is rolled back whatever comes of it. Outside of
 * a transaction that is one of its own; inside one of the client's a savepoint, to which the transaction goes back and
 * with that to what it may do. Each step has a savepoint of its own, so that one which fails leaves the rest.
 */
export class Sandbox {
  readonly connection: HiddenConnection;
  readonly #deadlineMs: number;
  readonly #asWhole: boolean;
  #stopped = false;
  #failed: string | null = null;
  /** Limits of the client's own, which are shorter. */
  ownLimits: OwnLimits = { statement: false, lock: false };
  /** The error of a limit of the client's own which the statement would have met as well. */
  metOwnLimit: HiddenQueryError | null = null;

  constructor(connection: HiddenConnection, deadlineMs: number, asWhole: boolean) {
    this.connection = connection;
    this.#deadlineMs = deadlineMs;
    this.#asWhole = asWhole;
  }

  /** Asks nothing more; the step under way is the last. */
  stop(): void {
    this.#stopped = true;
  }

  /** Why nothing more is asked, or null. */
  get ended(): string | null {
    if (this.#failed !== null) return this.#failed;
    if (this.#stopped) return 'the hold ended before it was asked';
    return performance.now() < this.#deadlineMs ? null : 'the time for the preview was over';
  }

  /** What a step finds, or why it failed; what is no error of the server's ends the sandbox. */
  async step<T>(ask: (connection: HiddenConnection) => Promise<T>): Promise<T | Unknown> {
    if (this.ended !== null) return unknown(this.ended);
    if (this.#asWhole) return await this.#stepOfWhole(ask);
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

  async #stepOfWhole<T>(ask: (connection: HiddenConnection) => Promise<T>): Promise<T | Unknown> {
    try {
      return await ask(this.connection);
    } catch (error) {
      if (!(error instanceof HiddenQueryError)) throw error;
      this.#failed = reasonOf(error);
      const { statement, lock } = this.ownLimits;
      if ((statement && error.sqlstate === CANCELED) || (lock && error.sqlstate === LOCKED))
        this.metOwnLimit = error;
      return unknown(this.#failed);
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
  const sandbox = new Sandbox(connection, performance.now() + limits.totalMs, limits.asWhole === true);
  onSandbox(sandbox);
  await say(
    inTransaction ? `SAVEPOINT ${SAVEPOINT}` : 'BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY',
  );
  try {
    if (inTransaction) await say('SET TRANSACTION READ ONLY');
    sandbox.ownLimits = await setLimits(connection, limits);
    if ((await one(connection, 'SHOW transaction_read_only')) !== 'on')
      throw new NoSandbox('the transaction could not be made to read only');
    return await ask(sandbox);
  } finally {
    const leave = async () => {
      await say(inTransaction ? `ROLLBACK TO SAVEPOINT ${SAVEPOINT}` : 'ROLLBACK');
      if (inTransaction) await say(`RELEASE SAVEPOINT ${SAVEPOINT}`);
    };
    try {
      // A cancel that was meant for a question may come as late as this.
      await leave().catch(async (error: unknown) => {
        if (!(error instanceof HiddenQueryError && error.sqlstate === CANCELED)) throw error;
        await leave();
      });
    } catch (cause) {
      // biome-ignore lint/correctness/noUnsafeFinally: it matters more than whatever came of the questions.
      throw new NotLeft('a transaction of questions could not be left', { cause });
    }
  }
}

const CANCELED = '57014';
const LOCKED = '55P03';

/** What the client waits for meets its own limits too, where these are shorter. */
async function setLimits(connection: HiddenConnection, limits: SandboxLimits): Promise<OwnLimits> {
  const { statementMs, lockMs, asWhole } = limits;
  if (asWhole !== true) {
    const sql = `SELECT ${setTo('statement_timeout', `'${statementMs}'`)}, ${setTo('lock_timeout', `'${lockMs}'`)}`;
    await connection.run(plainQuery(sql), () => {});
    return { statement: false, lock: false };
  }
  const found = await one(
    connection,
    `SELECT pg_catalog.concat(${isShorter('statement', statementMs)}, ' ', ${isShorter('lock', lockMs)},
      ${setTo('statement_timeout', lesser('statement', statementMs))}, ${setTo('lock_timeout', lesser('lock', lockMs))})
      FROM (SELECT ${ownMs('statement_timeout')} AS statement, ${ownMs('lock_timeout')} AS lock OFFSET 0) own`,
  );
  const [statement = '', lock = ''] = found.split(' ');
  return { statement: statement.startsWith('t'), lock: lock.startsWith('t') };
}

const setTo = (name: string, value: string) => `pg_catalog.set_config('${name}', ${value}, true)`;

const ownMs = (
  name: string,
) => `(pg_catalog.date_part('epoch', pg_catalog.current_setting('${name}')::pg_catalog.interval)
  OPERATOR(pg_catalog.*) 1000::pg_catalog.float8)::pg_catalog.int4`;

const isShorter = (own: string, limitMs: number) =>
  `(own.${own} OPERATOR(pg_catalog.>) 0 AND own.${own} OPERATOR(pg_catalog.<) ${limitMs})`;

const lesser = (own: string, limitMs: number) =>
  `(CASE WHEN ${isShorter(own, limitMs)} THEN own.${own} ELSE ${limitMs} END)::pg_catalog.text`;

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
