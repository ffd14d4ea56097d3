/**
 * Every operation that the analysis of SQL names, so that a policy with a misspelt one is refused rather than
 * silently never matching. A test holds this list to what the analysis yields.
 */
export const OPERATIONS: readonly string[] = [
  ...['select', 'values', 'table', 'insert', 'update', 'delete', 'merge', 'truncate', 'select into'],
  ...['copy from', 'copy to', 'copy from file', 'copy to file', 'copy from program', 'copy to program'],
  ...['call', 'do', 'execute', 'prepare', 'deallocate', 'explain', 'explain analyze', 'function call'],
  ...['begin', 'start transaction', 'commit', 'rollback', 'savepoint', 'release', 'rollback to'],
  ...['prepare transaction', 'commit prepared', 'rollback prepared', 'set', 'reset', 'show', 'set role'],
  ...['set session authorization', 'set constraints', 'discard', 'listen', 'notify', 'unlisten', 'lock'],
  ...['declare cursor', 'fetch', 'move', 'close', 'vacuum', 'analyze', 'cluster', 'reindex', 'checkpoint'],
  ...['comment', 'security label', 'grant', 'revoke', 'grant role', 'revoke role', 'reassign owned'],
  ...[
    'alter default privileges',
    'alter system',
    'alter database',
    'alter role',
    'alter table',
    'alter view',
  ],
  ...['create table', 'create table as', 'create view', 'create index', 'create sequence', 'create schema'],
  ...['create function', 'create procedure', 'create trigger', 'create rule', 'create policy', 'create type'],
  ...['create domain', 'create extension', 'create role', 'create database', 'create materialized view'],
  ...['drop table', 'drop view', 'drop index', 'drop sequence', 'drop schema', 'drop function', 'drop type'],
  ...['drop procedure', 'drop trigger', 'drop rule', 'drop policy', 'drop domain', 'drop extension'],
  ...['drop role', 'drop database', 'drop materialized view', 'drop owned', 'refresh materialized view'],
  ...['load', 'import foreign schema', 'replication', 'empty', 'unknown'],
];
