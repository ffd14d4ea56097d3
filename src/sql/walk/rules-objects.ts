import type { Risk } from '../effects.ts';
import { catalogFunction } from '../facts/functions.ts';
import {
  as,
  type Fields,
  list,
  type NodeName,
  nameParts,
  options,
  relationOf,
  relationOfParts,
  stringOf,
  text,
} from '../parsing/tree.ts';
import type { Walk } from './walk.ts';

/** DROP, ALTER … RENAME and the like: statements that go by the kind of object they name. */

/** How the names of a kind of object are written: what of them is a relation, a schema, or neither. */
type Naming = 'relation' | 'relation-member' | 'schema' | 'qualified' | 'plain';

const OBJECTS: Readonly<Record<string, readonly [words: string, naming: Naming]>> = {
  OBJECT_ACCESS_METHOD: ['access method', 'plain'],
  OBJECT_AGGREGATE: ['aggregate', 'qualified'],
  OBJECT_AMOP: ['operator family member', 'qualified'],
  OBJECT_AMPROC: ['operator family member', 'qualified'],
  OBJECT_ATTRIBUTE: ['attribute', 'relation'],
  OBJECT_CAST: ['cast', 'plain'],
  OBJECT_COLUMN: ['column', 'relation-member'],
  OBJECT_COLLATION: ['collation', 'qualified'],
  OBJECT_CONVERSION: ['conversion', 'qualified'],
  OBJECT_DATABASE: ['database', 'schema'],
  OBJECT_DEFAULT: ['default', 'plain'],
  OBJECT_DEFACL: ['default privileges', 'plain'],
  OBJECT_DOMAIN: ['domain', 'qualified'],
  OBJECT_DOMCONSTRAINT: ['domain constraint', 'plain'],
  OBJECT_EVENT_TRIGGER: ['event trigger', 'plain'],
  OBJECT_EXTENSION: ['extension', 'plain'],
  OBJECT_FDW: ['foreign data wrapper', 'plain'],
  OBJECT_FOREIGN_SERVER: ['server', 'plain'],
  OBJECT_FOREIGN_TABLE: ['foreign table', 'relation'],
  OBJECT_FUNCTION: ['function', 'qualified'],
  OBJECT_INDEX: ['index', 'relation'],
  OBJECT_LANGUAGE: ['language', 'plain'],
  OBJECT_LARGEOBJECT: ['large object', 'plain'],
  OBJECT_MATVIEW: ['materialized view', 'relation'],
  OBJECT_OPCLASS: ['operator class', 'plain'],
  OBJECT_OPERATOR: ['operator', 'qualified'],
  OBJECT_OPFAMILY: ['operator family', 'plain'],
  OBJECT_PARAMETER_ACL: ['parameter', 'plain'],
  OBJECT_POLICY: ['policy', 'relation-member'],
  OBJECT_PROCEDURE: ['procedure', 'qualified'],
  OBJECT_PUBLICATION: ['publication', 'plain'],
  OBJECT_PUBLICATION_NAMESPACE: ['publication', 'plain'],
  OBJECT_PUBLICATION_REL: ['publication', 'plain'],
  OBJECT_ROLE: ['role', 'plain'],
  OBJECT_ROUTINE: ['routine', 'qualified'],
  OBJECT_RULE: ['rule', 'relation-member'],
  OBJECT_SCHEMA: ['schema', 'schema'],
  OBJECT_SEQUENCE: ['sequence', 'relation'],
  OBJECT_SUBSCRIPTION: ['subscription', 'plain'],
  OBJECT_STATISTIC_EXT: ['statistics', 'qualified'],
  OBJECT_TABCONSTRAINT: ['constraint', 'relation-member'],
  OBJECT_TABLE: ['table', 'relation'],
  OBJECT_TABLESPACE: ['tablespace', 'plain'],
  OBJECT_TRANSFORM: ['transform', 'plain'],
  OBJECT_TRIGGER: ['trigger', 'relation-member'],
  OBJECT_TSCONFIGURATION: ['text search configuration', 'qualified'],
  OBJECT_TSDICTIONARY: ['text search dictionary', 'qualified'],
  OBJECT_TSPARSER: ['text search parser', 'qualified'],
  OBJECT_TSTEMPLATE: ['text search template', 'qualified'],
  OBJECT_TYPE: ['type', 'qualified'],
  OBJECT_USER_MAPPING: ['user mapping', 'plain'],
  OBJECT_VIEW: ['view', 'relation'],
};

export const OBJECT_KINDS: readonly string[] = Object.keys(OBJECTS);

/** The words for an object type; the statement is unknown where the type is. */
function objectKind(walk: Walk, type: unknown): readonly [string, Naming] {
  const known = OBJECTS[String(type)];
  if (known === undefined) walk.unknown('a kind of object');
  return known ?? ['object', 'plain'];
}

