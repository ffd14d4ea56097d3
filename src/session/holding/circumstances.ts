import { createHash } from 'node:crypto';
import { ALL_OBJECTS } from '../../catalog/all-objects.ts';
import { OID_ARRAY_OID, oidArray, TEXT_ARRAY_OID, textArray } from '../../catalog/array-parameter.ts';
import type { AskedName, Catalog } from '../../catalog/catalog.ts';
import { type CalledFunctions, type CodeBehind, codeBehind, settingsIn } from '../../catalog/code-behind.ts';
import type { HiddenConnection, HiddenQuery } from '../../catalog/connection.ts';
import { textColumns } from '../../catalog/row.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { Analysis } from '../../sql/effects.ts';
import { encodeFlush } from '../../wire/frontend.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { mayEndSegment, mayOweNothing, segmentFits, untilSegmentFits } from '../hidden/segment-fits.ts';
import type { SessionState } from '../state.ts';
import { type PreparedForCode, preparedForCode, sendsExecute } from './code-prepared.ts';
import type { Sent, TextsSent } from './sent.ts';

/** What decides, besides its text, what a statement does when it runs; null where the server was not asked. */
export interface Circumstances {
  readonly runsAs: string | null;
  readonly searchPath: string | null;
  readonly schemaSha256: string | null;
  /** The name of the function that a FunctionCall runs; null where it is none. */
  readonly called: string | null;
  /** Whether it may read a setting of which nobody can tell which. */
  readonly readsUnknownSetting: boolean;
  /** Prepared statements that its code may run; null where the gateway cannot tell which. */
  readonly prepared: PreparedForCode | null;
  /** How long the server lets the session be idle outside of a transaction; null for as long as it likes. */
  readonly idleMs: number | null;
}

const UNKNOWN: Circumstances = {
  runsAs: null,
  searchPath: null,
  schemaSha256: null,
  called: null,
  readsUnknownSetting: false,
  prepared: [],
  idleMs: null,
};

const FLUSH = encodeFlush();

/** What may not stand in one transaction with a query of ours. */
const ALONE =
  /^(?:unknown|vacuum|cluster|reindex|(?:create|drop|alter) (?:database|tablespace|subscription)|alter system)$/;
const MAY_BE_CONCURRENT = /^(?:create index|drop index|alter table)$/;
const CONCURRENTLY = /\bconcurrently\b/i;

/** Settings that change what a text does, and that some versions of the server do not have. */
const MORE_SETTINGS =
  `array_nulls xmloption xmlbinary timezone_abbreviations gin_fuzzy_search_limit password_encryption
  default_tablespace default_table_access_method default_toast_compression check_function_bodies createrole_self_grant
  restrict_nonsystem_relation_kind allow_system_table_mods event_triggers lo_compat_privileges`.split(/\s+/);

const SETTINGS = `SELECT CURRENT_USER, pg_catalog.current_setting('search_path'),
  pg_catalog.current_setting('idle_session_timeout', true), pg_catalog.current_setting('session_replication_role'),
  pg_catalog.current_setting('row_security'), pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('TimeZone'),
  pg_catalog.current_setting('IntervalStyle'), pg_catalog.current_setting('extra_float_digits'), pg_catalog.current_setting('bytea_output'),
  pg_catalog.current_setting('default_text_search_config'), pg_catalog.current_setting('transform_null_equals'),
  pg_catalog.current_setting('lc_monetary'), pg_catalog.current_setting('lc_numeric'), pg_catalog.current_setting('lc_time'),
  SESSION_USER, coalesce(pg_catalog.current_setting('plpgsql.variable_conflict', true), 'error'),
  (SELECT pg_catalog.string_agg(pg_catalog.concat(s.name, '=', pg_catalog.current_setting(s.name, true)), ' ' ORDER BY s.name)
     FROM pg_catalog.unnest('{${MORE_SETTINGS}}'::pg_catalog.text[]) s(name)),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', p.oid, p.xmin, p.ctid), ',' ORDER BY p.oid))
     FROM pg_catalog.pg_proc p
    WHERE p.oid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.oid[])
       OR p.proname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]::pg_catalog.name[])),
  (SELECT pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid))
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    WHERE p.oid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.oid[]) LIMIT 1)`;

/**
 * Asks the server on the session's own connection, while the client's stream waits and before anything of the
 * statement is sent. What is under way is answered first. Rejects where the server refuses, as with the statement itself.
 */
export async function readCircumstances(
  state: SessionState,
  hidden: HiddenQueries,
  catalog: Catalog | null,
  analysis: Analysis,
  read: Analysis,
  sent: Sent | null,
  texts: TextsSent,
): Promise<Circumstances> {
  if (catalog === null) return UNKNOWN;
  const text = sent?.text ?? null;
  await untilSegmentFits(state);
  if (state.replies.segmentOpen && runsAlone(analysis, text)) {
    await untilAnswered(state);
    if (!state.owesNothing() || state.discarding || state.fatal || !mayEndSegment(state)) return UNKNOWN;
    await hidden.endSegment();
  }
  const inSegment = state.replies.segmentOpen;
  if (state.copyingIn || state.discarding || !segmentFits(state) || state.transactionStatus === 'E')
    return UNKNOWN;
  // A Sync of ours would end the block that is none.
  if (state.inImplicitBlock && !inSegment) return UNKNOWN;
  const connection = hidden.ending(inSegment ? 'flush' : 'sync');
  const called: CalledFunctions = {
    firesOnSchema: changesSchema(analysis),
    names: functionsOf(analysis),
    oids: sent?.call === undefined ? [] : [sent.call.functionOid],
    code: bringsCode(analysis) ? [texts.text, ...texts.executed] : [],
  };
  const settings = readSettings(connection, called);
  settings.catch(() => {});
  const asked = settingsIn(texts, (sent?.bound ?? null) !== null, called.names);
  const tables = readTables(connection, catalog, state.facts.database, analysis, asked.names, called);
  tables.catch(() => {});
  const all = takesAlong(analysis, text) ? readAllObjects(connection) : Promise.resolve([]);
  all.catch(() => {});
  const told = [...(await settings)];
  const name = told.pop() ?? null;
  const [runsAs, searchPath, idle, ...rest] = told;
  const { seen, code } = await tables;
  const runsTexts = code.runsTexts || sendsExecute(read, sent, texts);
  const schema = JSON.stringify([rest, seen, code.versions, await all]);
  return {
    runsAs: runsAs ?? null,
    searchPath: searchPath ?? null,
    schemaSha256: createHash('sha256').update(schema).digest('hex'),
    called: name,
    readsUnknownSetting: asked.isUnknown || code.readsUnknownSetting,
    prepared: runsTexts ? await preparedForCode(state, connection, sent) : [],
    idleMs: idleMsOf(idle ?? null),
  };
}

