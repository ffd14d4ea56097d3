import type { RawStmt } from '@pgsql/types';
import type { RelationName } from '../effects.ts';
import { as, list, nameParts, relationOf, text, unwrap } from '../parsing/tree.ts';

/** What a statement with IF EXISTS names, for whoever looks whether any of it is there. */

export type SoughtKind =
  | 'relation'
  | 'type'
  | 'routine'
  | 'schema'
  | 'extension'
  | 'publication'
  | 'role'
  | 'trigger'
  | 'policy'
  | 'rule';

export interface Sought {
  readonly kind: SoughtKind;
  readonly schema: string | null;
  readonly name: string;
  /** Of what belongs to a table. */
  readonly table: RelationName | null;
}

const KINDS: Readonly<Record<string, SoughtKind>> = {
  OBJECT_AGGREGATE: 'routine',
  OBJECT_DOMAIN: 'type',
  OBJECT_EXTENSION: 'extension',
  OBJECT_FOREIGN_TABLE: 'relation',
  OBJECT_FUNCTION: 'routine',
  OBJECT_INDEX: 'relation',
  OBJECT_MATVIEW: 'relation',
  OBJECT_POLICY: 'policy',
  OBJECT_PROCEDURE: 'routine',
  OBJECT_PUBLICATION: 'publication',
  OBJECT_ROUTINE: 'routine',
  OBJECT_RULE: 'rule',
  OBJECT_SCHEMA: 'schema',
  OBJECT_SEQUENCE: 'relation',
  OBJECT_TABLE: 'relation',
  OBJECT_TRIGGER: 'trigger',
  OBJECT_TYPE: 'type',
  OBJECT_VIEW: 'relation',
};

const OF_TABLES: ReadonlySet<SoughtKind> = new Set(['trigger', 'policy', 'rule']);

/** Of an ALTER … IF EXISTS it is the relation, without which none of it is done. */
const ALTERS: ReadonlySet<string> = new Set([
  'AlterTableStmt',
  'RenameStmt',
  'AlterObjectSchemaStmt',
  'AlterSeqStmt',
]);

/** Null where the statement has no IF EXISTS, names what is not looked for, or cannot run in a transaction. */
export function readIfExists({ stmt }: RawStmt): readonly Sought[] | null {
  const node = unwrap(stmt);
  if (node === null || node.fields['missing_ok'] !== true) return null;
  const { name, fields } = node;
  if (name === 'DropStmt') {
    const kind = KINDS[String(fields['removeType'])];
    if (kind === undefined || fields['concurrent'] === true) return null;
    return whole(list(fields['objects']).map((object) => soughtOf(kind, object)));
  }
  if (name === 'DropRoleStmt') {
    return whole(
      list(fields['roles']).map((role) => plain('role', text(as(role, 'RoleSpec')?.['rolename']))),
    );
  }
  if (!ALTERS.has(name)) return null;
  const relation = relationOf(fields[name === 'AlterSeqStmt' ? 'sequence' : 'relation']);
  return relation === null ? null : [{ kind: 'relation', ...relation, table: null }];
}

function whole(sought: readonly (Sought | null)[]): readonly Sought[] | null {
  const known = sought.filter((each) => each !== null);
  return known.length > 0 && known.length === sought.length ? known : null;
}

function plain(kind: SoughtKind, name: string | null): Sought | null {
  return name === null ? null : { kind, schema: null, name, table: null };
}

function soughtOf(kind: SoughtKind, object: unknown): Sought | null {
  const parts = nameParts(
    as(object, 'ObjectWithArgs')?.['objname'] ?? as(object, 'TypeName')?.['names'] ?? object,
  );
  const name = parts.at(-1) ?? null;
  if (OF_TABLES.has(kind)) {
    const table = parts.at(-2);
    if (name === null || table === undefined || parts.length > 3) return null;
    return { kind, schema: null, name, table: { schema: parts.at(-3) ?? null, name: table } };
  }
  return name === null || parts.length > 2 ? null : { ...plain(kind, name)!, schema: parts.at(-2) ?? null };
}