function touch(walk: Walk, object: unknown, naming: Naming): void {
  const withArgs = as(object, 'ObjectWithArgs');
  const parts = nameParts(withArgs === null ? object : withArgs['objname']);
  if (naming === 'relation') walk.write(relationOfParts(parts));
  else if (naming === 'relation-member') {
    const relation = relationOfParts(parts.slice(0, -1));
    walk.write(relation);
    if (relation !== null) walk.column(relation, parts.at(-1) ?? '*');
  } else if (naming === 'schema') walk.guard(parts.at(-1) ?? null);
  else if (naming === 'qualified') {
    walk.guard(as(object, 'TypeName') === null ? (parts.at(-2) ?? null) : null);
    walk.visit(object);
  }
}

export function drop(walk: Walk, fields: Fields): void {
  const [words, naming] = objectKind(walk, fields['removeType']);
  const cascade = fields['behavior'] === 'DROP_CASCADE';
  walk.operation(`drop ${words}`, 'critical', `drops a ${words}${cascade ? ' and what depends on it' : ''}`);
  walk.schemaChange();
  for (const object of list(fields['objects'])) touch(walk, object, naming);
}

/** The command that renames a part is that of what it is a part of: ALTER TABLE … RENAME COLUMN. */
function renamingCommand(walk: Walk, fields: Fields): string {
  switch (fields['renameType']) {
    case 'OBJECT_COLUMN':
    case 'OBJECT_ATTRIBUTE':
      return objectKind(walk, fields['relationType'])[0];
    case 'OBJECT_TABCONSTRAINT':
      return 'table';
    case 'OBJECT_DOMCONSTRAINT':
      return 'domain';
    default:
      return objectKind(walk, fields['renameType'])[0];
  }
}

export function rename(walk: Walk, fields: Fields): void {
  const [words] = objectKind(walk, fields['renameType']);
  walk.operation(`alter ${renamingCommand(walk, fields)}`, 'high', `renames a ${words}`);
  renamed(walk, fields);
  if (fields['renameType'] === 'OBJECT_COLUMN' || fields['renameType'] === 'OBJECT_ATTRIBUTE') {
    const relation = relationOf(fields['relation']);
    for (const name of [text(fields['subname']), text(fields['newname'])]) {
      if (name !== null) walk.column(relation, name);
    }
  }
  if (fields['renameType'] === 'OBJECT_SCHEMA' || fields['renameType'] === 'OBJECT_DATABASE') {
    walk.guard(text(fields['subname']));
    walk.guard(text(fields['newname']));
  }
}

function renamed(walk: Walk, fields: Fields): void {
  walk.schemaChange();
  walk.write(relationOf(fields['relation']));
  const parts = nameParts(as(fields['object'], 'ObjectWithArgs')?.['objname'] ?? fields['object']);
  walk.guard(parts.at(-2) ?? null);
}

export function moveToSchema(walk: Walk, fields: Fields): void {
  const [words] = objectKind(walk, fields['objectType']);
  walk.operation(`alter ${words}`, 'high', `moves a ${words} to another schema`);
  renamed(walk, fields);
  walk.guard(text(fields['newschema']));
}

export function changeOwner(walk: Walk, fields: Fields): void {
  const [words, naming] = objectKind(walk, fields['objectType']);
  walk.operation(`alter ${words}`, 'high', 'changes an owner');
  renamed(walk, fields);
  if (fields['object'] !== undefined) touch(walk, fields['object'], naming);
}

export function dependsOn(walk: Walk, fields: Fields): void {
  const [words] = objectKind(walk, fields['objectType']);
  walk.operation(`alter ${words}`, 'high', 'lets an extension drop it');
  renamed(walk, fields);
}

export function comment(walk: Walk, fields: Fields): void {
  annotate(walk, fields, 'comment', 'low', 'changes a comment');
}

export function securityLabel(walk: Walk, fields: Fields): void {
  annotate(walk, fields, 'security label', 'high', 'changes a security label');
}

function annotate(walk: Walk, fields: Fields, operation: string, risk: Risk, reason: string): void {
  const [, naming] = objectKind(walk, fields['objtype']);
  walk.operation(operation, risk, reason);
  touch(walk, fields['object'], naming);
}

/** One of the same name for other types is chosen where their arguments fit better, and the text of a read tells nothing. */
export const OVERLOADS = "makes a function that may be taken for one of PostgreSQL's own";

export function isCatalogFunction(parts: readonly string[]): boolean {
  return catalogFunction(parts.at(-1) ?? '') !== undefined;
}

const DEFINITIONS: ReadonlySet<string> = new Set([
  'OBJECT_AGGREGATE',
  'OBJECT_OPERATOR',
  'OBJECT_TYPE',
  'OBJECT_TSPARSER',
  'OBJECT_TSDICTIONARY',
  'OBJECT_TSTEMPLATE',
  'OBJECT_TSCONFIGURATION',
  'OBJECT_COLLATION',
]);

