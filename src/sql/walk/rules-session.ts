import type { Risk, TransactionVerb } from '../effects.ts';
import { resetFacts } from '../facts/settings.ts';
import {
  as,
  constantText,
  type Fields,
  isObject,
  list,
  nameParts,
  options,
  relationOf,
  text,
} from '../parsing/tree.ts';
import { setting } from './rules-query.ts';
import { TRUSTED_LANGUAGES } from './rules-server.ts';
import type { Walk } from './walk.ts';

/** Statements about the session: transactions, settings, prepared statements, cursors, notifications. */

const TRANSACTIONS: Readonly<
  Record<string, readonly [verb: TransactionVerb, operation: string, risk: Risk]>
> = {
  TRANS_STMT_BEGIN: ['begin', 'begin', 'safe'],
  TRANS_STMT_START: ['begin', 'begin', 'safe'],
  TRANS_STMT_COMMIT: ['commit', 'commit', 'safe'],
  TRANS_STMT_ROLLBACK: ['rollback', 'rollback', 'safe'],
  TRANS_STMT_SAVEPOINT: ['savepoint', 'savepoint', 'safe'],
  TRANS_STMT_RELEASE: ['release', 'release', 'safe'],
  TRANS_STMT_ROLLBACK_TO: ['rollback-to', 'rollback to', 'safe'],
  TRANS_STMT_PREPARE: ['prepare', 'prepare transaction', 'low'],
  TRANS_STMT_COMMIT_PREPARED: ['commit-prepared', 'commit prepared', 'low'],
  TRANS_STMT_ROLLBACK_PREPARED: ['rollback-prepared', 'rollback prepared', 'high'],
};

export const TRANSACTION_KINDS: readonly string[] = Object.keys(TRANSACTIONS);

export function transaction(walk: Walk, fields: Fields): void {
  const known = TRANSACTIONS[String(fields['kind'])];
  if (known === undefined) return walk.unknown('a kind of transaction statement');
  const [verb, operation, risk] = known;
  walk.operation(operation, risk);
  const savepoint = text(fields['savepoint_name']);
  walk.effect({ kind: 'transaction', verb, ...(savepoint === null ? {} : { savepoint }) });
  transactionModes(walk, fields['options']);
}

/** A mode can only be stricter than the default or set the session's protection aside. */
function transactionModes(walk: Walk, modes: unknown): void {
  for (const { name, arg } of options(modes)) {
    if (name !== 'transaction_read_only') continue;
    const value = constantText(arg) ?? '0';
    walk.effect({ kind: 'set', name, value: value === '0' ? 'off' : 'on', local: true });
    if (value === '0') walk.raise('low', 'lets the transaction write');
  }
}

export function variableSet(walk: Walk, fields: Fields): void {
  walk.notes.literalsRead = true;
  const name = String(fields['name'] ?? '');
  switch (fields['kind']) {
    case 'VAR_SET_VALUE':
      walk.operation('set', 'safe');
      walk.visit(list(fields['args']).filter((arg) => as(arg, 'A_Const') === null));
      return setting(walk, name, argumentText(name, list(fields['args'])), fields['is_local'] === true);
    case 'VAR_SET_MULTI':
      return setMulti(walk, name, fields);
    case 'VAR_SET_CURRENT':
      walk.operation('set', 'safe');
      return setting(walk, name, null, fields['is_local'] === true);
    case 'VAR_SET_DEFAULT':
    case 'VAR_RESET':
      walk.operation(fields['kind'] === 'VAR_RESET' ? 'reset' : 'set', 'safe');
      walk.raise(resetFacts(name).risk, `${resetFacts(name).reason} (${name})`);
      walk.effect({ kind: 'reset', name: name.toLowerCase() });
      return;
    case 'VAR_RESET_ALL':
      walk.operation('reset', 'safe');
      walk.effect({ kind: 'reset', name: null });
      return;
    default:
      walk.unknown('a kind of SET');
  }
}

function setMulti(walk: Walk, name: string, fields: Fields): void {
  walk.operation('set transaction', 'safe');
  if (name === 'TRANSACTION SNAPSHOT') {
    walk.effect({ kind: 'set', name: 'transaction_snapshot', value: null, local: true });
    return walk.raise('low', 'takes a snapshot of another session');
  }
  if (name === 'TRANSACTION') return transactionModes(walk, fields['args']);
  if (name !== 'SESSION CHARACTERISTICS') return walk.unknown('a kind of SET');
  for (const { name: mode, arg } of options(fields['args'])) {
    const value = constantText(arg) ?? '';
    const on = value === '1' ? 'on' : value === '0' ? 'off' : value;
    setting(walk, mode.replace(/^transaction_/, 'default_transaction_'), on, false);
  }
}

/** The value as PostgreSQL would show it; null where one argument is more than a constant. */
function argumentText(name: string, args: readonly unknown[]): string | null {
  const values = args.map(constantText);
  if (values.some((value) => value === null)) return null;
  if (name.toLowerCase() !== 'search_path' && values.length === 1) return values[0] ?? null;
  return values.map((value) => quoteIdentifier(value ?? '')).join(', ');
}

function quoteIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

export function discard(walk: Walk, fields: Fields): void {
  const targets = {
    DISCARD_ALL: 'all',
    DISCARD_PLANS: 'plans',
    DISCARD_SEQUENCES: 'sequences',
    DISCARD_TEMP: 'temp',
  } as const;
  const target = targets[fields['target'] as keyof typeof targets];
  if (target === undefined) return walk.unknown('a kind of DISCARD');
  walk.operation('discard', target === 'all' || target === 'temp' ? 'low' : 'safe', 'drops temporary tables');
  walk.effect({ kind: 'discard', target });
}

