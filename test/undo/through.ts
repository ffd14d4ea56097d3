import { quoted } from '../snapshot/random-schema.ts';
import { type Group, type SentScript, shownScript } from '../snapshot/sent-script.ts';
import { ENDING, SentSession } from '../snapshot/sent-session.ts';
import { SNAPSHOTS, startGateway, type TestGateway } from '../support/gateway.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { Random } from '../support/random.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import { contents } from './put-back.ts';

/**
 * Runs sessions that destroy through a gateway, undoes all of its snapshots of a transaction over its API, the newest
 * first, and compares every table byte for byte with how it was, by COPY, which knows of neither.
 */

/** What has no exact plan is refused, so that there is nothing that cannot be undone. */
const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: what changes, match: { operation: [update, delete, merge, truncate, upsert] }, action: snapshot }
  - { name: the rest, action: allow }
`;

const DATABASE = 'through';

/** By these rows may come to refer to none; by the last until the transaction ends, so between two of its statements. */
const WITHOUT_CHECKS = /session_replication_role = replica|disable trigger all|DEFERRABLE/;

export interface ThroughSetting {
  readonly gateway: TestGateway;
  /** Past the gateway. */
  readonly control: RawClient;
}

export class ThroughTally {
  sessions = 0;
  /** Transactions, or statements without one, that were compared. */
  groups = 0;
  /** Those that changed a row. */
  changing = 0;
  snapshots = 0;
  rows = 0;
  /** Undone, undone again so that all was as the statements had left it, and undone once more. */
  redone = 0;
  /** Refused, and with a reason: the session itself had left rows that refer to none. */
  broken = 0;
  /** What the clients were told, by SQLSTATE. */
  readonly errors: Record<string, number> = {};
}

export function throughGateway(postgres: TestPostgres): Promise<TestGateway> {
  const environment = { ...SNAPSHOTS, HOLDFAST_UNDO_CONNECTION: postgres.url('') };
  return startGateway({ upstreamPort: postgres.port, policy: POLICY, environment });
}

export async function throughSetting(postgres: TestPostgres, gateway: TestGateway): Promise<ThroughSetting> {
  await postgres.sql(`create database ${DATABASE}`);
  const control = await RawClient.open(postgres.port, { database: DATABASE, application_name: 'control' });
  return { gateway, control };
}

export async function runThrough(
  { gateway, control }: ThroughSetting,
  script: SentScript,
  tally: ThroughTally,
): Promise<string | null> {
  await control.rows('reset all; set client_min_messages = error');
  await control.rows(script.schema.sql, 60_000);
  for (const sql of script.twinSql) await control.query(sql);
  const session = await SentSession.open(gateway, DATABASE, `through ${script.seed}`, script);
  const random = new Random(script.seed ^ 0x2545f491);
  try {
    for (const [i, group] of script.groups.entries()) {
      const found = await runGroup({ gateway, control }, script, group, session, random, tally);
      if (found === null) continue;
      if (!found.includes(BREAKS_KEY) || !WITHOUT_CHECKS.test(`${shownScript(script)} ${script.schema.sql}`))
        return `group ${i}: ${found}`;
      // From here on not all is as it was.
      tally.broken++;
      break;
    }
    tally.sessions++;
    return null;
  } finally {
    session.client.destroy();
    await control.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`);
    for (const schema of [script.schema.schema, script.twin])
      await control.query(`drop schema ${quoted(schema)} cascade`, 60_000);
  }
}

async function runGroup(
  setting: ThroughSetting,
  script: SentScript,
  { steps, alters }: Group,
  session: SentSession,
  random: Random,
  tally: ThroughTally,
): Promise<string | null> {
  for (const step of steps) {
    if (step.kind === 'elsewhere') await setting.control.query(step.sql, 60_000);
  }
  const schemas = [script.schema.schema, script.twin];
  const start = await stateOf(setting.control, schemas);
  const newest = (await snapshotsSince(setting.gateway, ''))[0] ?? '';
  for (const step of [...steps, ...ENDING]) await session.run(step, []);
  if (session.stuck !== null) return session.stuck;
  for (const { C = '' } of errorsOf(session.client.inbox.splice(0)))
    tally.errors[C] = (tally.errors[C] ?? 0) + 1;
  // What the client itself has made of the tables no undo of their rows takes back.
  if (alters) return null;
  const behind = await stateOf(setting.control, schemas);
  const taken = await snapshotsSince(setting.gateway, newest);
  tally.groups++;
  tally.snapshots += taken.length;
  if (!alike(start, behind)) tally.changing++;
  const undone = await undoAll(setting, taken, tally);
  if (typeof undone === 'string') return undone;
  const wrong = differenceOf('undone', start, await stateOf(setting.control, schemas));
  if (wrong !== null || undone.length === 0 || random.chance(0.6)) return wrong;
  const again = await undoAll(setting, undone.toReversed(), tally);
  if (typeof again === 'string') return `undoing the undo: ${again}`;
  const behindAgain = differenceOf('the undo undone', behind, await stateOf(setting.control, schemas));
  if (behindAgain !== null) return behindAgain;
  const last = await undoAll(setting, taken, tally);
  if (typeof last === 'string') return `undoing again: ${last}`;
  tally.redone++;
  return differenceOf('undone again', start, await stateOf(setting.control, schemas));
}

