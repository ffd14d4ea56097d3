import { quoteLiteral, quoteName } from '../catalog/quote.ts';
import { isRetyped, notNull } from './column-changes.ts';
import { type Change, describeChange } from './definition-changes.ts';
import { comment, named } from './definitions.ts';
import { statedBack } from './stated-back.ts';
import type { RestoreStep } from './steps.ts';
import type {
  ColumnPart,
  ConstraintPart,
  IndexPart,
  IndexTraits,
  Part,
  ReferrerPart,
  StatedPart,
  TableDefinition,
} from './table-definition.ts';
import {
  commentBack,
  expression,
  indexTraits,
  namedAsBefore,
  options,
  storageOptions,
} from './trait-steps.ts';

/** How sequences stood whose columns lose their identity, by their OIDs. */
export type SequencePlaces = ReadonlyMap<number, { readonly last: string; readonly called: boolean }>;

export interface AlterPlan {
  readonly steps: readonly RestoreStep[];
  readonly notes: readonly string[];
}

/** The order of the way back: what stands in the way goes first, and what others rest on comes before them. */
const STAGES = [
  'unreferred',
  'dropped',
  'type',
  'place',
  'column',
  'index',
  'key',
  'constraint',
  'reference',
  'stated',
  'name',
  'trait',
] as const;
type Stage = (typeof STAGES)[number];

/** A change that no statement known here takes back. */
class Irreversible extends Error {}

/**
 * The statements that make a table's definition what it was, from what has changed in it and not from what the ALTER
 * said, which may mean much more: it reaches partitions and children, and by CASCADE the keys of others.
 *
 * `retype` are the steps by which columns of the uppermost table get back their types and values.
 */
export function planAlterBack(
  before: readonly TableDefinition[],
  changes: readonly Change[],
  context: {
    readonly adds: boolean;
    /** Columns that were added go, which their values do not come back from. */
    readonly drops?: boolean;
    readonly places: SequencePlaces;
    readonly retype: readonly RestoreStep[];
  },
): AlterPlan | string {
  const back = new WayBack(before, changes, context);
  try {
    return back.plan(context.retype);
  } catch (error) {
    if (error instanceof Irreversible) return error.message;
    throw error;
  }
}

class WayBack {
  readonly #tables: ReadonlyMap<number, TableDefinition>;
  readonly #changes: readonly Change[];
  readonly #adds: boolean;
  readonly #drops: boolean;
  readonly #places: SequencePlaces;
  readonly #steps = new Map<Stage, RestoreStep[]>(STAGES.map((stage) => [stage, []]));
  readonly #notes: string[] = [];

  constructor(
    before: readonly TableDefinition[],
    changes: readonly Change[],
    {
      adds,
      drops = false,
      places,
    }: { readonly adds: boolean; readonly drops?: boolean; readonly places: SequencePlaces },
  ) {
    this.#tables = new Map(before.map((table) => [table.oid, table]));
    this.#changes = changes;
    this.#adds = adds;
    this.#drops = drops;
    this.#places = places;
  }

  plan(retype: readonly RestoreStep[]): AlterPlan {
    const depth = ({ table }: Change) => this.#tables.get(table)!.depth;
    this.#steps.get('type')!.push(...retype);
    // A part of a whole is made before it, which then takes it for its own, by whatever name it has.
    for (const change of this.#changes.toSorted((a, b) => depth(b) - depth(a))) this.#takeBack(change);
    return { steps: [...this.#steps.values()].flat(), notes: this.#notes };
  }

  #takeBack(change: Change): void {
    const table = this.#tables.get(change.table)!;
    const { section, key, before, after } = change;
    switch (section) {
      case 'settings':
        return this.#setting(table, key, before, after);
      case 'columns':
        return this.#column(table, change);
      case 'constraints':
        return this.#constraint(table, key, before as ConstraintPart, after as ConstraintPart);
      case 'indexes':
        return this.#index(table, change);
      case 'triggers':
      case 'rules':
        return this.#stated(table, change);
      case 'referrers':
        return this.#referrer(change);
      case 'policies':
        return this.#stated(table, change);
      case 'statistics':
        return refuse(`it changes ${describeChange(change)}, which is not kept`);
      default:
        return section satisfies never;
    }
  }

  #step(stage: Stage, what: string, ...sqls: readonly string[]): void {
    this.#steps.get(stage)!.push(...sqls.map((sql) => ({ sql, what })));
  }

  #setting(table: TableDefinition, key: string, before: Part | null, after: Part | null): void {
    const alter = `ALTER TABLE ONLY ${named(table)}`;
    const what = `the ${key} of ${named(table)}`;
    const is = before?.['is'];
    switch (key) {
      case 'options':
        return this.#step('trait', what, ...storageOptions(alter, before, after));
      case 'replica identity':
        if (is === 'i') return;
        return this.#step('trait', what, `${alter} REPLICA IDENTITY ${IDENTITIES[String(is)]}`);
      case 'row security':
        return this.#step('trait', what, `${alter} ${is === true ? 'ENABLE' : 'DISABLE'} ROW LEVEL SECURITY`);
      case 'forced row security':
        return this.#step('trait', what, `${alter} ${is === true ? '' : 'NO '}FORCE ROW LEVEL SECURITY`);
      case 'place':
        return this.#place(table, before, after);
      default:
        return refuse(`it changes the ${key} of a table, which is not kept`);
    }
  }