/** What is prepared does not run yet: its effects are kept for the EXECUTE that runs it. */
export function prepare(walk: Walk, fields: Fields): void {
  walk.operation('prepare', 'safe');
  walk.visit(fields['argtypes']);
  const inner = walk.apart();
  // Whatever is given for the parameters is cast when it runs.
  for (const type of list(fields['argtypes'])) inner.castTo(nameParts(as(type, 'TypeName')?.['names']));
  inner.visit(fields['query']);
  const effects = inner.finish(-1, -1);
  walk.effect({ kind: 'prepare', name: String(fields['name'] ?? ''), effects });
}

/** The text does not tell what runs; whoever knows the session's statements may. */
export function execute(walk: Walk, fields: Fields): void {
  walk.operation('execute', 'safe');
  walk.visit(fields['params']);
  const ownRisk = walk.risk;
  walk.raise('critical', EXECUTES_UNKNOWN);
  walk.effect({ kind: 'execute', name: String(fields['name'] ?? ''), ownRisk });
}

/** The reason that goes away once it is known what is executed. */
export const EXECUTES_UNKNOWN = 'runs a prepared statement that the text does not show';

export function deallocate(walk: Walk, fields: Fields): void {
  walk.operation('deallocate', 'safe');
  walk.effect({ kind: 'deallocate', name: text(fields['name']) });
}

export function declareCursor(walk: Walk, fields: Fields): void {
  walk.operation('declare cursor', 'safe');
  walk.effect({ kind: 'declare-cursor', name: String(fields['portalname'] ?? '') });
  walk.visit(fields['query']);
}

export function closePortal(walk: Walk, fields: Fields): void {
  walk.operation('close', 'safe');
  walk.effect({ kind: 'close-cursor', name: text(fields['portalname']) });
}

export function fetch(walk: Walk, fields: Fields): void {
  walk.operation(fields['ismove'] === true ? 'move' : 'fetch', 'safe');
}

/** Without ANALYZE it still plans, and planning runs functions: whatever the statement calls counts. */
export function explain(walk: Walk, fields: Fields): void {
  const runs = options(fields['options']).some(({ name, arg }) => name === 'analyze' && isOn(arg));
  walk.notes.literalsRead = true;
  if (runs) {
    walk.operation('explain analyze', 'safe');
    walk.visit(fields['query']);
    return;
  }
  walk.operation('explain', 'safe');
  walk.plan(fields['query']);
}

function isOn(arg: unknown): boolean {
  const value = constantText(arg);
  return value === null || !['false', 'off', '0'].includes(value.toLowerCase());
}

export function show(walk: Walk): void {
  walk.operation('show', 'safe');
}

export function notify(walk: Walk): void {
  walk.operation('notify', 'low', 'notifies other sessions');
}

export function listen(walk: Walk): void {
  walk.operation('listen', 'safe');
}

export function unlisten(walk: Walk): void {
  walk.operation('unlisten', 'safe');
}

export function constraintsSet(walk: Walk): void {
  walk.operation('set constraints', 'safe');
}

export function lock(walk: Walk, fields: Fields): void {
  // ACCESS SHARE to SHARE UPDATE EXCLUSIVE let others write; the rest do not.
  const strong = Number(fields['mode'] ?? 8) > 4;
  walk.operation('lock', strong ? 'high' : 'low', 'locks a table');
  walk.visit(fields['relations']);
}

export function doBlock(walk: Walk, fields: Fields): void {
  walk.notes.literalsRead = true;
  const language = options(fields['args']).find(({ name }) => name === 'language');
  const named = constantText(language?.arg)?.toLowerCase() ?? 'plpgsql';
  if (!TRUSTED_LANGUAGES.has(named)) walk.raise('forbidden', `runs code in the language ${named}`);
  walk.operation('do', 'high', 'runs a block of code');
  walk.opaque('high', 'runs a block of code');
}

export function call(walk: Walk, fields: Fields): void {
  walk.operation('call', 'high', 'calls a procedure');
  walk.opaque('high', 'calls a procedure');
  walk.visitAs('FuncCall', fields['funccall']);
}

export function copy(walk: Walk, fields: Fields): void {
  walk.notes.literalsRead = true;
  const direction = fields['is_from'] === true ? 'from' : 'to';
  const relation = relationOf(fields['relation']);
  const filename = text(fields['filename']);
  if (fields['is_program'] === true) {
    walk.operation(`copy ${direction} program`, 'forbidden', 'runs a program on the server');
  } else if (filename !== null) {
    walk.operation(`copy ${direction} file`, 'forbidden', 'reads or writes a file of the server');
  } else if (direction === 'from') walk.operation('copy from', 'low', 'inserts rows');
  else walk.operation('copy to', 'safe');
  if (direction === 'from') walk.write(relation);
  else walk.read(relation);
  if (relation !== null) {
    const columns = list(fields['attlist']).map(constantText);
    for (const column of columns.length === 0 ? ['*'] : columns) walk.column(relation, column ?? '*');
    walk.scope.addSource(relation.name, relation);
  }
  walk.descend('CopyStmt', fields, ['relation', 'attlist', 'options']);
}

export function createTableAs(walk: Walk, fields: Fields): void {
  const isView = fields['objtype'] === 'OBJECT_MATVIEW';
  const into = isObject(fields['into']) ? fields['into'] : {};
  walk.operation(isView ? 'create materialized view' : 'create table as', 'low', 'creates a table');
  walk.write(relationOf(into['rel']));
  walk.schemaChange();
  walk.descend('IntoClause', into, ['rel']);
  walk.visit(fields['query']);
}