async function stateOf(control: RawClient, schemas: readonly string[]): Promise<string[]> {
  const all: string[] = [];
  for (const schema of schemas) all.push(...(await contents(control, schema)));
  return all;
}

function alike(a: readonly string[], b: readonly string[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function differenceOf(when: string, expected: readonly string[], found: readonly string[]): string | null {
  if (alike(expected, found)) return null;
  const without = (these: readonly string[], those: readonly string[]) => {
    const rest = [...those];
    return these.filter((row) => {
      const at = rest.indexOf(row);
      if (at >= 0) rest.splice(at, 1);
      return at < 0;
    });
  };
  const shown = (rows: readonly string[]) =>
    rows
      .slice(0, 5)
      .map((row) => row.slice(0, 300))
      .join('\n      ');
  const [missing, extra] = [without(expected, found), without(found, expected)];
  return `${when}: ${missing.length} rows are missing, and ${extra.length} are there that were not
    missing:\n      ${shown(missing)}\n    not there before:\n      ${shown(extra)}`;
}

interface Listed {
  readonly id: string;
  readonly operation: string;
}

/** Those of statements, the newest first. */
async function snapshotsSince(gateway: TestGateway, newest: string): Promise<string[]> {
  const { body } = await gateway.http('/v1/snapshots?limit=200');
  const { items } = body as { items: Listed[] };
  return items.filter(({ id, operation }) => id > newest && operation !== 'undo').map(({ id }) => id);
}

/** Why an undo may be refused although nobody else was there. */
const BREAKS_KEY = 'would break the foreign key';
const RULE = 'a rule rewrites what is done to it';
const CHECK_VIOLATION = '"23514"';

interface Undone {
  readonly undo_snapshot?: string | null;
  readonly tables?: readonly { put_back: number; set_back: number; removed: number }[];
}

/**
 * Undoes them, in this order where that can be; gives the snapshots of the undos in the order of these, or what was
 * wrong. What refers to rows that an older statement deleted without a check is put back behind those.
 */
async function undoAll(
  setting: ThroughSetting,
  ids: readonly string[],
  tally: ThroughTally,
): Promise<string[] | string> {
  const own: string[] = [];
  for (let waiting = ids, refused: string[] = []; waiting.length > 0; waiting = refused, refused = []) {
    let problem = '';
    for (const id of waiting) {
      const { status, body, text } = await undone(setting, id);
      // What was rolled back is marked in the background.
      if (status === 409 && text.includes('was rolled back')) continue;
      if (status !== 200) {
        problem ||= `${id}: ${status} ${text}`;
        refused.push(id);
        // Behind one that waits, others may be in conflict with what it would have changed.
        if (!problem.includes(BREAKS_KEY)) return problem;
        continue;
      }
      for (const each of body.tables ?? []) tally.rows += each.put_back + each.set_back + each.removed;
      if (body.undo_snapshot) own.push(body.undo_snapshot);
    }
    if (refused.length === waiting.length) return problem;
  }
  return own;
}

/** Does what an undo that is refused asks for: disables rules, and drops checks that the rows never fulfilled. */
async function undone({ gateway, control }: ThroughSetting, id: string) {
  const path = `/v1/snapshots/${id}/undo`;
  const post = async () => {
    const { status, body, text } = await gateway.http(path, { method: 'POST', body: { triggers: 'skip' } });
    return { status, text, body: body as Undone };
  };
  const first = await post();
  if (!first.text.includes(RULE) && !first.text.includes(CHECK_VIOLATION)) return first;
  const rules = await control.rows(`select format('%I.%I', schemaname, tablename), quote_ident(rulename)
    from pg_rules where rulename ~ '^r[0-9]+$'`);
  const checks = await control.rows(`select conrelid::regclass, quote_ident(conname) from pg_constraint
    where contype = 'c' and not convalidated and coninhcount = 0 and conrelid <> 0`);
  const ofRules = (what: string) =>
    rules.map(([table, rule]) => `alter table ${table} ${what} rule ${rule}`).join('; ');
  await control.rows(ofRules('disable'));
  for (const [table, check] of checks) await control.rows(`alter table ${table} drop constraint ${check}`);
  const second = await post();
  await control.rows(ofRules('enable'));
  return second;
}
