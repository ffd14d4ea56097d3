import type { RelationName } from '../effects.ts';
import { as, type Fields, list, relationOf, text } from '../parsing/tree.ts';

/** What an ALTER TABLE does, for whoever keeps what it takes away. */

export interface AlterStatement {
  readonly table: RelationName;
  /** Columns whose type it changes, and whether their values are those of an expression (USING). */
  readonly retyped: readonly { readonly name: string; readonly computed: boolean }[];
  /** Whether any part of it may take something away; otherwise it is not to be locked more than it locks itself. */
  readonly loses: boolean;
  /** It adds columns, which an undo leaves there with what is in them by then; their names. */
  readonly adds: boolean;
  readonly added: readonly string[];
  /** It drops an identity, and the sequence with it. */
  readonly unnumbers: boolean;
}

/**
 * Subcommands whose effects on a table's definition are seen by comparing it with what it was, and are taken back by
 * others of their kind. Anything else loses what no definition tells, or is not known.
 */
const REVERSIBLE = new Set([
  'AT_AddColumn',
  'AT_ColumnDefault',
  'AT_DropNotNull',
  'AT_SetNotNull',
  'AT_SetExpression',
  'AT_SetStatistics',
  'AT_SetOptions',
  'AT_ResetOptions',
  'AT_SetStorage',
  'AT_SetCompression',
  'AT_AddConstraint',
  'AT_AlterConstraint',
  'AT_ValidateConstraint',
  'AT_DropConstraint',
  'AT_AlterColumnType',
  'AT_ClusterOn',
  'AT_DropCluster',
  'AT_SetRelOptions',
  'AT_ResetRelOptions',
  'AT_EnableTrig',
  'AT_EnableAlwaysTrig',
  'AT_EnableReplicaTrig',
  'AT_DisableTrig',
  'AT_EnableTrigUser',
  'AT_DisableTrigUser',
  'AT_EnableRule',
  'AT_EnableAlwaysRule',
  'AT_EnableReplicaRule',
  'AT_DisableRule',
  'AT_ReplicaIdentity',
  'AT_EnableRowSecurity',
  'AT_DisableRowSecurity',
  'AT_ForceRowSecurity',
  'AT_NoForceRowSecurity',
  'AT_DropIdentity',
  'AT_DropInherit',
  'AT_DetachPartition',
]);

/** These read a whole table, under locks that let others read it. */
const ADDING = new Set(['AT_AddConstraint', 'AT_ValidateConstraint']);

/** A clause that reads well behind "because" where it is not understood, or cannot be taken back. */
export function readAlterTable(fields: Fields): AlterStatement | string {
  const table = relationOf(fields['relation']);
  if (table === null || fields['objtype'] !== 'OBJECT_TABLE') return 'only what is done to tables is kept';
  const commands = list(fields['cmds']).map((item) => as(item, 'AlterTableCmd'));
  const kinds = commands.map((command) => String(command?.['subtype']));
  for (const [i, kind] of kinds.entries()) {
    if (kind === 'AT_AddIdentity' && kinds.every((each) => each === kind || ADDING.has(each))) continue;
    if (!REVERSIBLE.has(kind)) return `no undo is known of a part of it (${kind.slice('AT_'.length)})`;
    if (as(commands[i]?.['def'], 'PartitionCmd')?.['concurrent'] === true)
      return 'DETACH PARTITION … CONCURRENTLY cannot be run in a transaction';
  }
  const retyped = commands.flatMap((command, i) => {
    if (kinds[i] !== 'AT_AlterColumnType') return [];
    const computed = as(command?.['def'], 'ColumnDef')?.['raw_default'] !== undefined;
    return [{ name: text(command?.['name']) ?? '', computed }];
  });
  const added = commands.flatMap((command, i) =>
    kinds[i] === 'AT_AddColumn' ? (text(as(command?.['def'], 'ColumnDef')?.['colname']) ?? []) : [],
  );
  const has = (kind: string) => kinds.includes(kind);
  const loses = kinds.some((kind) => !ADDING.has(kind) && kind !== 'AT_AddIdentity');
  return { table, retyped, loses, adds: has('AT_AddColumn'), added, unnumbers: has('AT_DropIdentity') };
}
