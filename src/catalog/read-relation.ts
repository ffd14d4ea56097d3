import type {
  ForeignKeyAction,
  Reference,
  Relation,
  RelationKind,
  Trigger,
  TriggerEvent,
} from './relation.ts';

/** The shape in which the server's JSON comes: PostgreSQL's letters, and NULL for an empty list. */
type Raw<T> = { readonly [K in keyof T]: T[K] extends readonly unknown[] ? T[K] | null : T[K] };

interface RawRelation extends Omit<Raw<Relation>, 'kind' | 'references' | 'triggers'> {
  readonly kind: string;
  readonly references: readonly RawReference[] | null;
  readonly triggers: readonly RawTrigger[] | null;
}

interface RawReference extends Omit<Raw<Reference>, 'onDelete' | 'onUpdate' | 'matchType'> {
  readonly onDelete: string;
  readonly onUpdate: string;
  readonly matchType: string;
}

interface RawTrigger {
  readonly name: string;
  readonly function: string;
  readonly type: number;
  readonly deferrable: boolean;
}

const KINDS: Readonly<Record<string, RelationKind>> = {
  r: 'table',
  p: 'partitioned table',
  v: 'view',
  m: 'materialized view',
  f: 'foreign table',
  S: 'sequence',
};

const ACTIONS: Readonly<Record<string, ForeignKeyAction>> = {
  a: 'no action',
  r: 'restrict',
  c: 'cascade',
  n: 'set null',
  d: 'set default',
};

const MATCHES: Readonly<Record<string, Reference['matchType']>> = { s: 'simple', f: 'full', p: 'partial' };
const RULE_EVENTS: Readonly<Record<string, string>> = {
  '1': 'select',
  '2': 'update',
  '3': 'insert',
  '4': 'delete',
};

export function readRelation(json: string): Relation {
  const raw = JSON.parse(json) as RawRelation;
  return {
    ...raw,
    kind: KINDS[raw.kind] ?? 'other',
    parents: raw.parents ?? [],
    children: raw.children ?? [],
    columns: raw.columns ?? [],
    keys: raw.keys ?? [],
    references: (raw.references ?? []).map(readReference),
    triggers: (raw.triggers ?? []).map(readTrigger),
    rules: (raw.rules ?? []).map((event) => RULE_EVENTS[event] ?? event),
    sequences: raw.sequences ?? [],
  };
}

function readReference(raw: RawReference): Reference {
  const referrerColumns = raw.referrerColumns ?? [];
  return {
    ...raw,
    columns: raw.columns ?? [],
    referrerColumns,
    setColumns: raw.setColumns ?? referrerColumns,
    operators: raw.operators ?? [],
    onDelete: ACTIONS[raw.onDelete] ?? 'no action',
    onUpdate: ACTIONS[raw.onUpdate] ?? 'no action',
    matchType: MATCHES[raw.matchType] ?? 'simple',
  };
}

/** The bits of pg_trigger.tgtype. */
const EVENTS: readonly (readonly [bit: number, event: TriggerEvent])[] = [
  [4, 'insert'],
  [8, 'delete'],
  [16, 'update'],
  [32, 'truncate'],
];

function readTrigger(raw: RawTrigger): Trigger {
  const has = (bit: number) => (raw.type & bit) !== 0;
  return {
    name: raw.name,
    function: raw.function,
    timing: has(64) ? 'instead' : has(2) ? 'before' : 'after',
    level: has(1) ? 'row' : 'statement',
    events: EVENTS.filter(([bit]) => has(bit)).map(([, event]) => event),
    deferrable: raw.deferrable,
  };
}
