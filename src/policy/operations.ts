/**
 * Every operation that a policy may name: those that the analysis of SQL yields, and the same verbs for the
 * other kinds of objects. A misspelt one is refused, where it would silently never match.
 */

const OBJECTS = [
  ...['access method', 'aggregate', 'cast', 'collation', 'column', 'constraint', 'conversion', 'database'],
  ...[
    'default privileges',
    'domain',
    'domain constraint',
    'event trigger',
    'extension',
    'foreign data wrapper',
  ],
  ...['foreign table', 'function', 'index', 'language', 'large object', 'materialized view', 'operator'],
  ...['operator class', 'operator family', 'operator family member', 'policy', 'procedure', 'publication'],
  ...['role', 'routine', 'rule', 'schema', 'sequence', 'server', 'statistics', 'subscription', 'table'],
  ...['tablespace', 'text search configuration', 'text search dictionary', 'text search parser'],
  ...['text search template', 'transform', 'trigger', 'type', 'user mapping', 'view', 'attribute', 'default'],
];

export const OPERATIONS: readonly string[] = [
  ...['select', 'insert', 'upsert', 'update', 'delete', 'merge', 'truncate', 'select into', 'lock'],
  ...['copy from', 'copy to', 'copy from file', 'copy to file', 'copy from program', 'copy to program'],
  ...['call', 'do', 'prepare', 'execute', 'deallocate', 'explain', 'explain analyze', 'function call'],
  ...['begin', 'commit', 'rollback', 'savepoint', 'release', 'rollback to', 'prepare transaction'],
  ...['commit prepared', 'rollback prepared', 'set', 'reset', 'show', 'set transaction', 'set constraints'],
  ...['set role', 'set session authorization', 'discard', 'listen', 'notify', 'unlisten', 'declare cursor'],
  ...['fetch', 'move', 'close', 'vacuum', 'analyze', 'cluster', 'reindex', 'checkpoint', 'load', 'comment'],
  ...['security label', 'grant', 'revoke', 'grant role', 'revoke role', 'drop owned', 'reassign owned'],
  ...['alter system', 'create table as', 'refresh materialized view', 'import foreign schema', 'replication'],
  ...OBJECTS.flatMap((object) => [`create ${object}`, `alter ${object}`, `drop ${object}`]),
  ...['empty', 'unknown'],
];
