import type { Risk } from '../effects.ts';
import {
  as,
  type Fields,
  isObject,
  list,
  type NodeName,
  nameParts,
  relationOf,
  stringOf,
  text,
} from '../parsing/tree.ts';
import type { Walk } from './walk.ts';

/** CREATE TABLE, ALTER TABLE and the like: statements about a relation and its parts. */

type Verdict = readonly [risk: Risk, reason: string];

const ADDS: Verdict = ['low', ''];
const REWRITES: Verdict = ['high', 'rewrites or locks a table'];
const LOSES: Verdict = ['critical', 'loses data'];
const INTERNAL: Verdict = ['critical', 'contains what is not known: an internal subcommand'];

/** Every subcommand of ALTER TABLE. One that is not here is critical. */
const ALTERATIONS: Readonly<Record<string, Verdict>> = {
  AT_AddColumn: ADDS,
  AT_AddColumnToView: INTERNAL,
  AT_ColumnDefault: ADDS,
  AT_CookedColumnDefault: INTERNAL,
  AT_DropNotNull: ADDS,
  AT_SetNotNull: REWRITES,
  AT_SetExpression: LOSES,
  AT_DropExpression: REWRITES,
  AT_SetStatistics: ADDS,
  AT_SetOptions: ADDS,
  AT_ResetOptions: ADDS,
  AT_SetStorage: ADDS,
  AT_SetCompression: ADDS,
  AT_DropColumn: ['critical', 'drops a column'],
  AT_AddIndex: INTERNAL,
  AT_ReAddIndex: INTERNAL,
  AT_AddConstraint: ['high', 'checks a table against a new constraint'],
  AT_ReAddConstraint: INTERNAL,
  AT_ReAddDomainConstraint: INTERNAL,
  AT_AlterConstraint: REWRITES,
  AT_ValidateConstraint: ['high', 'checks a table against a constraint'],
  AT_AddIndexConstraint: INTERNAL,
  AT_DropConstraint: ['critical', 'drops a constraint'],
  AT_ReAddComment: INTERNAL,
  AT_AlterColumnType: ['critical', 'changes the type of a column'],
  AT_AlterColumnGenericOptions: REWRITES,
  AT_ChangeOwner: ['high', 'changes an owner'],
  AT_ClusterOn: ADDS,
  AT_DropCluster: ADDS,
  AT_SetLogged: REWRITES,
  AT_SetUnLogged: ['critical', 'makes a table lose its rows in a crash'],
  AT_DropOids: LOSES,
  AT_SetAccessMethod: REWRITES,
  AT_SetTableSpace: REWRITES,
  AT_SetRelOptions: ADDS,
  AT_ResetRelOptions: ADDS,
  AT_ReplaceRelOptions: INTERNAL,
  AT_EnableTrig: ['high', 'enables a trigger'],
  AT_EnableAlwaysTrig: ['high', 'enables a trigger'],
  AT_EnableReplicaTrig: ['critical', 'disables a trigger outside replication'],
  AT_DisableTrig: ['critical', 'disables a trigger'],
  AT_EnableTrigAll: ['high', 'enables triggers'],
  AT_DisableTrigAll: ['critical', 'disables triggers and foreign keys'],
  AT_EnableTrigUser: ['high', 'enables triggers'],
  AT_DisableTrigUser: ['critical', 'disables triggers'],
  AT_EnableRule: ['high', 'enables a rule'],
  AT_EnableAlwaysRule: ['high', 'enables a rule'],
  AT_EnableReplicaRule: ['critical', 'disables a rule outside replication'],
  AT_DisableRule: ['critical', 'disables a rule'],
  AT_AddInherit: REWRITES,
  AT_DropInherit: ['critical', 'detaches a child table'],
  AT_AddOf: REWRITES,
  AT_DropOf: REWRITES,
  AT_ReplicaIdentity: ['high', 'changes the replica identity'],
  AT_EnableRowSecurity: ['high', 'enables row security'],
  AT_DisableRowSecurity: ['critical', 'disables row security'],
  AT_ForceRowSecurity: ['high', 'enables row security'],
  AT_NoForceRowSecurity: ['critical', 'disables row security'],
  AT_GenericOptions: REWRITES,
  AT_AttachPartition: REWRITES,
  AT_DetachPartition: ['critical', 'detaches a partition'],
  AT_DetachPartitionFinalize: ['critical', 'detaches a partition'],
  AT_AddIdentity: ['high', 'changes an identity column'],
  AT_SetIdentity: ['high', 'changes an identity column'],
  AT_DropIdentity: ['critical', 'drops an identity'],
  AT_ReAddStatistics: INTERNAL,
};