  #place(table: TableDefinition, before: Part | null, after: Part | null): void {
    const parents = (before?.['parents'] ?? []) as readonly string[];
    const kept = (after?.['parents'] ?? []) as readonly string[];
    const [parent, ...others] = [...parents, ...kept];
    if (parent === undefined || others.length > 0)
      return refuse('a table that it detaches has several parents');
    if (parents.length === 0) return this.#detach(table, parent, after);
    const bound = before?.['bound'];
    const sql =
      typeof bound === 'string'
        ? `ALTER TABLE ${parent} ATTACH PARTITION ${named(table)} ${bound}`
        : `ALTER TABLE ${named(table)} INHERIT ${parent}`;
    this.#step('place', `the place of ${named(table)} below ${parent}`, sql);
    if (typeof bound !== 'string')
      this.#notes.push(`the columns of ${named(table)} count as its own as well as inherited ones`);
  }

  #detach(table: TableDefinition, parent: string, after: Part | null): void {
    const sql =
      typeof after?.['bound'] === 'string'
        ? `ALTER TABLE ${parent} DETACH PARTITION ${named(table)}`
        : `ALTER TABLE ${named(table)} NO INHERIT ${parent}`;
    this.#step('place', `the place of ${named(table)} below ${parent}`, sql);
  }

  /** What a table has by a place that it is given goes with that. */
  #isGivenPlace({ oid }: TableDefinition): boolean {
    return this.#changes.some(
      (change) => change.table === oid && isPlace(change) && change.before?.['parents'] === null,
    );
  }

  /** What it inherits then comes and goes with its place. */
  #isPlacedAnew({ oid }: TableDefinition): boolean {
    return this.#changes.some((change) => change.table === oid && isPlace(change));
  }

  #column(table: TableDefinition, change: Change): void {
    const before = change.before as ColumnPart | null;
    const after = change.after as ColumnPart | null;
    if (before === null) {
      if (this.#drops) {
        const sql = `ALTER TABLE ${named(table)} DROP COLUMN ${quoteName(after!.name)}`;
        return this.#step('type', `${describeChange(change)} of ${named(table)}`, sql);
      }
      this.#notes.push(`${describeChange(change)} of ${named(table)}, which it added, stays`);
      return;
    }
    if (after === null || before.name !== after.name)
      return refuse(`it drops or renames ${describeChange(change)}`);
    const what = `${describeChange(change)} of ${named(table)}`;
    const alter = `ALTER TABLE ONLY ${named(table)} ALTER COLUMN ${quoteName(before.name)}`;
    const all = alter.replace('ALTER TABLE ONLY', 'ALTER TABLE');
    const step = (...sqls: readonly string[]) => this.#step('column', what, ...sqls);
    if (before.generated !== after.generated) return refuse(`no column can be computed again that is not`);
    if (before.generated !== '' && isRetyped(change))
      return refuse('it changes the type of a computed column');
    step(...notNull(this.#changes, change, table.kind === 'p' ? all : alter, this.#isWholes(change)));
    // What a column is computed by, or counts by, is that of the whole tree where it is one.
    const whole =
      table.isPartition || this.#isGivenPlace(table) || (before.generated !== '' && table.depth > 0);
    const at = before.generated === '' && before.identity === after.identity ? alter : all;
    if (isRetyped(change) && before.generated === '') {
      // A default of one type need not be one of another.
      if (after.expression !== null) this.#step('dropped', what, `${alter} DROP DEFAULT`);
      if (before.expression !== null) step(...expression(before, alter));
    }
    if (before.identity !== after.identity) step(...(whole ? [] : this.#identity(before, after, at)));
    else if (before.expression !== after.expression)
      step(...(whole && before.generated !== '' ? [] : expression(before, at)));
    if (before.storage !== after.storage) step(`${alter} SET STORAGE ${before.storage}`);
    if (before.compression !== after.compression)
      step(`${alter} SET COMPRESSION ${before.compression ?? 'default'}`);
    if (before.statistics !== after.statistics) step(`${alter} SET STATISTICS ${before.statistics ?? -1}`);
    step(...options(alter, before.options ?? [], after.options ?? []));
  }

  /** A column of a partition becomes what that of the whole becomes. */
  #isWholes({ table, before, after }: Change): boolean {
    const { isPartition, depth } = this.#tables.get(table)!;
    if (!isPartition || depth === 0) return false;
    return this.#changes.some(
      (each) =>
        each.section === 'columns' &&
        this.#tables.get(each.table)!.depth === depth - 1 &&
        each.before?.['name'] === before?.['name'] &&
        each.before?.['notNull'] === before?.['notNull'] &&
        each.after?.['notNull'] === after?.['notNull'],
    );
  }

  #identity(before: ColumnPart, after: ColumnPart, alter: string): readonly string[] {
    const { sequence, identity } = before;
    if (identity === '') return [`${alter} DROP IDENTITY`];
    if (after.identity !== '' || sequence === null) return refuse('it makes a column another identity');
    const at = named(sequence);
    const { start, increment, min, max, cache, cycle } = sequence;
    const place = this.#places.get(sequence.oid);
    if (place === undefined) return refuse('where a sequence stood that it drops is not known');
    if (sequence.rights !== null) this.#notes.push(`the rights on the sequence ${at} are the default ones`);
    return [
      `${alter} ADD GENERATED ${identity === 'a' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY (SEQUENCE NAME ${at} START ${start}
        INCREMENT ${increment} MINVALUE ${min} MAXVALUE ${max} CACHE ${cache} ${cycle ? '' : 'NO '}CYCLE)`,
      `SELECT pg_catalog.setval(${quoteLiteral(at)}, ${place.last}, ${place.called})`,
      ...comment(`SEQUENCE ${at}`, sequence.comment),
    ];
  }

  #constraint(
    table: TableDefinition,
    name: string,
    before: ConstraintPart | null,
    after: ConstraintPart | null,
  ): void {
    const what = `the constraint ${name} of ${named(table)}`;
    if (before?.local === false && after?.local === true && !this.#isPlacedAnew(table))
      return refuse(`it leaves ${what} to that table alone, which would stay its own`);
    const alter = `ALTER TABLE ${named(table)}`;
    const remade = before?.definition !== after?.definition || before?.type !== after?.type;
    const dropped = `${alter} DROP CONSTRAINT ${quoteName(name)}`;
    // It goes with that of the whole, and what is inherited comes with what it is inherited from.
    if (remade && after !== null && after.inherited === 0 && (before !== null || !this.#adds))
      this.#step(after.type === 'f' ? 'unreferred' : 'dropped', what, dropped);
    if (before === null) return;
    if (remade && before.whole !== null && !before.noInherit) this.#named(table, name, before.whole);
    else if (remade && (before.inherited === 0 || this.#isMadeForItself(table, name, before))) {
      const sql = `${alter} ADD CONSTRAINT ${quoteName(name)} ${before.definition}`;
      this.#step(STAGE_OF[before.type] ?? 'constraint', what, sql);
    }
    if (remade && before.unenforced)
      this.#notes.push(
        `the foreign key ${name} of ${named(table)}, whose triggers were disabled, is enforced again`,
      );
    const kept = remade ? null : after;
    if (before.comment !== (kept?.comment ?? null))
      this.#step(
        'trait',
        what,
        ...commentBack(`CONSTRAINT ${quoteName(name)} ON ${named(table)}`, before.comment),
      );
    if (before.index !== null) this.#traits(table, before.index, kept?.index ?? null);
  }

  #named(table: TableDefinition, name: string, whole: NonNullable<ConstraintPart['whole']>): void {
    const sql = namedAsBefore(named(table), name, whole);
    // That of a whole that is itself a part has its name first.
    this.#steps.get('name')!.unshift({ sql, what: `the name of the constraint ${name} of ${named(table)}` });
  }

  /** Of a partition: it was there before it became one, or has another name than it would be given. */
  #isMadeForItself({ isPartition, depth }: TableDefinition, name: string, { type }: ConstraintPart): boolean {
    if (!isPartition || type === 'c') return false;
    const wholes = [...this.#tables.values()].filter((each) => each.depth < depth);
    return type !== 'n' || !wholes.some(({ constraints }) => constraints[name]?.type === 'n');
  }

  #index(table: TableDefinition, change: Change): void {
    const { key: name } = change;
    const before = change.before as IndexPart | null;
    const after = change.after as IndexPart | null;
    const remade = before?.definition !== after?.definition;
    const part = before?.isPart === true || after?.isPart === true;
    // Its place below another index comes back with the table's.
    if (part && !remade) return;
    if (part || (remade && table.kind !== 'r'))
      return refuse(`it changes the index ${name} of a partitioned table`);
    const what = `the index ${name} of ${named(table)}`;
    if (remade && after !== null && (before !== null || !this.#adds))
      this.#step('dropped', what, `DROP INDEX ${named(after)}`);
    if (before === null) return;
    if (!before.valid) return refuse(`it changes the index ${name}, which is not valid`);
    if (remade) this.#step('index', what, before.definition);
    this.#traits(table, before, remade ? null : after);
  }

  #traits(table: TableDefinition, before: IndexTraits, after: IndexTraits | null): void {
    this.#step('trait', `the index ${before.name} of ${named(table)}`, ...indexTraits(table, before, after));
  }

  #stated(table: TableDefinition, change: Change): void {
    const { section } = change;
    const { before, after } = change as { before: StatedPart | null; after: StatedPart | null };
    // Those of a part come and go with its place, or with that of the whole.
    if (before === null && after?.isPart === true && (this.#isGivenPlace(table) || this.#isMadeAbove(change)))
      return;
    const what = `${describeChange(change)} of ${named(table)}`;
    if (
      before !== null &&
      after !== null &&
      (section === 'policies' || before.definition !== after.definition)
    )
      return refuse(`it changes ${what}`);
    for (const [stage, sql] of statedBack(table, change)) this.#step(stage, what, sql);
  }

  #isMadeAbove({ table, section, key }: Change): boolean {
    const { depth } = this.#tables.get(table)!;
    return this.#changes.some(
      (each) =>
        each.section === section &&
        each.key === key &&
        each.before === null &&
        this.#tables.get(each.table)!.depth < depth,
    );
  }

  #referrer(change: Change): void {
    const before = change.before as ReferrerPart | null;
    const after = change.after as ReferrerPart | null;
    const one = before ?? after!;
    if (before !== null && after !== null) return refuse(`it changes ${describeChange(change)}`);
    const name = quoteName(one.name);
    const what = `the foreign key ${one.name} of ${one.table}`;
    // Only an undo makes one, of which this is the undo.
    if (before === null)
      return this.#step('unreferred', what, `ALTER TABLE ${one.table} DROP CONSTRAINT ${name}`);
    this.#step('reference', what, `ALTER TABLE ${before.table} ADD CONSTRAINT ${name} ${before.definition}`);
    this.#step('trait', what, ...comment(`CONSTRAINT ${name} ON ${before.table}`, before.comment));
    if (before.unenforced) this.#notes.push(`${what}, whose triggers were disabled, is enforced again`);
  }
}

const isPlace = ({ section, key }: Change): boolean => section === 'settings' && key === 'place';

function refuse(reason: string): never {
  throw new Irreversible(reason);
}

const IDENTITIES: Readonly<Record<string, string>> = { d: 'DEFAULT', n: 'NOTHING', f: 'FULL' };

const STAGE_OF: Readonly<Record<string, Stage>> = {
  p: 'key',
  u: 'key',
  x: 'key',
  n: 'column',
  f: 'reference',
};