/** What has all that it changes in its text, where that does not say CASCADE. */
const NAMES_ALL =
  /^(?:drop|alter) (?:table|view|materialized view|index|sequence|trigger|policy|rule|statistics|foreign table)$/;
const TAKES_ALONG = /^(?:drop|alter|grant|revoke|reassign|unknown)\b/;
const CASCADES = /cascade/i;

/** Whether it may concern objects that its text does not name. */
function takesAlong({ statements }: Analysis, text: string | null): boolean {
  const mayCascade = text === null || CASCADES.test(text);
  return statements.some(({ operations }) =>
    operations.some((one) => TAKES_ALONG.test(one) && (mayCascade || !NAMES_ALL.test(one))),
  );
}

async function readAllObjects(connection: HiddenConnection): Promise<readonly (string | null)[]> {
  let told: readonly (string | null)[] = [];
  await connection.run(plainQuery(ALL_OBJECTS), (row) => {
    told = textColumns(row);
  });
  return told;
}

/** A word in a comment makes nothing of it but that the segment is ended. */
function runsAlone({ statements }: Analysis, text: string | null): boolean {
  const mayBeConcurrent = text === null || CONCURRENTLY.test(text);
  return statements.some(({ operations }) =>
    operations.some((one) => ALONE.test(one) || (mayBeConcurrent && MAY_BE_CONCURRENT.test(one))),
  );
}

/** Waits for what has been sent in the client's segment. */
async function untilAnswered(state: SessionState): Promise<void> {
  const isOver = () =>
    state.owesNothing() || state.discarding || state.fatal || state.copyingIn || mayOweNothing(state);
  if (isOver()) return;
  state.upstream.write(FLUSH);
  while (!isOver()) await state.untilAnswered();
}

async function readSettings(
  connection: HiddenConnection,
  called: CalledFunctions,
): Promise<readonly (string | null)[]> {
  const query: HiddenQuery = {
    sql: SETTINGS,
    parameterTypes: [TEXT_ARRAY_OID, OID_ARRAY_OID],
    parameters: [textArray(called.names), oidArray(called.oids)],
    parameterFormats: [1, 1],
    resultFormats: [],
  };
  let told: readonly (string | null)[] = [];
  await connection.run(query, (row) => {
    told = textColumns(row);
  });
  return told;
}

function functionsOf({ statements }: Analysis): readonly string[] {
  return [...new Set(statements.flatMap(({ functions }) => functions.flatMap(mayBeNamed)))];
}

/** A schema may stand in front of the name, and either may hold dots. */
function mayBeNamed(name: string): readonly string[] {
  const parts = name.split('.');
  return parts.map((_, i) => parts.slice(i).join('.'));
}

/** What makes or alters nothing by itself; code that it runs may. */
const ROWS_ONLY = /^(?:select|values|table|insert|update|delete|merge|truncate|copy (?:from|to))$/;

/** Whether event triggers may fire. */
function changesSchema({ statements }: Analysis): boolean {
  return statements.some(
    ({ operations, session }) =>
      operations.some((one) => !ROWS_ONLY.test(one)) || session.some(({ kind }) => kind === 'opaque-code'),
  );
}

function bringsCode({ status, statements }: Analysis): boolean {
  return status !== 'parsed' || statements.some(({ operations }) => operations.includes('do'));
}

async function readTables(
  connection: HiddenConnection,
  catalog: Catalog,
  scope: string,
  analysis: Analysis,
  settings: readonly string[],
  called: CalledFunctions,
): Promise<{ readonly seen: readonly unknown[]; readonly code: CodeBehind }> {
  const relations = new Map<string, AskedName>();
  for (const { reads, writes } of analysis.statements)
    for (const { schema, name } of [...reads, ...writes])
      relations.set(JSON.stringify([schema, name]), { schema, name });
  if (relations.size === 0) return { seen: [], code: await codeBehind(connection, [], settings, called) };
  const question = { scope, relations: [...relations.values()], allReferrers: true, functions: [] };
  const { roots, basis } = await catalog.ask(connection, question);
  const found = roots.filter((oid) => oid !== null);
  const code = await codeBehind(connection, found, settings, called);
  return { seen: [roots, basis.fingerprint], code };
}

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** As the server writes a time; 0 is none. */
function idleMsOf(text: string | null): number | null {
  const [, amount, unit] = /^(\d+)(ms|s|min|h|d)?$/.exec(text ?? '') ?? [];
  const ms = Number(amount ?? 0) * UNITS_MS[unit ?? 'ms']!;
  return ms > 0 ? ms : null;
}