export const ALTERATION_KINDS: readonly string[] = Object.keys(ALTERATIONS);

const RELATION_KINDS: Readonly<Record<string, string>> = {
  OBJECT_TABLE: 'table',
  OBJECT_VIEW: 'view',
  OBJECT_MATVIEW: 'materialized view',
  OBJECT_INDEX: 'index',
  OBJECT_SEQUENCE: 'sequence',
  OBJECT_FOREIGN_TABLE: 'foreign table',
  OBJECT_TYPE: 'type',
};

export function alterTable(walk: Walk, fields: Fields, name: NodeName): void {
  const kind = RELATION_KINDS[String(fields['objtype'])];
  if (kind === undefined) return walk.unknown('a kind of ALTER TABLE');
  const target = relationOf(fields['relation']);
  walk.operation(`alter ${kind}`, 'low');
  walk.write(target);
  walk.schemaChange();
  if (target !== null) walk.scope.addSource(target.name, target);
  for (const item of list(fields['cmds'])) {
    const command = as(item, 'AlterTableCmd');
    if (command !== null) alteration(walk, command, target, kind);
  }
  walk.descend(name, fields, ['relation']);
}

function alteration(walk: Walk, command: Fields, target: ReturnType<typeof relationOf>, kind: string): void {
  const known = ALTERATIONS[String(command['subtype'])];
  const unchecked = as(command['def'], 'Constraint')?.['skip_validation'] === true;
  const verdict: Verdict | undefined =
    unchecked && known !== undefined ? ['low', 'adds a constraint unchecked'] : known;
  if (verdict === undefined) return walk.unknown('a subcommand of ALTER TABLE');
  walk.raise(verdict[0], verdict[1] === '' ? 'alters a table' : verdict[1]);
  const column = text(command['name']) ?? text(as(command['def'], 'ColumnDef')?.['colname']);
  if (column !== null) walk.column(target, column);
  if (command['behavior'] === 'DROP_CASCADE') walk.raise('critical', 'drops what depends on it (CASCADE)');
  const loss = kind === 'table' ? whatItTakes(command) : null;
  if (loss !== null) walk.raise('high', loss);
  if (command['subtype'] === 'AT_AddColumn') columnRisk(walk, as(command['def'], 'ColumnDef'));
}

/** What was there is known to nobody afterwards. */
function whatItTakes({ subtype, def }: Fields): string | null {
  if (subtype === 'AT_ColumnDefault' && (def ?? null) !== null) return 'may replace a default';
  const isLess = subtype === 'AT_ColumnDefault' || subtype === 'AT_DropNotNull';
  return isLess ? 'takes a default or a constraint away' : null;
}

/** A default may be computed for every row, and what identifies or generates is written into each. */
function columnRisk(walk: Walk, column: Fields | null): void {
  for (const item of list(column?.['constraints'])) {
    const kind = String(as(item, 'Constraint')?.['contype']);
    if (
      kind === 'CONSTR_GENERATED' ||
      kind === 'CONSTR_IDENTITY' ||
      kind === 'CONSTR_UNIQUE' ||
      kind === 'CONSTR_PRIMARY'
    ) {
      walk.raise(...REWRITES);
    }
  }
}

export function partitionCommand(walk: Walk, fields: Fields, name: NodeName): void {
  walk.write(relationOf(fields['name']));
  walk.descend(name, fields, ['name']);
}

export function createTable(walk: Walk, fields: Fields, name: NodeName): void {
  const target = relationOf(fields['relation']);
  walk.operation('create table', 'low', 'creates a table');
  walk.write(target);
  walk.schemaChange();
  if (target !== null) walk.scope.addSource(target.name, target);
  walk.descend(name, fields, ['relation']);
}

export function createForeignTable(walk: Walk, fields: Fields): void {
  walk.operation('create foreign table', 'low', 'creates a foreign table');
  walk.notes.literalsRead = true;
  const base = isObject(fields['base']) ? fields['base'] : {};
  walk.write(relationOf(base['relation']));
  walk.schemaChange();
  walk.descend('CreateStmt', base, ['relation']);
}

