import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import { quoteName } from '../catalog/quote.ts';
import type { DropDatabase } from '../sql/named/drop-target.ts';
import { encodeNoticeResponse } from '../wire/backend.ts';
import { TRASH_DATABASE } from './definitions.ts';
import {
  CHANGED,
  type Changed,
  type MoveOutcome,
  NOTHING_DROPPED,
  orAsBefore,
  untilUnchanged,
} from './move.ts';
import { json, type TrashSession } from './session.ts';
import { withStates } from './standing.ts';
import type { RestoreStep } from './steps.ts';

export interface DropDatabaseRequest {
  readonly drop: DropDatabase;
  /** That of the snapshot. */
  readonly id: string;
  /** A DROP DATABASE runs in no transaction of the client's. */
  readonly inTransaction: boolean;
}

interface DatabaseFacts {
  readonly oid: number;
  readonly owned: boolean;
  /** Whether the role may give databases other names. */
  readonly mayRename: boolean;
  readonly isCurrent: boolean;
  readonly isTemplate: boolean;
  readonly allowsConnections: boolean;
  readonly activeSlots: number;
  readonly slots: number;
  readonly subscriptions: number;
}

/** $1: the name. */
const FACTS = `SELECT pg_catalog.jsonb_build_object('oid', d.oid::pg_catalog.int8, 'owned', pg_catalog.pg_has_role(d.datdba, 'USAGE'),
    'mayRename', (SELECT r.rolsuper OR r.rolcreatedb FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user),
    'isCurrent', d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database(), 'isTemplate', d.datistemplate, 'allowsConnections', d.datallowconn,
    'activeSlots', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots s WHERE s.datoid OPERATOR(pg_catalog.=) d.oid AND s.active),
    'slots', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots s WHERE s.datoid OPERATOR(pg_catalog.=) d.oid),
    'subscriptions', (SELECT pg_catalog.count(s.subdbid) FROM pg_catalog.pg_subscription s WHERE s.subdbid OPERATOR(pg_catalog.=) d.oid))::pg_catalog.text
  FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) $1::pg_catalog.name`;

/** The workers of autovacuum end by themselves where somebody wants the database. */
const TERMINATE = `SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity a
  WHERE a.datid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    AND a.backend_type IS DISTINCT FROM 'autovacuum worker'`;

const BUSY = '55006';
const TAG = 'DROP DATABASE';
/** How often those who are connected are sent away, for whom the server waits for some seconds each time. */
const FORCED_MAX = 3;

/**
 * Gives a database another name and closes it to connections, in the transaction that is open, which is the gateway's
 * own. A DROP DATABASE cannot be tried, as it cannot be taken back, so that what it would refuse is asked of the
 * catalogs, in its own order; that others are connected the server says itself, as it does for a RENAME.
 */
export async function dropDatabase(
  connection: HiddenConnection,
  request: DropDatabaseRequest,
): Promise<MoveOutcome> {
  if (request.inTransaction) return refused('25001', `${TAG} cannot run inside a transaction block`);
  return await orAsBefore(connection, (session) => untilUnchanged(session, () => attempt(session, request)));
}

async function attempt(
  session: TrashSession,
  { drop: { name, ifExists, force }, id }: DropDatabaseRequest,
): Promise<MoveOutcome | Changed> {
  const facts = await json<DatabaseFacts | null>(session, FACTS, [name]);
  if (facts === null) return missing(name, ifExists);
  const said = refusalOf(name, facts);
  if (said !== null) return said;
  const problem = problemOf(name, facts);
  if (problem !== null) return { kind: 'none', reason: problem };
  const trashName = `${TRASH_DATABASE}${id}`;
  const renamed = await rename(session, name, trashName, force ? facts.oid : null);
  if (renamed !== null) return renamed;
  const now = await json<DatabaseFacts | null>(session, FACTS, [trashName]);
  // The name was given to another until it was locked.
  if (now?.oid !== facts.oid) return CHANGED;
  await session.query(`ALTER DATABASE ${quoteName(trashName)} ALLOW_CONNECTIONS false`);
  const object = { oid: facts.oid, kind: 'database', schema: '', name, trash_name: trashName };
  const objects = await withStates(session, [object]);
  const restores = wayBack(name, trashName, facts);
  const moved = { moves: [], restores, objects, notes: [], binds: [] };
  return { kind: 'moved', tag: TAG, notices: [], moved };
}

