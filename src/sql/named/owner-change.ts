import type { RawStmt } from '@pgsql/types';
import { as, list, nameParts, relationOf, unwrap } from '../parsing/tree.ts';

/** Whose owner a statement changes, as its catalog looks names up: `to_regclass` and its like. */
export interface OwnerChange {
  readonly kind: 'relation' | 'type' | 'schema' | 'routine' | 'only routine' | 'large object';
  readonly name: string;
}

const KINDS: Readonly<Record<string, OwnerChange['kind']>> = {
  OBJECT_AGGREGATE: 'routine',
  OBJECT_DOMAIN: 'type',
  OBJECT_FUNCTION: 'routine',
  OBJECT_LARGEOBJECT: 'large object',
  OBJECT_PROCEDURE: 'routine',
  OBJECT_ROUTINE: 'routine',
  OBJECT_SCHEMA: 'schema',
  OBJECT_TYPE: 'type',
};

const quoted = (parts: readonly string[]): string =>
  parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.');

/** Null where the statement changes no owner, or anything besides, or that of another kind of object. */
export function readOwnerChange({ stmt }: RawStmt): OwnerChange | null {
  const node = unwrap(stmt);
  if (node === null) return null;
  const { name, fields } = node;
  if (name === 'AlterTableStmt') {
    const relation = relationOf(fields['relation']);
    const [only, ...others] = list(fields['cmds']).map((item) => as(item, 'AlterTableCmd')?.['subtype']);
    if (only !== 'AT_ChangeOwner' || others.length > 0 || relation === null) return null;
    const parts = relation.schema === null ? [relation.name] : [relation.schema, relation.name];
    return { kind: 'relation', name: quoted(parts) };
  }
  const kind = name === 'AlterOwnerStmt' ? KINDS[String(fields['objectType'])] : undefined;
  if (kind === undefined) return null;
  const { object } = fields;
  if (kind === 'large object') {
    const oid = as(object, 'Integer')?.['ival'] ?? as(object, 'Float')?.['fval'];
    return oid === undefined ? null : { kind, name: String(oid) };
  }
  if (kind !== 'routine') {
    const parts = nameParts(as(object, 'TypeName')?.['names'] ?? object);
    return parts.length === 0 ? null : { kind, name: quoted(parts) };
  }
  const routine = as(object, 'ObjectWithArgs');
  const parts = nameParts(routine?.['objname']);
  if (routine === null || parts.length === 0) return null;
  if (routine['args_unspecified'] === true) return { kind: 'only routine', name: quoted(parts) };
  const types = list(routine['objargs']).map(typeText);
  return types.includes(null) ? null : { kind, name: `${quoted(parts)}(${types.join(',')})` };
}

function typeText(type: unknown): string | null {
  const fields = as(type, 'TypeName');
  const parts = nameParts(fields?.['names']);
  if (fields === null || parts.length === 0) return null;
  return quoted(parts) + '[]'.repeat(list(fields['arrayBounds']).length);
}
