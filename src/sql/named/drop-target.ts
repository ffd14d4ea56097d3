import type { RawStmt } from '@pgsql/types';
import type { RelationName } from '../effects.ts';
import { as, type Fields, list, nameParts, relationOf, text, unwrap } from '../parsing/tree.ts';
import { alterInTwo, type TextOf } from './alter-parts.ts';
import { type AlterStatement, readAlterTable } from './alter-target.ts';
import { type OwnerChange, readOwnerChange } from './owner-change.ts';

/** What a DROP names, be it objects or columns, for whoever moves it away instead; and what an ALTER TABLE does. */

const DROP_KINDS = ['table', 'view', 'materialized view', 'sequence', 'schema', 'type', 'domain'] as const;
export type DropKind = (typeof DROP_KINDS)[number];

export interface DropStatement {
  readonly kind: DropKind;
  /** Of a schema, `name` alone. */
  readonly names: readonly RelationName[];
  readonly ifExists: boolean;
  readonly cascade: boolean;
}

/** ALTER TABLE … DROP COLUMN. */
export interface DropColumns {
  readonly table: RelationName;
  readonly columns: readonly string[];
}

/** The same with other things in it, as two statements that are to be done one after the other. */
export interface DropColumnsAndMore {
  readonly drop: DropColumns;
  readonly dropText: string;
  readonly alter: AlterStatement;
  readonly alterText: string;
}

/** Parts of a table that a DROP of their own takes away. */
const DROP_PARTS = {
  OBJECT_INDEX: 'index',
  OBJECT_TRIGGER: 'trigger',
  OBJECT_RULE: 'rule',
  OBJECT_POLICY: 'policy',
} as const;

export interface DropPart {
  readonly of: (typeof DROP_PARTS)[keyof typeof DROP_PARTS];
  /** Of an index with its schema, if it is given. */
  readonly name: RelationName;
  /** That of an index is not named. */
  readonly table: RelationName | null;
}

export interface DropDatabase {
  readonly name: string;
  readonly ifExists: boolean;
  readonly force: boolean;
}

export type DropReading =
  | { readonly kind: 'drop database'; readonly drop: DropDatabase }
  | { readonly kind: 'drop'; readonly drop: DropStatement }
  | { readonly kind: 'drop columns'; readonly drop: DropColumns }
  | ({ readonly kind: 'drop columns and more' } & DropColumnsAndMore)
  | { readonly kind: 'drop part'; readonly part: DropPart }
  | { readonly kind: 'alter'; readonly alter: AlterStatement }
  /** CREATE OR REPLACE of a function or a procedure, by its name without its schema. */
  | { readonly kind: 'replace'; readonly name: string }
  | { readonly kind: 'owner'; readonly owned: OwnerChange }
  /** It drops something of which nothing can be kept; a clause that reads well behind "because". */
  | { readonly kind: 'other drop'; readonly reason: string }
  | { readonly kind: 'no drop' };

const KINDS: Readonly<Record<string, DropKind>> = {
  OBJECT_TABLE: 'table',
  OBJECT_VIEW: 'view',
  OBJECT_MATVIEW: 'materialized view',
  OBJECT_SEQUENCE: 'sequence',
  OBJECT_SCHEMA: 'schema',
  OBJECT_TYPE: 'type',
  OBJECT_DOMAIN: 'domain',
};

export const NOT_KEPT =
  'only tables, views, sequences, types, domains, schemas, indexes, triggers, rules and policies are kept';
const TOO_MANY_PARTS = 'a name in it has more parts than are understood';

const other = (reason: string): DropReading => ({ kind: 'other drop', reason });

