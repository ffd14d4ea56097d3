import type { Lacking } from './queries.ts';

/** What the database says about a relation, as far as the rows in it are concerned. */

export type RelationKind =
  | 'table'
  | 'partitioned table'
  | 'view'
  | 'materialized view'
  | 'foreign table'
  | 'sequence'
  | 'other';

export interface Column {
  readonly name: string;
  readonly attribute: number;
  readonly type: {
    readonly oid: number;
    readonly schema: string;
    readonly name: string;
    readonly modifier: number;
    /** As SQL of this session may write it, with its modifier. */
    readonly formatted: string;
  };
  readonly notNull: boolean;
  /** Stored or virtual; empty where it is neither. */
  readonly generated: '' | 's' | 'v';
  /** ALWAYS or BY DEFAULT; empty where it is neither. */
  readonly identity: '' | 'a' | 'd';
  readonly hasDefault: boolean;
  /** The collation that is not the type's own, quoted, or null. */
  readonly collation: string | null;
  /** Whether the type, and all that it is made of, can be sent and received in binary. */
  readonly binary: boolean;
  /** It is xml, or a domain of it, or has xml within. */
  readonly xml?: 'plain' | 'within' | null;
}

/** A unique index on plain columns without a condition. */
export interface Key {
  readonly name: string;
  readonly primary: boolean;
  readonly columns: readonly string[];
  readonly notNull: boolean;
  /** NULLS NOT DISTINCT. */
  readonly nullsEqual: boolean;
  readonly deferrable: boolean;
}

export type ForeignKeyAction = 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default';

/** A foreign key that refers to the relation it is listed with. */
export interface Reference {
  readonly oid: number;
  readonly name: string;
  /** The constraint of the partitioned table that this one was made for, or 0. */
  readonly parent: number;
  readonly referrer: number;
  readonly columns: readonly string[];
  readonly referrerColumns: readonly string[];
  /** `referenced OPERATOR referrer`, a name with its schema for each pair of columns. */
  readonly operators: readonly string[];
  readonly onDelete: ForeignKeyAction;
  readonly onUpdate: ForeignKeyAction;
  /** What ON DELETE SET … sets; all of the columns where it does not say. */
  readonly setColumns: readonly string[];
  readonly matchType: 'simple' | 'full' | 'partial';
  readonly deferrable: boolean;
  /** Whether its trigger fires in this session; disabled ones and replicas do not. */
  readonly deleteActive: boolean;
  readonly updateActive: boolean;
}

export type TriggerEvent = 'insert' | 'update' | 'delete' | 'truncate';

/** A trigger of the user's that fires in this session. */
export interface Trigger {
  readonly name: string;
  readonly function: string;
  readonly timing: 'before' | 'after' | 'instead';
  readonly level: 'row' | 'statement';
  readonly events: readonly TriggerEvent[];
  /** A constraint trigger that may be put off until COMMIT. */
  readonly deferrable: boolean;
}

export interface OwnedSequence {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly column: string;
  readonly select: boolean;
}

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: RelationKind;
  readonly owner: string;
  /** Whether rows are told by ctid as in PostgreSQL's own tables. */
  readonly heap: boolean;
  readonly temporary: boolean;
  readonly partition: boolean;
  readonly parents: readonly number[];
  readonly children: readonly number[];
  readonly columns: readonly Column[];
  readonly keys: readonly Key[];
  readonly references: readonly Reference[];
  readonly triggers: readonly Trigger[];
  /** Events that a rule rewrites: `update`, `insert`, `delete`. */
  readonly rules: readonly string[];
  /** What it surely has none of, as long as its row in pg_class stays the same. */
  readonly lacking: Lacking;
  /** Whether row security hides rows from the current role. */
  readonly rowSecurity: boolean;
  readonly select: boolean;
  /** Whether its rows may be locked, which needs UPDATE on any column. */
  readonly update: boolean;
  readonly sequences: readonly OwnedSequence[];
  /** Its defaults, checks, computed columns or indexes call code that is not PostgreSQL's own. */
  readonly ownCode: boolean;
  /** The planner's estimate, -1 where there is none. */
  readonly estimatedRows: number;
  readonly estimatedBytes: number;
}

/** The primary key, or the best unique key without NULL: the fewest columns. */
export function bestKey(relation: Relation): Key | null {
  const usable = relation.keys.filter((key) => key.notNull && !key.deferrable);
  const primary = relation.keys.find((key) => key.primary);
  return primary ?? usable.sort((a, b) => a.columns.length - b.columns.length)[0] ?? null;
}