/** CREATE AGGREGATE, OPERATOR, TYPE and others: they name functions, which then run wherever they are used. */
export function define(walk: Walk, fields: Fields): void {
  const [words] = objectKind(walk, fields['kind']);
  if (!DEFINITIONS.has(String(fields['kind']))) walk.unknown('a kind of definition');
  const names = nameParts(fields['defnames']);
  walk.operation(`create ${words}`, 'low', `creates a ${words}`);
  if (fields['kind'] === 'OBJECT_OPERATOR') walk.raise('high', 'makes code run wherever an operator is used');
  if (fields['kind'] === 'OBJECT_AGGREGATE' && isCatalogFunction(names)) walk.raise('high', OVERLOADS);
  if (fields['replace'] === true) walk.raise('high', `replaces a ${words}`);
  walk.guard(names.at(-2) ?? null);
  walk.schemaChange();
  // The functions of a base type are C code, and those of a text search parser and template as well.
  const options_ = options(fields['definition']);
  const isBaseType = fields['kind'] === 'OBJECT_TYPE' && options_.length > 0;
  if (isBaseType || ['OBJECT_TSPARSER', 'OBJECT_TSTEMPLATE'].includes(String(fields['kind']))) {
    walk.raise('forbidden', 'binds code of the server to a name');
  }
}

export function grant(walk: Walk, fields: Fields): void {
  const verb = fields['is_grant'] === true ? 'grant' : 'revoke';
  walk.operation(verb, 'high', 'changes privileges');
  if (fields['targtype'] === 'ACL_TARGET_DEFAULTS') return;
  const [, naming] = objectKind(walk, fields['objtype']);
  if (fields['objtype'] === 'OBJECT_PARAMETER_ACL')
    walk.raise('critical', 'lets a role change settings of the server');
  for (const object of list(fields['objects'])) {
    const relation = as(object, 'RangeVar');
    if (relation !== null) walk.write(relationOf(relation));
    else if (fields['targtype'] === 'ACL_TARGET_ALL_IN_SCHEMA') walk.guard(stringOf(object));
    else if (naming === 'schema') walk.guard(stringOf(object));
    else walk.guard(nameParts(as(object, 'ObjectWithArgs')?.['objname'] ?? object).at(-2) ?? null);
  }
}

export function reindex(walk: Walk, fields: Fields): void {
  const kinds = ['INDEX', 'TABLE', 'SCHEMA', 'SYSTEM', 'DATABASE'].map((kind) => `REINDEX_OBJECT_${kind}`);
  if (!kinds.includes(String(fields['kind']))) walk.unknown('a kind of REINDEX');
  walk.operation('reindex', 'high', 'locks a table while it rebuilds indexes');
  walk.write(relationOf(fields['relation']));
  walk.guard(text(fields['name']));
}

/** The subtype is a letter: T default, N and O null, C add, X drop and V validate a constraint. */
export function alterDomain(walk: Walk, fields: Fields): void {
  const additive = ['T', 'N', 'O', 'C', 'V'].includes(String(fields['subtype']));
  walk.operation('alter domain', additive ? 'high' : 'critical', 'changes a domain');
  walk.schemaChange();
  walk.guard(nameParts(fields['typeName']).at(-2) ?? null);
  walk.visit(fields['def']);
}

/** What its CHECK calls runs wherever a value is cast to it. */
export function createDomain(walk: Walk, fields: Fields): void {
  walk.notes.literalsRead = true;
  walk.operation('create domain', 'low', 'creates a domain');
  walk.schemaChange();
  walk.guardAll(fields);
  walk.visit(fields['constraints']);
}

export function createSchema(walk: Walk, fields: Fields): void {
  walk.operation('create schema', 'low', 'creates a schema');
  walk.schemaChange();
  walk.guard(text(fields['schemaname']));
  walk.visit(fields['schemaElts']);
}