export function createIndex(walk: Walk, fields: Fields, name: NodeName): void {
  const target = relationOf(fields['relation']);
  walk.operation('create index', 'low', 'creates an index');
  walk.write(target);
  walk.schemaChange();
  if (target !== null) walk.scope.addSource(target.name, target);
  walk.descend(name, fields, ['relation']);
}

export function indexElement(walk: Walk, fields: Fields, name: NodeName): void {
  const column = text(fields['name']);
  if (column !== null)
    for (const found of walk.scope.resolve([], column)) walk.column(found.table, found.name);
  walk.descend(name, fields, ['opclass', 'collation', 'opclassopts']);
}

export function constraint(walk: Walk, fields: Fields, name: NodeName): void {
  // Exclusion pairs are an index element and the name of an operator.
  for (const item of list(fields['exclusions'])) {
    const [element, operator] = list(as(item, 'List')?.['items']);
    walk.visit(element);
    walk.operator(nameParts(operator));
  }
  walk.descend(name, fields, [
    'exclusions',
    'keys',
    'including',
    'fk_attrs',
    'pk_attrs',
    'options',
    'fk_del_set_cols',
  ]);
}

export function createView(walk: Walk, fields: Fields, name: NodeName): void {
  walk.operation('create view', fields['replace'] === true ? 'high' : 'low', 'creates a view');
  walk.write(relationOf(fields['view']));
  walk.schemaChange();
  walk.descend(name, fields, ['view', 'aliases', 'options']);
}

export function createSequence(walk: Walk, fields: Fields): void {
  walk.operation('create sequence', 'low', 'creates a sequence');
  walk.write(relationOf(fields['sequence']));
  walk.guardAll(fields['options']);
  walk.schemaChange();
}

export function alterSequence(walk: Walk, fields: Fields): void {
  walk.operation('alter sequence', 'high', 'changes a sequence');
  walk.write(relationOf(fields['sequence']));
  walk.guardAll(fields['options']);
  walk.schemaChange();
}

export function createTrigger(walk: Walk, fields: Fields, name: NodeName): void {
  walk.operation('create trigger', 'high', 'makes code run on every change of a table');
  walk.write(relationOf(fields['relation']));
  walk.schemaChange();
  walk.call(nameParts(fields['funcname']));
  walk.descend(name, fields, ['relation', 'funcname', 'args', 'columns', 'transitionRels']);
}

export function createRule(walk: Walk, fields: Fields): void {
  walk.operation('create rule', 'critical', 'rewrites statements on a table');
  walk.write(relationOf(fields['relation']));
  walk.schemaChange();
  const target = relationOf(fields['relation']);
  walk.scope.addSource('old', target);
  walk.scope.addSource('new', target);
  walk.visit(fields['whereClause']);
  walk.visit(fields['actions']);
}

export function policy(walk: Walk, fields: Fields, name: NodeName): void {
  const verb = name === 'CreatePolicyStmt' ? 'create policy' : 'alter policy';
  walk.operation(verb, 'high', 'changes row security');
  walk.write(relationOf(fields['table']));
  walk.schemaChange();
  walk.descend(name, fields, ['table', 'roles']);
}

export function truncate(walk: Walk, fields: Fields): void {
  walk.operation('truncate', 'critical', 'empties a table');
  walk.predicate('none');
  for (const item of list(fields['relations'])) {
    const relation = as(item, 'RangeVar');
    const target = relationOf(relation);
    walk.write(target);
    walk.column(target, '*');
    if (target !== null && relation?.['inh'] !== true) walk.only(target);
  }
  if (fields['behavior'] === 'DROP_CASCADE')
    walk.raise('critical', 'empties tables that refer to it (CASCADE)');
}

export function tableLike(walk: Walk, fields: Fields): void {
  walk.read(relationOf(fields['relation']));
}

export function statistics(walk: Walk, fields: Fields, name: NodeName): void {
  walk.operation(
    name === 'CreateStatsStmt' ? 'create statistics' : 'alter statistics',
    'low',
    'changes statistics',
  );
  walk.schemaChange();
  walk.visit(fields['relations']);
  walk.visit(fields['exprs']);
}

export function statisticsElement(walk: Walk, fields: Fields): void {
  if (text(fields['name']) !== null) walk.column(null, stringOf(fields['name']) ?? String(fields['name']));
  walk.visit(fields['expr']);
}