export function readDrop(raw: RawStmt, of: TextOf): DropReading {
  const node = unwrap(raw.stmt);
  if (node === null) return { kind: 'no drop' };
  const { name, fields } = node;
  const owned = readOwnerChange(raw);
  if (owned !== null) return { kind: 'owner', owned };
  if (name === 'DropdbStmt') return readDropDatabase(fields);
  if (name === 'AlterTableStmt') return readAlter(fields, raw, of);
  if (name === 'CreateFunctionStmt' && fields['replace'] === true) {
    const routine = text(nameParts(fields['funcname']).at(-1));
    return routine === null ? other('its name is not understood') : { kind: 'replace', name: routine };
  }
  if (name !== 'DropStmt') {
    return /^Drop/.test(name) ? other(NOT_KEPT) : { kind: 'no drop' };
  }
  const part = (DROP_PARTS as Readonly<Record<string, DropPart['of']>>)[String(fields['removeType'])];
  if (part !== undefined) return readDropPart(part, fields);
  const kind = KINDS[String(fields['removeType'])];
  if (kind === undefined) return other(NOT_KEPT);
  const names: RelationName[] = [];
  for (const object of list(fields['objects'])) {
    const type = as(object, 'TypeName');
    if (type !== null && list(type['arrayBounds']).length > 0) return other('it names an array');
    const parts = nameParts(type === null ? object : type['names']);
    const last = text(parts.at(-1));
    if (last === null || parts.length > (kind === 'schema' ? 1 : 2)) {
      return other(TOO_MANY_PARTS);
    }
    names.push({ schema: parts.at(-2) ?? null, name: last });
  }
  const ifExists = fields['missing_ok'] === true;
  return { kind: 'drop', drop: { kind, names, ifExists, cascade: fields['behavior'] === 'DROP_CASCADE' } };
}

function readDropPart(of: DropPart['of'], fields: Fields): DropReading {
  if (fields['concurrent'] === true) return other('DROP INDEX CONCURRENTLY cannot be run in a transaction');
  const [object, ...others] = list(fields['objects']);
  if (others.length > 0) return other('indexes are kept one by one');
  const parts = nameParts(object);
  const name = text(parts.at(-1));
  // A trigger, a rule and a policy have the name of their table in front, and that may have its schema.
  const before = parts.slice(0, -1);
  if (name === null || before.length > (of === 'index' ? 1 : 2)) return other(TOO_MANY_PARTS);
  if (of === 'index')
    return { kind: 'drop part', part: { of, name: { schema: before[0] ?? null, name }, table: null } };
  const table = text(before.at(-1));
  if (table === null) return other('it names no table');
  const at = { schema: before.at(-2) ?? null, name: table };
  return { kind: 'drop part', part: { of, name: { schema: null, name }, table: at } };
}

function readDropDatabase(fields: Fields): DropReading {
  const name = text(fields['dbname']);
  const options = list(fields['options']).map((item) => text(as(item, 'DefElem')?.['defname']));
  if (name === null || options.some((option) => option !== 'force'))
    return other('it has options that are not understood');
  const ifExists = fields['missing_ok'] === true;
  return { kind: 'drop database', drop: { name, ifExists, force: options.length > 0 } };
}

const isDropColumn = (command: Fields | null): boolean => command?.['subtype'] === 'AT_DropColumn';

function readAlter(fields: Fields, raw: RawStmt, of: TextOf): DropReading {
  const table = relationOf(fields['relation']);
  const commands = list(fields['cmds']).map((item) => as(item, 'AlterTableCmd'));
  const columns = commands.map((each) => (isDropColumn(each) ? text(each?.['name']) : null));
  const known = columns.filter((each) => each !== null);
  if (table !== null && fields['objtype'] === 'OBJECT_TABLE' && known.length === commands.length)
    return { kind: 'drop columns', drop: { table, columns: known } };
  const cmds = list(fields['cmds']).filter((item) => !isDropColumn(as(item, 'AlterTableCmd')));
  const alter = readAlterTable({ ...fields, cmds });
  if (typeof alter !== 'string' && known.length > 0) {
    const [dropText, alterText] = alterInTwo(raw, of, isDropColumn) ?? [];
    if (dropText === undefined || alterText === undefined)
      return other('what it does beside dropping columns could not be told apart');
    const drop = { table: alter.table, columns: known };
    return { kind: 'drop columns and more', drop, dropText, alter, alterText };
  }
  return typeof alter === 'string' ? other(alter) : { kind: 'alter', alter };
}