/** Statements that are one operation whatever they name, and the risk of it. */
const FIXED: Readonly<Partial<Record<NodeName, readonly [operation: string, risk: Risk, reason: string]>>> = {
  AlterCollationStmt: ['alter collation', 'high', 'changes a collation'],
  AlterTableSpaceOptionsStmt: ['alter tablespace', 'high', 'changes a tablespace'],
  AlterTableMoveAllStmt: ['alter table', 'high', 'moves many tables'],
  CreateTableSpaceStmt: ['create tablespace', 'forbidden', 'uses a directory of the server'],
  DropTableSpaceStmt: ['drop tablespace', 'critical', 'drops a tablespace'],
  CreateExtensionStmt: ['create extension', 'forbidden', 'loads code into the server'],
  AlterExtensionStmt: ['alter extension', 'forbidden', 'loads code into the server'],
  AlterExtensionContentsStmt: ['alter extension', 'critical', 'changes what an extension owns'],
  CreateFdwStmt: ['create foreign data wrapper', 'forbidden', 'binds code of the server to a name'],
  AlterFdwStmt: ['alter foreign data wrapper', 'forbidden', 'binds code of the server to a name'],
  CreateForeignServerStmt: ['create server', 'high', 'reaches another server'],
  AlterForeignServerStmt: ['alter server', 'high', 'reaches another server'],
  CreateUserMappingStmt: ['create user mapping', 'high', 'reaches another server'],
  AlterUserMappingStmt: ['alter user mapping', 'high', 'reaches another server'],
  DropUserMappingStmt: ['drop user mapping', 'critical', 'drops a user mapping'],
  ImportForeignSchemaStmt: ['import foreign schema', 'high', 'reaches another server'],
  CreateAmStmt: ['create access method', 'forbidden', 'binds code of the server to a name'],
  CreateEventTrigStmt: ['create event trigger', 'critical', 'makes code run on every schema change'],
  CreatePLangStmt: ['create language', 'forbidden', 'loads code into the server'],
  AlterDefaultPrivilegesStmt: ['alter default privileges', 'high', 'changes privileges'],
  DropRoleStmt: ['drop role', 'critical', 'drops a role'],
  DropOwnedStmt: ['drop owned', 'critical', 'drops all that a role owns'],
  ReassignOwnedStmt: ['reassign owned', 'high', 'changes the owner of many objects'],
  CreateOpClassStmt: ['create operator class', 'critical', 'changes how an index compares'],
  CreateOpFamilyStmt: ['create operator family', 'critical', 'changes how an index compares'],
  AlterOpFamilyStmt: ['alter operator family', 'critical', 'changes how an index compares'],
  AlterOperatorStmt: ['alter operator', 'high', 'changes an operator'],
  AlterTypeStmt: ['alter type', 'critical', 'changes a type'],
  CompositeTypeStmt: ['create type', 'low', 'creates a type'],
  CreateEnumStmt: ['create type', 'low', 'creates a type'],
  CreateRangeStmt: ['create type', 'low', 'creates a type'],
  AlterEnumStmt: ['alter type', 'low', 'adds to a type'],
  CreateConversionStmt: ['create conversion', 'high', 'changes how text is converted'],
  CreateCastStmt: ['create cast', 'high', 'makes code run on a cast'],
  CreateTransformStmt: ['create transform', 'high', 'changes how a language sees a type'],
  AlterTSDictionaryStmt: ['alter text search dictionary', 'high', 'changes text search'],
  AlterTSConfigurationStmt: ['alter text search configuration', 'high', 'changes text search'],
  LoadStmt: ['load', 'forbidden', 'loads code into the server'],
  CreatedbStmt: ['create database', 'low', 'creates a database'],
  AlterDatabaseStmt: ['alter database', 'high', 'changes a database'],
  AlterDatabaseRefreshCollStmt: ['alter database', 'high', 'changes a database'],
  DropdbStmt: ['drop database', 'critical', 'drops a database'],
  AlterSystemStmt: ['alter system', 'forbidden', 'changes the configuration of the server'],
  ClusterStmt: ['cluster', 'high', 'locks a table while it rewrites it'],
  RefreshMatViewStmt: ['refresh materialized view', 'high', 'replaces the rows of a materialized view'],
  CheckPointStmt: ['checkpoint', 'low', 'forces a checkpoint'],
  CreatePublicationStmt: ['create publication', 'high', 'sends changes to other servers'],
  AlterPublicationStmt: ['alter publication', 'high', 'sends changes to other servers'],
  CreateSubscriptionStmt: ['create subscription', 'forbidden', 'acts on replication'],
  AlterSubscriptionStmt: ['alter subscription', 'forbidden', 'acts on replication'],
  DropSubscriptionStmt: ['drop subscription', 'critical', 'drops a subscription'],
};

const NOT_SCHEMA: ReadonlySet<string> = new Set([
  'CheckPointStmt',
  'LoadStmt',
  'AlterSystemStmt',
  'CreatedbStmt',
]);

export function fixed(walk: Walk, fields: Fields, name: NodeName): void {
  const [operation, risk, reason] = FIXED[name] ?? ['unknown', 'critical', 'contains what is not known'];
  walk.notes.literalsRead = true;
  walk.operation(operation, risk, reason);
  if (!NOT_SCHEMA.has(name)) walk.schemaChange();
  walk.write(relationOf(fields['relation'] ?? fields['typevar']));
  walk.guardAll(fields);
  if (fields['behavior'] === 'DROP_CASCADE') walk.raise('critical', 'drops what depends on it (CASCADE)');
}
