import type { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import type { AuditChain } from './control-store.ts';
import { AuditBlocks } from './sqlite-audit-blocks.ts';
import { type OpenDatabase, openDatabase, storeError } from './sqlite-database.ts';
import { type StoreCalls, sqliteRecords } from './sqlite-records.ts';

/**
 * The thread that owns the database. Calls that arrive while a commit runs are taken together into the next
 * one: that is what makes a commit that waits for the disk cheap under load.
 */
export interface CallMessage {
  readonly id: number;
  readonly name: keyof StoreCalls | 'close';
  readonly parameters: readonly unknown[];
}

/** `id` 0 tells that the store is open, or why it cannot be. */
export type AnswerMessage =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly message: string;
      readonly detail: string | undefined;
    };

assert(parentPort !== null, 'this file is the body of a worker thread');
const port = parentPort;
const { path, chainUrl } = workerData as { readonly path: string; readonly chainUrl: string | null };

let waiting: CallMessage[] = [];

async function start(): Promise<void> {
  const chain = chainUrl === null ? null : ((await import(chainUrl)) as AuditChain);
  const { database, release } = openDatabase(path);
  const audit = new AuditBlocks(database, chain);
  const records = sqliteRecords(database, audit);
  port.on('message', (call: CallMessage) => {
    if (waiting.length === 0) setImmediate(() => serve({ database, release }, audit, records));
    waiting.push(call);
  });
  port.postMessage({ id: 0, ok: true, value: null } satisfies AnswerMessage);
}

function serve({ database, release }: OpenDatabase, audit: AuditBlocks, records: StoreCalls): void {
  const calls = waiting;
  waiting = [];
  const closing = calls.find((call) => call.name === 'close');
  const asked = calls.filter((call) => call !== closing);
  if (asked.length > 0)
    for (const answer of commitTogether(database, records, asked)) port.postMessage(answer);
  if (closing !== undefined) {
    database.close();
    release();
    port.postMessage({ id: closing.id, ok: true, value: null } satisfies AnswerMessage);
    port.close();
    return;
  }
  if (audit.joinIsDue) {
    try {
      inTransaction(database, () => audit.join());
    } catch {
      // The rows stay as they are, which is only slower to read; the next write tells of a failing disk.
    }
  }
}

/** All in one commit; should that fail, each alone, so that one call's failure is not its neighbours'. */
function commitTogether(
  database: DatabaseSync,
  records: StoreCalls,
  calls: readonly CallMessage[],
): AnswerMessage[] {
  try {
    return inTransaction(database, () => calls.map((call) => answerTo(records, call)));
  } catch (error) {
    if (calls.length === 1) return [refusal(calls[0]!, error)];
    return calls.map((call) => {
      try {
        return inTransaction(database, () => answerTo(records, call));
      } catch (alone) {
        return refusal(call, alone);
      }
    });
  }
}

function answerTo(records: StoreCalls, call: CallMessage): AnswerMessage {
  assert(call.name !== 'close', 'close is not a call on records');
  const run = records[call.name] as (...parameters: readonly unknown[]) => unknown;
  return { id: call.id, ok: true, value: run(...call.parameters) };
}

function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  // SQLite waits for another process, such as one that copies the store, only where nothing has been read yet.
  database.exec('begin immediate');
  try {
    const value = work();
    database.exec('commit');
    return value;
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    throw error;
  }
}

function refusal(call: { readonly id: number }, error: unknown): AnswerMessage {
  const { message, detail } = storeError(error, path);
  return { id: call.id, ok: false, message, detail };
}

try {
  await start();
} catch (error) {
  port.postMessage(refusal({ id: 0 }, error));
  port.close();
}