function missing(name: string, ifExists: boolean): MoveOutcome {
  const message = `database "${name}" does not exist`;
  if (!ifExists) return refused('3D000', message);
  const fields = { S: 'NOTICE', V: 'NOTICE', C: '00000', M: `${message}, skipping` };
  const notice = encodeNoticeResponse(fields, 'UTF8').subarray(5);
  return { kind: 'harmless', why: NOTHING_DROPPED, tag: TAG, notices: [notice] };
}

/** What a DROP DATABASE would say, in its order. */
function refusalOf(name: string, facts: DatabaseFacts): MoveOutcome | null {
  if (!facts.owned) return refused('42501', `must be owner of database ${name}`);
  if (facts.isCurrent) return refused(BUSY, 'cannot drop the currently open database');
  if (facts.isTemplate) return refused('42809', 'cannot drop a template database');
  const { activeSlots, subscriptions } = facts;
  if (activeSlots > 0) {
    const detail = activeSlots === 1 ? 'There is 1 active slot.' : `There are ${activeSlots} active slots.`;
    return refused(BUSY, `database "${name}" is used by an active logical replication slot`, detail);
  }
  if (subscriptions > 0) {
    const detail =
      subscriptions === 1 ? 'There is 1 subscription.' : `There are ${subscriptions} subscriptions.`;
    return refused(BUSY, `database "${name}" is being used by logical replication subscription`, detail);
  }
  return null;
}

function problemOf(name: string, { mayRename, slots }: DatabaseFacts): string | null {
  if (name.startsWith(TRASH_DATABASE)) return 'it is in the trash already';
  if (slots > 0) return 'it has replication slots, which would keep the log of the server back';
  if (!mayRename)
    return 'the role may not give a database another name (CREATEDB), so that it cannot be moved away';
  return null;
}

/** Null where it has its other name. With FORCE those who are connected are sent away, as often as others come. */
async function rename(
  session: TrashSession,
  name: string,
  trashName: string,
  forced: number | null,
): Promise<MoveOutcome | null> {
  for (let attempts = 1; ; attempts++) {
    await session.query('SAVEPOINT holdfast_rename');
    try {
      if (forced !== null) {
        await session.query('SELECT pg_catalog.pg_stat_clear_snapshot()');
        await session.query(TERMINATE, [String(forced)]);
      }
      await session.query(`ALTER DATABASE ${quoteName(name)} RENAME TO ${quoteName(trashName)}`);
      await session.query('RELEASE SAVEPOINT holdfast_rename');
      return null;
    } catch (error) {
      if (!(error instanceof HiddenQueryError)) throw error;
      await session.query('ROLLBACK TO SAVEPOINT holdfast_rename');
      await session.query('RELEASE SAVEPOINT holdfast_rename');
      const isBusy = error.sqlstate === BUSY;
      if (forced !== null && isBusy && attempts < FORCED_MAX) continue;
      // Whom the role may not send away, and who is there, a DROP DATABASE says in the same words.
      if (isBusy || error.sqlstate === '42501') return { kind: 'refused', error, notices: [] };
      throw error;
    }
  }
}

function wayBack(name: string, trashName: string, { allowsConnections }: DatabaseFacts): RestoreStep[] {
  const what = `the database ${quoteName(name)}`;
  return [
    { sql: `ALTER DATABASE ${quoteName(trashName)} RENAME TO ${quoteName(name)}`, what },
    ...(allowsConnections
      ? [{ sql: `ALTER DATABASE ${quoteName(name)} ALLOW_CONNECTIONS true`, what: `connections to ${what}` }]
      : []),
  ];
}

function refused(sqlstate: string, message: string, detail?: string): MoveOutcome {
  const fields = { S: 'ERROR', V: 'ERROR', C: sqlstate, M: message };
  const error = new HiddenQueryError(detail === undefined ? fields : { ...fields, D: detail });
  return { kind: 'refused', error, notices: [] };
}
